"""Measure minting against its peers, all in one run on one machine: `python -m bench.mint`.

Nothing here is a test: a slow machine fails nothing. What cannot be installed is reported as not measured.
docs/performance.md says what the numbers mean.
"""

import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any

from bench import surroundings
from bench.instructions import METRICS, instructions
from bench.measuring import NotMeasured, Result, Usage, Worker, free_port, interleaved, process_serving, serving
from bench.run import Bench, Plan, run
from bench.surroundings import BENCH, BODY, ON_LAMBDA, environment

SERVICE = "this service"
JS = "AWS SDK for JavaScript"
CONNECTIONS = 8
LOAD_S = 2.0
WARM_UP_S = 1.5
# Short, because the machine's speed changes: most rounds are then at one speed.
MEASURED_S = 0.3
# Where a process lies in memory changes its speed by up to 4 % for as long as it runs, so each server runs this often.
STARTS = 4
PARAMS = "/s3/params?filename=cat.jpg&type=image%2Fjpeg"


def _warm(peers: Mapping[str, tuple[Worker, int]], scale: float, clock: str = "ns") -> dict[str, Callable[[], float]]:
    """Return a function for each peer that measures a round, in units of 1/scale seconds, warm.

    What ran before it has taken the caches, so some calls go before those that are measured.
    """

    def take(worker: Worker, count: int) -> float:
        worker.seconds(-(-count // 4))
        return worker.seconds(count, clock) * scale

    for worker, count in peers.values():
        worker.seconds(count)
    return {name: functools.partial(take, worker, count) for name, (worker, count) in peers.items()}


def sign(bench: Bench) -> Result:
    """Measure one presigned PUT URL."""
    peers = {SERVICE: (bench.python("sign service"), 20_000), "boto3": (bench.python("sign boto3"), 500)}
    notes = []
    try:
        if bench.no_node is not None:
            raise NotMeasured(bench.no_node)
        peers[JS] = (bench.worker("node", str(BENCH / "peers/sign.mjs")), 500)
    except NotMeasured as why:
        notes.append(f"{JS}: not measured, {why}")
    signed = {name: re.findall(r"X-Amz-SignedHeaders=([^&]+)", worker.sample)[0] for name, (worker, _) in peers.items()}
    assert set(signed.values()) == {"content-length%3Bcontent-type%3Bhost"}, signed
    title = "1. One presigned PUT URL (content-length, content-type signed; session token of 900 characters)"
    result = Result("sign", title, "µs", interleaved(_warm(peers, 1e6), 9), notes=notes)
    result.compare("as fast as boto3", "boto3", SERVICE, 20)
    result.compare(f"as fast as the {JS}", JS, SERVICE, 30)
    return result


def parts(bench: Bench) -> Result:
    """Measure a plan of 10,000 parts."""
    ours, boto3 = bench.python("parts service", **ON_LAMBDA), bench.python("parts boto3")
    tenth = "boto3, whole URLs, 1,000 parts"
    values = interleaved(_warm({SERVICE: (ours, 1), tenth: (boto3, 1)}, 1e3, "cpu_ns"), 7)
    result = Result(
        "parts", "2. The compact plan of a 10,000-part upload, S3's one answer being a stub", "ms of CPU time", values
    )
    result.compare("as fast as boto3 (its 1,000 parts counted ten times)", tenth, SERVICE, factor=10)
    result.limit("ms of this service", median(values[SERVICE]), 50)
    result.limit("bytes of its JSON", ours.sample["bytes"], 1_000_000)
    result.notes.append(f"bytes of JSON of boto3's 1,000 URLs: {boto3.sample['bytes']:,}")
    return result


def handler(bench: Bench) -> Result:
    """Measure a warm invocation."""

    def on_lambda(subject: str) -> Worker:
        return bench.python(subject, **ON_LAMBDA)

    hello, body, naive = "FastAPI + Mangum, GET hello", "FastAPI + Mangum, POST hello", "FastAPI + boto3, naive mint"
    peers = {
        SERVICE: (on_lambda("handler service"), 100),
        f"{SERVICE}, with a bearer token": (on_lambda("handler service token"), 100),
        hello: (on_lambda("handler hello"), 200),
        body: (on_lambda("handler hello_body"), 200),
        naive: (on_lambda("handler naive"), 100),
    }
    title = "3. A warm invocation of POST /uploads through upload.handler"
    result = Result("handler", title, "ms of CPU time", interleaved(_warm(peers, 1e3, "cpu_ns"), 161))
    result.compare("the time of GET hello", SERVICE, hello, 2, at_least=False)
    result.compare("the time of POST hello, whose body pydantic checks", SERVICE, body)
    result.compare("as fast as the naive mint", naive, SERVICE)
    return result


def _wrk(url: str, body: str | None, seconds: float) -> float:
    script = ["-s", str(BENCH / "post.lua")] if body is not None else []
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", *script, url]
    environ = {**os.environ, "BENCH_BODY": body or ""}
    said = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise NotMeasured(f"wrk saw errors:\n{said}")
    return float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0])


