"""Measure the form proxy with a store that discards everything: the cost of the proxy itself."""

import functools
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.measuring import (
    NotMeasured,
    Result,
    free_port,
    interleaved,
    process_serving,
    serving,
)
from bench.run import Bench
from bench.surroundings import AWS, environment
from bench.ways import (
    DIRECT,
    FORWARDER,
    GRANIAN,
    KEEPING,
    MIB,
    NAIVE,
    PLAIN,
    RETRIED,
    SPOOLED,
    STREAMED,
    WAYS,
    Store,
    Way,
    files_for,
    granian,
    need_curl,
)

SINK_FILE_BYTES = 1024 * MIB
SINK_ROUNDS = 5
MEMORY_MAX_MIB = 96


class Sink:
    """The store that discards everything, in a process of its own."""

    def __init__(self, bench: Bench) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "bench.sink", str(self.port)]
        environ = environment(bench.home)
        self.url = f"http://127.0.0.1:{self.port}"
        bench.stack.enter_context(serving(command, environ, bench.home, port=self.port, path="/", body=None))

    def received(self) -> int:
        """Return the bytes of all bodies so far."""
        command = ["curl", "-sS", "--noproxy", "*", "--max-time", "5", self.url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return int(re.findall(r'"bytes": (\d+)', said)[0])

    def store(self) -> Store:
        """Return it as a store that accepts any signature."""
        return Store(self.url, AWS["AWS_ACCESS_KEY_ID"], AWS["AWS_SECRET_ACCESS_KEY"], AWS["AWS_SESSION_TOKEN"])


def sink(bench: Bench) -> list[Result]:
    """Measure uploads into a store that discards everything."""
    need_curl()
    discards = Sink(bench)
    store = discards.store()
    files = files_for(bench, store, SINK_FILE_BYTES)
    ways, notes = dict(WAYS), []
    if importlib.util.find_spec("granian") is not None:
        ways[GRANIAN] = Way(granian("upload:app"), PLAIN)
    else:
        notes.append(f"{GRANIAN}: not measured, it is not installed")
    peaks: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}

    def through(name: str) -> float:
        """Measure one upload by a new process, so that the peak is that of one upload."""
        way, port = ways[name], free_port()
        environ = environment(bench.home, **store.settings(), BENCH_SINK_PORT=str(discards.port))
        if way.keeps_memory:
            environ["BENCH_KEEP_MEMORY"] = "1"
        if name == GRANIAN:
            environ["PYTHONPATH"] += f"{os.pathsep}{_folder_of('granian')}"
        with process_serving(way.command(port), environ, bench.home, port=port, path="/") as usage:
            server = f"http://127.0.0.1:{port}{way.path}"
            files.post(server, files.small, url_first=way.url_first)
            before, used = discards.received(), usage.cpu_s()
            seconds = files.post(server, files.large, url_first=way.url_first)
            cpu[name].append(usage.cpu_s() - used)
            peaks[name].append(usage.peak_mib())
            # The forwarder sends the form itself, which is a little longer than its file.
            if not 0 <= discards.received() - before - SINK_FILE_BYTES < MIB:
                raise NotMeasured(f"{name}: the file did not arrive whole")
        return seconds

    files.put(files.large)
    peers: dict[str, Callable[[], float]] = {DIRECT: lambda: files.put(files.large)}
    peers |= {name: functools.partial(through, name) for name in ways}
    values = interleaved(peers, SINK_ROUNDS)
    title = "1. A form with 1 GiB, into a store that keeps nothing"
    clock = Result("sink", title, "seconds", values, notes=notes)
    clock.compare("the time of the bare ASGI forwarder", STREAMED, FORWARDER, 1.25, at_least=False)
    clock.compare("the time of the one that keeps freed memory", STREAMED, KEEPING)
    clock.compare("the time of curl straight to the store", STREAMED, DIRECT, 2, at_least=False)
    clock.compare("that, the bare ASGI forwarder", FORWARDER, DIRECT)
    clock.compare("the time of streaming, with retry", RETRIED, STREAMED)
    clock.compare("the time of streaming, file first", SPOOLED, STREAMED)
    clock.compare("as fast as the naive proxy", NAIVE, STREAMED)
    clock.compare("the time under uvicorn, under Granian", GRANIAN, STREAMED)
    memory = Result("sink memory", "1b. Its most resident memory", "MiB", peaks)
    for name in (STREAMED, RETRIED, SPOOLED):
        memory.limit(f"MiB of {name}", median(peaks[name]), MEMORY_MAX_MIB)
    work = Result("sink cpu", "1c. Its CPU time for that upload, the kernel's part included", "seconds", cpu)
    work.compare("that of the bare ASGI forwarder", STREAMED, FORWARDER)
    return [clock, memory, work]


def _folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent.parent
