"""Measures cold starts under the real awslambdaric, all in one run on one machine: `python -m bench.cold`.

From the start of the process to its first question for an event: what a client waits for on top of everything else
when Lambda starts one more. Nothing here is a test: a slow machine fails nothing.
docs/performance.md says what the numbers mean.
"""

import functools
import os
import subprocess
import sys
import time

from bench.measuring import Result, interleaved
from bench.run import Bench, Plan, run
from bench.surroundings import ON_LAMBDA, environment
from tests.runtime.api import runtime_api

SERVICE = "this service"
HELLO = "FastAPI + Mangum, GET hello"
NAIVE = "FastAPI + boto3, httpx, tenacity, naive"
PEERS = {SERVICE: "upload.handler", HELLO: "bench.peers.hello.handler", NAIVE: "bench.peers.naive_whole.handler"}
ROUNDS = 15


def start(bench: Bench, handler: str, cpu: dict[str, list[float]]) -> float:
    """Milliseconds from exec to the first poll of one process; its CPU time is noted in `cpu`."""
    with runtime_api() as api:
        environ = environment(bench.home, **ON_LAMBDA, AWS_LAMBDA_RUNTIME_API=api.address)
        command = [sys.executable, "-m", "awslambdaric", handler]
        began = time.monotonic()
        process = subprocess.Popen(command, env=environ, cwd=bench.home, stderr=subprocess.DEVNULL)
        try:
            api.wait_for_polls(1)
        finally:
            process.kill()
            _, _, used = os.wait4(process.pid, 0)
            process.returncode = -9  # as just waited for
    cpu[handler].append((used.ru_utime + used.ru_stime) * 1e3)
    return (api.polls[0] - began) * 1e3


def cold(bench: Bench) -> list[Result]:
    """The whole product against the least and against the usual."""
    cpu: dict[str, list[float]] = {handler: [] for handler in PEERS.values()}
    takes = {name: functools.partial(start, bench, handler, cpu) for name, handler in PEERS.items()}
    for take in takes.values():
        take()  # compiles to .pyc
    for noted in cpu.values():
        noted.clear()
    by_clock = interleaved(takes, ROUNDS)
    values = {name: cpu[handler] for name, handler in PEERS.items()}
    results = [
        Result("cold", "1. Cold start under awslambdaric, exec to the first poll", "ms", by_clock),
        Result("cold cpu", "2. The same in CPU time, which a busy machine disturbs less", "ms of CPU time", values),
    ]
    for result in results:
        result.compare("the time of FastAPI + Mangum hello", SERVICE, HELLO, 1.15, at_least=False)
        result.compare("the time of the naive service", SERVICE, NAIVE, 0.75, at_least=False)
    return results


PLAN = Plan(
    program="python -m bench.cold",
    about=__doc__,
    duration="half a minute",
    deadline_s=240,
    measurements={"cold": cold},
    with_node=frozenset(),
    packages=("awslambdaric", "fastapi", "starlette", "pydantic", "mangum", "boto3", "httpx", "tenacity"),
    node_packages=(),
)

if __name__ == "__main__":
    run(PLAN)