def _own_load(url: str, body: str | None, seconds: float) -> float:
    seen = _loaded(url, body, seconds)
    return float(seen["requests"] / seen["seconds"])


def _loaded(url: str, body: str | None, seconds: float) -> dict[str, Any]:
    more = [body] if body is not None else []
    command = [sys.executable, "-m", "bench.load", url, str(CONNECTIONS), str(seconds), *more]
    environ = environment(BENCH)
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60)
    seen: dict[str, Any] = json.loads(done.stdout)
    if seen["failures"]:
        raise NotMeasured(f"{seen['failures']} requests failed")
    return seen


def _uvicorn(bench: Bench, module: str, path: str, body: str | None, **settings: str) -> tuple[str, Usage]:
    """Run a peer by uvicorn with one worker; return the URL of a path, and what its process uses."""
    port = free_port()
    # The service logs each request itself, so uvicorn's access log is off for all peers.
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-access-log"]
    command = [sys.executable, "-m", "uvicorn", f"{module}:app", *options, "--log-level", "warning"]
    environ = environment(bench.home, **settings)
    serves = process_serving(command, environ, bench.home, port=port, path=path, body=body)
    return f"http://127.0.0.1:{port}{path}", bench.stack.enter_context(serves)


def http(bench: Bench) -> Result:
    """Measure requests a second over HTTP."""
    load, generator = (_wrk, "wrk") if shutil.which("wrk") else (_own_load, "bench/load.py (there is no wrk)")
    companion = "Companion, GET /s3/params"
    ours, params = f"{SERVICE}, POST /uploads", f"{SERVICE}, GET /s3/params"
    naive, hello = "FastAPI + boto3, naive mint", "FastAPI, GET hello"
    urls: dict[str, tuple[str, str | None]] = {}
    notes = [f"load: {generator}, {CONNECTIONS} connections, {LOAD_S:g} s a round; one worker each"]

    def uvicorn(name: str, module: str, path: str, body: str | None) -> None:
        urls[name] = (_uvicorn(bench, module, path, body)[0], body)

    uvicorn(ours, "upload", "/uploads", BODY)
    urls[params] = (urls[ours][0].removesuffix("/uploads") + PARAMS, None)
    try:
        if bench.no_node is not None:
            raise NotMeasured(bench.no_node)
        port = free_port()
        environ = environment(bench.home, **surroundings.companion_settings(bench.home, port))
        command = ["node", str(BENCH / "peers/companion.mjs")]
        started = bench.stack.enter_context(serving(command, environ, bench.home, port=port, path=PARAMS, body=None))
        urls[companion] = (started, None)
    except NotMeasured as why:
        notes.append(f"Companion: not measured, {why}")
    uvicorn(naive, "bench.peers.naive", "/uploads", BODY)
    uvicorn(hello, "bench.peers.hello", "/", None)
    print("  warming up", flush=True)
    for url, body in urls.values():
        load(url, body, WARM_UP_S)
    values = interleaved({name: functools.partial(load, url, body, LOAD_S) for name, (url, body) in urls.items()}, 5)
    result = Result("http", "4. Over HTTP, uvicorn with one worker", "requests a second", values, notes=notes)
    result.compare("Companion's requests a second", ours, companion, 4)
    result.compare("Companion's, both answering GET /s3/params", params, companion)
    result.compare("the naive mint's", ours, naive)
    result.compare("those of GET hello", ours, hello)
    return result


