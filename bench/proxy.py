"""Measures the form proxy against its peers, all in one run on one machine: `python -m bench.proxy`.

Nothing here is a test: a slow machine fails nothing. What cannot be installed is reported as not measured.
docs/performance.md says what the numbers mean.
"""

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import boto3
from botocore.config import Config

from bench.measuring import (
    NotMeasured,
    Result,
    Usage,
    free_port,
    interleaved,
    process_serving,
    serving,
)
from bench.run import Bench, Plan, run
from bench.surroundings import AWS, BENCH, ON_LAMBDA, SERVICE, environment

MIB = 1024 * 1024
SINK_FILE_BYTES = 1024 * MIB
SINK_ROUNDS = 5
STORE_FILE_BYTES = 512 * MIB
STORE_ROUNDS = 7
GARBAGE_COLLECTED_S = 8
WARM_UP_BYTES = 8 * MIB
UPLOAD_WITHIN_S = 60
MEMORY_MAX_MIB = 96

PLAIN, RETRY = "/upload-with-presigned", "/upload-with-presigned-retry"
DIRECT = "curl straight to the store"
FORWARDER = "bare ASGI forwarder"
KEEPING = "bare ASGI forwarder, keeping freed memory"
STREAMED = "this service, uploadUrl first"
RETRIED = "this service, with retry, uploadUrl first"
SPOOLED = "this service, file first"
GRANIAN = "this service under Granian, uploadUrl first"
NAIVE = "FastAPI + httpx, naive proxy"
TUS = "@tus/server with @tus/s3-store"


@dataclass(frozen=True, slots=True)
class Store:
    """Where files go, and who signs URLs for it."""

    url: str
    access_key: str
    secret_key: str
    session_token: str | None = None

    def client(self) -> Any:
        """boto3's, without a look at this machine's own configuration."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=AWS["AWS_REGION"],
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            aws_session_token=self.session_token,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, proxies={}),
        )

    def settings(self) -> dict[str, str]:
        """What the service is told about it."""
        return {
            "ENVIRONMENT": "local",
            "AWS_S3_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.session_token or "",
        }


@dataclass(slots=True)
class Files:
    """The file that is sent, a small one for warming up, and a new key for each time."""

    store: Store
    large: Path
    small: Path
    presign: Callable[[str], str]
    keys: list[str] = field(default_factory=list)

    def url(self) -> str:
        """A presigned PUT of a new key."""
        self.keys.append(f"uploads/{uuid.uuid4().hex}.bin")
        return self.presign(self.keys[-1])

    def put(self, path: Path) -> float:
        """Straight to the store."""
        return _curl("-T", str(path), "-H", "Content-Type: application/octet-stream", self.url())

    def post(self, server: str, path: Path, *, url_first: bool = True) -> float:
        """In a form, to a proxy."""
        fields = ["-F", f"uploadUrl={self.url()}", "-F", f"file=@{path};type=application/octet-stream"]
        return _curl(*(fields if url_first else [*fields[2:], *fields[:2]]), server)


def _files(bench: Bench, store: Store, size: int) -> Files:
    large, small = _file(bench.home, "large", size), _file(bench.home, "small", WARM_UP_BYTES)
    return Files(store, large, small, _signed(store))


def _file(home: Path, name: str, size: int) -> Path:
    """A file of noise: a form's parser looks for line ends, and a picture has them everywhere."""
    path, block = home / name, os.urandom(MIB)
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(block)
    return path


def _signed(store: Store) -> Callable[[str], str]:
    client, bucket = store.client(), SERVICE["S3_BUCKET_NAME"]

    def presign(key: str) -> str:
        params = {"Bucket": bucket, "Key": key}
        return str(client.generate_presigned_url("put_object", Params=params, ExpiresIn=3600))

    return presign


def _curl(*words: str, statuses: tuple[str, ...] = ("200",)) -> float:
    """Seconds that curl takes for one request, without its own start."""
    # Without `Expect: 100-continue`: not every peer's server answers it at once.
    asked = ["-sS", "--noproxy", "*", "-H", "Expect:", "--max-time", str(UPLOAD_WITHIN_S)]
    command = ["curl", *asked, "-w", "\n%{http_code} %{time_total}", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=UPLOAD_WITHIN_S + 5)
    body, _, said = done.stdout.rpartition("\n")
    status, _, seconds = said.partition(" ")
    if done.returncode or status not in statuses:
        raise NotMeasured(f"curl: HTTP {status} {body[:200]} {done.stderr.strip()}")
    return float(seconds)


def _uvicorn(app: str) -> Callable[[int], list[str]]:
    options = ["--host", "127.0.0.1", "--workers", "1", "--loop", "uvloop", "--http", "httptools"]
    quiet = ["--no-access-log", "--log-level", "warning"]
    return lambda port: [sys.executable, "-m", "uvicorn", app, *options, *quiet, "--port", str(port)]


