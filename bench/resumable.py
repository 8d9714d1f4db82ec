"""Measure resumable uploads beside tus's own server: a file in appends of 4 MiB into Ceph's RADOS Gateway.

Both are spoken to by the same client over one connection, as tus-js-client with `chunkSize: 4 * 1024 * 1024` does.
"""

import contextlib
import functools
import http.client
import os
import re
import time
from collections.abc import Callable

from bench.measuring import NotMeasured, Result, Usage, free_port, interleaved, process_serving
from bench.proxy_ceph import GARBAGE_COLLECTED_S, running_ceph
from bench.run import Bench, Plan, run
from bench.surroundings import BENCH, SERVICE, environment
from bench.ways import MIB, STREAMED, TUS, WAYS, Store

FILE_BYTES = 1024 * MIB
APPEND_BYTES = 4 * MIB
ROUNDS = 3
SERVICE_NAME = "this service, /resumable"
_TUS = {"Tus-Resumable": "1.0.0"}
# a.bin, file
_METADATA = {"Upload-Metadata": "filename YS5iaW4=,purpose ZmlsZQ=="}
WARM_UP_BYTES = 16 * MIB


def _sent(port: int, path: str, block: bytes, size: int) -> tuple[float, str]:
    """Send `size` bytes in appends; return the seconds and the location. The block repeats."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    with contextlib.closing(connection):
        began = time.perf_counter()
        connection.request("POST", path, headers={**_TUS, **_METADATA, "Upload-Length": str(size)})
        answer = connection.getresponse()
        said = answer.read()
        location = answer.headers.get("Location")
        if answer.status != 201 or location is None:
            raise NotMeasured(f"POST: {answer.status} {said[:200]!r}")
        upload = re.sub(r"^https?://[^/]+", "", location)
        for offset in range(0, size, len(block)):
            headers = {**_TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
            connection.request("PATCH", upload, block, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 204:
                raise NotMeasured(f"PATCH at {offset}: {answer.status} {said[:200]!r}")
        return time.perf_counter() - began, upload


def appends(bench: Bench) -> list[Result]:
    """Send the same file to both servers in turn."""
    print("  starting Ceph (its packages are fetched once)", flush=True)
    store: Store = bench.stack.enter_context(running_ceph())
    client, bucket = store.client(), SERVICE["S3_BUCKET_NAME"]
    client.create_bucket(Bucket=bucket)
    block = os.urandom(APPEND_BYTES)
    usages: dict[str, Usage] = {}

    def start(name: str, command: Callable[[int], list[str]], path: str, **more: str) -> Callable[[int], float]:
        port = free_port()
        environ = environment(bench.home, **store.settings(), **more, PORT=str(port))
        serves = process_serving(command(port), environ, bench.home, port=port, path="/")
        usages[name] = bench.stack.enter_context(serves)
        return lambda size: _sent(port, path, block, size)[0]

    if bench.no_node is not None:
        raise NotMeasured(f"{TUS}: {bench.no_node}")
    node = ["node", str(BENCH / "peers/tus.mjs")]
    peers = {
        SERVICE_NAME: start(SERVICE_NAME, WAYS[STREAMED].command, "/resumable"),
        TUS: start(TUS, lambda _: node, "/files", BENCH_S3_URL=store.url),
    }

    def checked(send: Callable[[int], float], size: int) -> float:
        """Send, check that one object has the length, and delete everything."""
        seconds = send(size)
        listed = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        found = [each for page in listed for each in page.get("Contents", ())]
        if size not in [each["Size"] for each in found]:
            raise NotMeasured(f"no object of {size} bytes was stored")
        for each in found:
            client.delete_object(Bucket=bucket, Key=each["Key"])
        time.sleep(GARBAGE_COLLECTED_S)  # Ceph frees the objects meanwhile, which would be measured
        return seconds

    for send in peers.values():
        checked(send, WARM_UP_BYTES)
    before = {name: usage.peak_mib() for name, usage in usages.items()}
    takes = {name: functools.partial(checked, send, FILE_BYTES) for name, send in peers.items()}
    values = interleaved(takes, ROUNDS)
    speeds = {name: [FILE_BYTES / MIB / seconds for seconds in each] for name, each in values.items()}
    result = Result("appends", "A file of 1 GiB in appends of 4 MiB into Ceph", "MiB a second", speeds)
    result.compare(f"that of {TUS}", SERVICE_NAME, TUS, 1.5)
    memory = Result("memory", "Its most resident memory: after 16 MiB, and after all rounds", "MiB", {})
    memory.values = {name: [before[name], usage.peak_mib()] for name, usage in usages.items()}
    return [result, memory]


PLAN = Plan(
    program="python -m bench.resumable",
    about=__doc__,
    duration="four minutes",
    deadline_s=1_200,
    measurements={"appends": appends},
    with_node=frozenset({"appends"}),
    packages=("fastapi", "uvicorn", "uvloop", "httptools"),
    node_packages=("@tus/server", "@tus/s3-store"),
)

if __name__ == "__main__":
    run(PLAN)