def imports(bench: Bench) -> Result:
    """Measure the imports of a cold start."""
    environ = environment(bench.home, **ON_LAMBDA)

    def take(statement: str) -> float:
        # CPU time, because on a busy machine the clock also counts other processes.
        code = f"import time; t = time.process_time(); {statement}; print(time.process_time() - t)"
        command = [sys.executable, "-c", code]
        return float(subprocess.check_output(command, env=environ, cwd=bench.home, timeout=60)) * 1e3

    bare, naive = "import fastapi, mangum", "FastAPI + boto3, naive mint"
    peers = {SERVICE: "import upload", bare: "import fastapi, mangum", naive: "import bench.peers.naive"}
    takes = {name: functools.partial(take, statement) for name, statement in peers.items()}
    for each in takes.values():
        each()  # compiles to .pyc
    title = "5. `import upload` on Lambda's path: everything before the first event"
    result = Result("import", title, "ms of CPU time", interleaved(takes, 41))
    result.compare("the time of `import fastapi, mangum`", SERVICE, bare, 1.1, at_least=False)
    result.compare("that of the naive mint", SERVICE, naive)
    return result


def telemetry(bench: Bench) -> Result:
    """Measure what metrics and traces add to a mint."""
    port = free_port()
    sink = [sys.executable, "-m", "bench.sink", str(port)]
    bench.stack.enter_context(serving(sink, environment(bench.home), bench.home, port=port, path="/", body=None))
    traced = {"TRACES_ENDPOINT": f"http://127.0.0.1:{port}"}
    off, measured, sent = "a server", "a server, with metrics", "a server, with traces"
    off_lambda, on_lambda = "Lambda", "Lambda, with metrics"

    def take(turns: Iterator[tuple[str, Usage]]) -> float:
        url, usage = next(turns)
        before = usage.threads_cpu_s()
        seen = _loaded(url, BODY, MEASURED_S)
        return float((usage.threads_cpu_s() - before) / seen["requests"] * 1e3)

    servers = {off: {}, measured: METRICS, sent: traced}
    started = {
        name: [_uvicorn(bench, "upload", "/uploads", BODY, **more) for _ in range(STARTS)]
        for name, more in servers.items()
    }
    for url, _ in itertools.chain.from_iterable(started.values()):
        _loaded(url, BODY, WARM_UP_S)
    takes = {name: functools.partial(take, itertools.cycle(each)) for name, each in started.items()}
    peers = {
        off_lambda: (bench.python("handler service", **ON_LAMBDA), 100),
        on_lambda: (bench.python("handler service", **ON_LAMBDA, **METRICS), 100),
    }
    values = interleaved(takes, 161) | interleaved(_warm(peers, 1e3, "cpu_ns"), 161)
    title = "6. POST /uploads with metrics and traces, the server's under uvicorn; the collector is another process"
    result = Result("telemetry", title, "ms of CPU time", values)
    result.compare("the time of a mint without metrics", measured, off, 1.05, at_least=False)
    result.compare("the time of a mint without traces", sent, off, 1.05, at_least=False)
    result.compare("on Lambda, the time without metrics", on_lambda, off_lambda, 1.05, at_least=False)
    return result


PLAN = Plan(
    program="python -m bench.mint",
    about=__doc__,
    duration="a quarter of an hour",
    deadline_s=1_800,
    measurements={
        "sign": sign,
        "parts": parts,
        "handler": handler,
        "http": http,
        "import": imports,
        "telemetry": telemetry,
        "instructions": instructions,
    },
    with_node=frozenset({"sign", "http"}),
    packages=("fastapi", "starlette", "pydantic", "mangum", "uvicorn", "uvloop", "httptools", "boto3", "botocore"),
    node_packages=("@aws-sdk/client-s3", "@aws-sdk/s3-request-presigner", "@uppy/companion"),
)

if __name__ == "__main__":
    run(PLAN)