def _granian(app: str) -> Callable[[int], list[str]]:
    options = ["--interface", "asgi", "--host", "127.0.0.1", "--workers", "1", "--loop", "uvloop", "--http", "1"]
    return lambda port: [sys.executable, "-m", "granian", *options, "--no-log", "--port", str(port), app]


@dataclass(frozen=True, slots=True)
class Way:
    """A server between curl and the store, and how it is sent a form."""

    command: Callable[[int], list[str]]
    path: str
    url_first: bool = True
    keeps_memory: bool = False


UPLOAD = _uvicorn("upload:app")
WAYS = {
    FORWARDER: Way(_uvicorn("bench.peers.forwarder:app"), "/"),
    KEEPING: Way(_uvicorn("bench.peers.forwarder:app"), "/", keeps_memory=True),
    STREAMED: Way(UPLOAD, PLAIN),
    RETRIED: Way(UPLOAD, RETRY),
    SPOOLED: Way(UPLOAD, PLAIN, url_first=False),
    NAIVE: Way(_uvicorn("bench.peers.naive_proxy:app"), PLAIN),
}


class Sink:
    """The store that keeps nothing, in a process of its own."""

    def __init__(self, bench: Bench) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "bench.sink", str(self.port)]
        environ = environment(bench.home)
        self.url = f"http://127.0.0.1:{self.port}"
        bench.stack.enter_context(serving(command, environ, bench.home, port=self.port, path="/", body=None))

    def received(self) -> int:
        """Bytes of all bodies so far."""
        command = ["curl", "-sS", "--noproxy", "*", "--max-time", "5", self.url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return int(re.findall(r'"bytes": (\d+)', said)[0])

    def store(self) -> Store:
        """As a store that any signature will do for."""
        return Store(self.url, AWS["AWS_ACCESS_KEY_ID"], AWS["AWS_SECRET_ACCESS_KEY"], AWS["AWS_SESSION_TOKEN"])


def _need_curl() -> None:
    if shutil.which("curl") is None:
        raise NotMeasured("there is no curl")


def sink(bench: Bench) -> list[Result]:
    """Into a store that throws everything away: what the way itself costs."""
    _need_curl()
    discards = Sink(bench)
    store = discards.store()
    files = _files(bench, store, SINK_FILE_BYTES)
    ways, notes = dict(WAYS), []
    if importlib.util.find_spec("granian") is not None:
        ways[GRANIAN] = Way(_granian("upload:app"), PLAIN)
    else:
        notes.append(f"{GRANIAN}: not measured, it is not installed")
    peaks: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}

    def through(name: str) -> float:
        """Each time by a new process, so that its peak is that of one upload."""
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


@contextmanager
def _ceph() -> Iterator[Store]:
    from tests.contract import servers

    try:
        with servers.ceph() as server:
            yield Store(server.endpoint_url, server.access_key, server.secret_key)
    except servers.ServerError as error:
        raise NotMeasured(f"Ceph: {error}") from None


def ceph(bench: Bench) -> list[Result]:
    """Into Ceph's RADOS Gateway, which keeps its objects in memory."""
    _need_curl()
    print("  starting Ceph (its packages are fetched once)", flush=True)
    store = bench.stack.enter_context(_ceph())
    client, bucket = store.client(), SERVICE["S3_BUCKET_NAME"]
    client.create_bucket(Bucket=bucket)
    files = _files(bench, store, STORE_FILE_BYTES)
    usages: dict[str, Usage] = {}
    notes: list[str] = []
    peers = {DIRECT: files.put, **_through_to(bench, files, usages, notes)}

    there_now: list[str] = []

    def checked(send: Callable[[Path], float], path: Path) -> float:
        """What was sent is there, whole. At the end of a round it goes, or the store would fill up."""
        seconds = send(path)
        there = client.head_object(Bucket=bucket, Key=files.keys[-1])["ContentLength"]
        if there != path.stat().st_size:
            raise NotMeasured(f"{there} of {path.stat().st_size} bytes were stored")
        there_now.append(files.keys[-1])
        if len(there_now) == len(peers):
            while there_now:
                client.delete_object(Bucket=bucket, Key=there_now.pop())
            # What is deleted it removes some seconds later; nobody shall be measured meanwhile.
            time.sleep(GARBAGE_COLLECTED_S)
        return seconds

    for send in peers.values():
        checked(send, files.small)
    takes = {name: functools.partial(checked, send, files.large) for name, send in peers.items()}
    values = interleaved(takes, STORE_ROUNDS)
    speeds = {name: [STORE_FILE_BYTES / MIB / seconds for seconds in each] for name, each in values.items()}
    title = "2. A file of 512 MiB into Ceph's RADOS Gateway, its objects in memory"
    result = Result("ceph", title, "MiB a second", speeds, notes=notes)
    result.compare("the throughput of curl straight to the store", STREAMED, DIRECT, 0.9)
    result.compare("the naive proxy's", STREAMED, NAIVE)
    result.compare(f"that of {TUS}", STREAMED, TUS)
    memory = Result("ceph memory", "2b. Its most resident memory, once for all rounds", "MiB", {})
    memory.values = {name: [usage.peak_mib()] for name, usage in usages.items()}
    return [result, memory]


