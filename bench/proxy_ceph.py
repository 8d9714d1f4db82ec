"""Measure the form proxy and its peers with a real store."""

import functools
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measuring import (
    NotMeasured,
    Result,
    Usage,
    free_port,
    interleaved,
    process_serving,
)
from bench.run import Bench
from bench.surroundings import BENCH, SERVICE, environment
from bench.ways import (
    DIRECT,
    MIB,
    NAIVE,
    STREAMED,
    TUS,
    UPLOAD_WITHIN_S,
    WAYS,
    Files,
    Store,
    curl,
    files_for,
    need_curl,
)

STORE_FILE_BYTES = 512 * MIB
STORE_ROUNDS = 7
GARBAGE_COLLECTED_S = 8


@contextmanager
def running_ceph() -> Iterator[Store]:
    """Run Ceph in a folder of its own."""
    from tests.contract import servers

    try:
        with servers.ceph() as server:
            yield Store(server.endpoint_url, server.access_key, server.secret_key)
    except servers.ServerError as error:
        raise NotMeasured(f"Ceph: {error}") from None


def ceph(bench: Bench) -> list[Result]:
    """Measure uploads into Ceph's RADOS Gateway, whose objects are in memory."""
    need_curl()
    print("  starting Ceph (its packages are fetched once)", flush=True)
    store = bench.stack.enter_context(running_ceph())
    client, bucket = store.client(), SERVICE["S3_BUCKET_NAME"]
    client.create_bucket(Bucket=bucket)
    files = files_for(bench, store, STORE_FILE_BYTES)
    usages: dict[str, Usage] = {}
    notes: list[str] = []
    peers = {DIRECT: files.put, **_through_to(bench, files, usages, notes)}

    there_now: list[str] = []

    def checked(send: Callable[[Path], float], path: Path) -> float:
        """Send a file, check the length of the object and delete it; return the seconds that sending took."""
        seconds = send(path)
        there = client.head_object(Bucket=bucket, Key=files.keys[-1])["ContentLength"]
        if there != path.stat().st_size:
            raise NotMeasured(f"{there} of {path.stat().st_size} bytes were stored")
        there_now.append(files.keys[-1])
        if len(there_now) == len(peers):
            while there_now:
                client.delete_object(Bucket=bucket, Key=there_now.pop())
            # Ceph removes deleted objects some seconds later, which would disturb the next measurement.
            time.sleep(GARBAGE_COLLECTED_S)  # Ceph frees the last round meanwhile, which would be measured
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
    """Start the servers between curl and Ceph; return a function for each that sends a file through it."""

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
    """Create a tus upload and send it in one PATCH; return the seconds. tus chooses the key."""
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
    sent = curl("-X", "PATCH", *tus, *offset, "-T", str(path), f"{server}/files/{found[1]}", statuses=("204",))
    return float(made.splitlines()[-1]) + sent
