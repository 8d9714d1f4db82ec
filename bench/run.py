"""Run measurements from the command line: choose them, end their processes, write the results."""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from bench import surroundings
from bench.measuring import NotMeasured, Result, Worker
from bench.surroundings import environment


class Bench:
    """One run: the folder and the life time of its processes, and the peers that are available."""

    def __init__(self, stack: contextlib.ExitStack, home: Path, no_node: str | None) -> None:
        self.stack = stack
        self.home = home
        self.no_node = no_node

    def worker(self, *command: str, **settings: str) -> Worker:
        """Start a worker process that ends with the run."""
        worker = Worker(command, environment(self.home, **settings), self.home)
        self.stack.callback(worker.close)
        return worker

    def python(self, subject: str, **settings: str) -> Worker:
        """Start a worker for a subject of `bench.worker`."""
        return self.worker(sys.executable, "-m", "bench.worker", subject, **settings)


Measurement = Callable[[Bench], Result | Sequence[Result]]


class Plan(NamedTuple):
    """A set of measurements. The versions of `packages` (Python) and `node_packages` are part of the results."""

    program: str
    about: str | None
    duration: str
    deadline_s: int
    measurements: Mapping[str, Measurement]
    with_node: frozenset[str]
    packages: tuple[str, ...]
    node_packages: tuple[str, ...]


def _arguments(plan: Plan) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=plan.program, description=plan.about)
    parser.add_argument("--only", nargs="+", choices=plan.measurements, help="just these measurements")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there instead of as the last line")
    return parser.parse_args()


def _stop(number: int, _: object) -> None:
    # An exception, so that the exit stack ends all processes of the run.
    raise SystemExit("bench: out of time" if number == signal.SIGALRM else 128 + number)


def run(plan: Plan) -> None:
    """Run the measurements that the command line asks for."""
    try:
        _run(plan)
    except KeyboardInterrupt:
        sys.exit("interrupted")


def _run(plan: Plan) -> None:
    arguments = _arguments(plan)
    chosen = [name for name in plan.measurements if arguments.only is None or name in arguments.only]
    signal.signal(signal.SIGTERM, _stop)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, _stop)
        signal.alarm(plan.deadline_s)
    began = time.monotonic()
    print(f"measuring {', '.join(chosen)}: about {plan.duration} for all", flush=True)
    no_node = surroundings.install_node_peers() if plan.with_node & set(chosen) else "not asked for"
    machine = surroundings.machine()
    versions = surroundings.versions(plan.packages, plan.node_packages if no_node is None else ())
    print(f"  {machine['cores']} cores, {machine['kind']}, load {machine['load_before']}")
    print(f"  {', '.join(f'{name} {version}' for name, version in versions.items())}\n", flush=True)
    results = []
    for name in chosen:
        print(f"{name} …", flush=True)
        with contextlib.ExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            try:
                found = plan.measurements[name](Bench(stack, home, no_node))
            except (NotMeasured, subprocess.SubprocessError, OSError) as why:
                print(f"  not measured: {why}\n", flush=True)
                continue
        for result in [found] if isinstance(found, Result) else found:
            result.show()
            results.append(result.as_json())
    print(f"took {time.monotonic() - began:.0f} s; the machine's load is now {surroundings.machine()['load_before']}")
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": versions,
        "results": results,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    else:
        print(json.dumps(document))