def _through_to(
    bench: Bench, files: Files, usages: dict[str, Usage], notes: list[str]
) -> dict[str, Callable[[Path], float]]:
    """The servers between curl and Ceph, started once."""

    def start(name: str, command: Callable[[int], list[str]], **more: str) -> str:
        port = free_port()
        environ = environment(bench.home, **files.store.settings(), **more, PORT=str(port))
        serves = process_serving(command(port), environ, bench.home, port=port, path="/")
        usages[name] = bench.stack.enter_context(serves)
        return f"http://127.0.0.1:{port}"

    peers: dict[str, Callable[[Path], float]] = {}
    for name in (STREAMED, NAIVE):
        peers[name] = functools.partial(files.post, start(name, WAYS[name].command) + WAYS[name].path)
    try:
        if bench.no_node is not None:
            raise NotMeasured(bench.no_node)
        command = ["node", str(BENCH / "peers/tus.mjs")]
        peers[TUS] = functools.partial(_tus, files, start(TUS, lambda _: command, BENCH_S3_URL=files.store.url))
    except NotMeasured as why:
        notes.append(f"{TUS}: not measured, {why}")
    return peers


def _tus(files: Files, server: str, path: Path) -> float:
    """An upload is made, then sent in one PATCH. The key is tus's own."""
    size = str(path.stat().st_size)
    tus = ["--noproxy", "*", "-H", "Tus-Resumable: 1.0.0"]
    made = subprocess.run(
        ["curl", "-sS", "-i", *tus, "-X", "POST", "-H", f"Upload-Length: {size}", "-w", "\n%{time_total}",
         f"{server}/files"],
        capture_output=True, text=True, check=True, timeout=UPLOAD_WITHIN_S,
    ).stdout  # fmt: skip
    found = re.search(r"^location: *\S*/files/(\S+)", made, re.IGNORECASE | re.MULTILINE)
    if found is None:
        raise NotMeasured(f"tus: {made.splitlines()[0]}")
    files.keys.append(found[1])
    offset = ["-H", "Upload-Offset: 0", "-H", "Content-Type: application/offset+octet-stream"]
    sent = _curl("-X", "PATCH", *tus, *offset, "-T", str(path), f"{server}/files/{found[1]}", statuses=("204",))
    return float(made.splitlines()[-1]) + sent


def on_lambda(bench: Bench) -> list[Result]:
    """A form through `upload.handler`, as Lambda hands it over."""
    store = Sink(bench).store()
    settings = {**store.settings(), **ON_LAMBDA, "BENCH_UPLOAD_URL": _signed(store)("uploads/0123456789abcdef.jpg")}
    peers = {
        "this service": bench.python("form service", **settings),
        "this service, with retry": bench.python("form service retry", **settings),
        NAIVE: bench.python("form naive", **settings),
        "FastAPI + Mangum, the form read, not sent": bench.python("form read", **settings),
    }
    for worker in peers.values():
        worker.seconds(5)

    def take(name: str) -> float:
        return peers[name].seconds(10, "cpu_ns") * 1e3

    values = interleaved({name: functools.partial(take, name) for name in peers}, 9)
    title = "3. A form of 4.4 MB through the Lambda handler, into a store that keeps nothing"
    result = Result("lambda", title, "ms of CPU time", values)
    result.limit("ms of this service", median(values["this service"]), 12)
    result.compare("the time of the naive proxy", "this service", NAIVE, 0.25, at_least=False)
    result.compare(
        "the time that FastAPI alone takes to read it", "this service", "FastAPI + Mangum, the form read, not sent"
    )
    return [result]


MEASUREMENTS: Mapping[str, Callable[[Bench], list[Result]]] = {"sink": sink, "ceph": ceph, "lambda": on_lambda}

PLAN = Plan(
    program="python -m bench.proxy",
    about=__doc__,
    duration="four minutes",
    deadline_s=600,
    measurements=MEASUREMENTS,
    with_node=frozenset({"ceph"}),
    packages=(
        "fastapi", "starlette", "python-multipart", "mangum", "pybase64", "uvicorn", "uvloop", "httptools", "httpx",
        "granian", "boto3",
    ),
    node_packages=("@tus/server", "@tus/s3-store"),
)  # fmt: skip

if __name__ == "__main__":
    run(PLAN)
