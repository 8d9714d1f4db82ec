"""Rounds, medians and ratios; processes that are measured and then ended."""

import contextlib
import json
import math
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

START_S = 20


class NotMeasured(Exception):
    """A peer cannot be measured here; the message says why."""


class Worker:
    """A process that repeats its work a given number of times and reports how long that took."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], home: Path) -> None:
        self._process = subprocess.Popen(
            command,
            env=dict(environ),
            cwd=home,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The service logs here: writing a line is measured, a terminal is not.
            stderr=subprocess.DEVNULL,
        )
        try:
            self.sample: Any = self._answer()["sample"]
        except NotMeasured:
            self.close()
            raise

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise NotMeasured("its process ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def seconds(self, count: int, clock: str = "ns") -> float:
        """Return the seconds for each of `count` calls; with the clock `cpu_ns`, seconds of CPU time."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        nanoseconds: int = self._answer()[clock]
        return nanoseconds / count / 1e9

    def close(self) -> None:
        """End the process."""
        end(self._process)


def end(process: "subprocess.Popen[Any]") -> None:
    """Terminate a process, and kill it if it does not end."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def serving(
    command: Sequence[str], environ: Mapping[str, str], home: Path, *, port: int, path: str, body: str | None
) -> Iterator[str]:
    """Run a server on a loopback port; yield its URL when it answers 200."""
    with process_serving(command, environ, home, port=port, path=path, body=body):
        yield f"http://127.0.0.1:{port}{path}"


@contextlib.contextmanager
def process_serving(
    command: Sequence[str], environ: Mapping[str, str], home: Path, *, port: int, path: str, body: str | None = None
) -> Iterator["Usage"]:
    """Run a server as `serving` does; yield its resource usage."""
    process = subprocess.Popen(
        command, env=dict(environ), cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(process, f"http://127.0.0.1:{port}{path}", body)
        yield Usage(process.pid)
    finally:
        end(process)


class Usage:
    """Memory and CPU time of a process and its children, as Linux counts them. Elsewhere all values are NaN."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def _family(self) -> list[Path]:
        found, pids = [], [self._pid]
        while pids:
            process = Path("/proc", str(pids.pop()))
            with contextlib.suppress(OSError):
                pids += map(int, (process / "task" / process.name / "children").read_text().split())
                found.append(process)
        return found

    def peak_mib(self) -> float:
        """Return the peak resident memory in MiB."""
        peaks = [re.findall(r"VmHWM:\s+(\d+) kB", (each / "status").read_text()) for each in self._family()]
        return sum(int(peak[0]) for peak in peaks) / 1024 if peaks else math.nan

    def threads_cpu_s(self) -> float:
        """Return the CPU time of the threads that are there, in steps of nanoseconds, where `cpu_s` counts ticks.

        https://docs.kernel.org/scheduler/sched-stats.html (proc/<pid>/schedstat)
        """
        spent = [(task / "schedstat").read_text().split()[0] for each in self._family() for task in each.glob("task/*")]
        return sum(map(int, spent)) / 1e9 if spent else math.nan

    def cpu_s(self) -> float:
        """Return the CPU time so far in seconds, user and system."""
        # Behind the name, which may hold spaces, the 12th and 13th field: proc(5), utime and stime.
        fields = [(each / "stat").read_text().rpartition(")")[2].split() for each in self._family()]
        return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK") if fields else math.nan


def _wait_for(process: "subprocess.Popen[bytes]", url: str, body: str | None) -> None:
    opener = build_opener(ProxyHandler({}))
    data = body.encode() if body is not None else None
    request = Request(url, data, {"Content-Type": "application/json"} if data else {})  # noqa: S310  our own loopback
    deadline = time.monotonic() + START_S
    while True:
        try:
            with opener.open(request, timeout=2):
                return
        except (URLError, OSError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotMeasured(f"it did not start ({error})") from None
        time.sleep(0.1)  # before the service is asked again


def free_port() -> int:
    """Return an unused port of the loopback interface."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def interleaved(peers: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Take one value of each peer a round, so that disturbances affect all peers alike.

    The order is drawn for each round, the same in every run: what follows itself finds its memory in the caches.
    """
    values: dict[str, list[float]] = {name: [] for name in peers}
    drawn = random.Random(0)
    for number in range(rounds):
        if sys.stdout.isatty():
            print(f"\r  round {number + 1} of {rounds} ", end="", flush=True)
        for name in drawn.sample(list(peers), len(peers)):
            values[name].append(peers[name]())
    if sys.stdout.isatty():
        print("\r" + " " * 30 + "\r", end="", flush=True)
    return values


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times one value is another, in each round."""

    text: str
    rounds: Sequence[float]
    target: float | None = None
    at_least: bool = True

    @property
    def reached(self) -> bool | None:
        """Whether the median meets the target, None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    @property
    def value(self) -> float:
        """The median of the rounds' ratios. The two values of a round were taken within the same seconds."""
        return median(self.rounds)

    def line(self) -> str:
        """For people."""
        said = f"  = {_short(self.value)} times {self.text} ({_short(min(self.rounds))} to {_short(max(self.rounds))})"
        if self.target is None:
            return said
        bound = "at least" if self.at_least else "at most"
        return f"{said}; target {bound} {self.target:g}: {'reached' if self.reached else 'NOT reached'}"


@dataclass(slots=True)
class Result:
    """One measurement: values by peer, in `unit`."""

    name: str
    title: str
    unit: str
    values: dict[str, list[float]]
    ratios: list[Ratio] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def compare(
        self, text: str, of: str, to: str, target: float | None = None, *, at_least: bool = True, factor: float = 1
    ) -> None:
        """Add the ratio of two peers, if both were measured."""
        if of in self.values and to in self.values:
            pairs = zip(self.values[of], self.values[to], strict=True)
            self.ratios.append(Ratio(text, [one / other * factor for one, other in pairs], target, at_least))

    def limit(self, text: str, value: float, most: float) -> None:
        """Add an upper limit for a value."""
        kept = "reached" if value <= most else "NOT reached"
        self.notes.append(f"{text}: {_short(value)}; target at most {_short(most)}: {kept}")

    def show(self) -> None:
        """For people."""
        rounds = max((len(each) for each in self.values.values()), default=0)
        print(f"{self.title}\n  {self.unit}, median (min to max) of {rounds} rounds")
        for name, each in self.values.items():
            print(f"  {name:<44}{_short(median(each)):>9}  ({_short(min(each))} to {_short(max(each))})")
        for ratio in self.ratios:
            print(ratio.line())
        for note in self.notes:
            print(f"  {note}")
        print(flush=True)

    def as_json(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "peers": {
                name: {"median": median(each), "min": min(each), "max": max(each), "rounds": len(each)}
                for name, each in self.values.items()
            },
            "ratios": [
                {
                    "text": ratio.text,
                    "median": round(ratio.value, 3),
                    "min": round(min(ratio.rounds), 3),
                    "max": round(max(ratio.rounds), 3),
                    "target": ratio.target,
                    "reached": ratio.reached,
                }
                for ratio in self.ratios
            ],
            "notes": self.notes,
        }


def _short(value: float) -> str:
    """Return a value with three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
