"""Measure cold starts under awslambdaric, all in one run on one machine: `python -m bench.cold`.

From the start of the process to its first question for an event: what a client waits for on top of everything else
when Lambda starts one more. Nothing here is a test: a slow machine fails nothing.
docs/performance.md says what the numbers mean.
"""

import functools
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType

from bench.measuring import Result, interleaved
from bench.run import Bench, Plan, run
from bench.surroundings import JWT_SECRET, ON_LAMBDA, environment
from tests.e2e.authority import certificates
from tests.runtime.api import runtime_api
from tests.secrets.store import PATH, secret_store

SERVICE = "this service"
HELLO = "FastAPI + Mangum, GET hello"
NAIVE = "FastAPI + boto3, httpx, tenacity, naive"
PEERS = {SERVICE: "upload.handler", HELLO: "bench.peers.hello.handler", NAIVE: "bench.peers.naive_whole.handler"}
REFERENCED = "this service, its secrets read over TLS"
ROUNDS = 15
# About the time of an AWS call in the same region. An immediate answer on loopback would be unrealistic.
ANSWERS_AFTER_S = 0.03


def start(bench: Bench, handler: str, cpu: list[float], settings: Mapping[str, str] = MappingProxyType({})) -> float:
    """Return the milliseconds from exec to the first poll of one process. Append its CPU time to `cpu`."""
    with runtime_api() as api:
        environ = environment(bench.home, **ON_LAMBDA, AWS_LAMBDA_RUNTIME_API=api.address, **settings)
        command = [sys.executable, "-m", "awslambdaric", handler]
        began = time.monotonic()
        process = subprocess.Popen(command, env=environ, cwd=bench.home, stderr=subprocess.DEVNULL)
        try:
            api.wait_for_polls(1)
        finally:
            process.kill()
            _, _, used = os.wait4(process.pid, 0)
            process.returncode = -9  # as just waited for
    cpu.append((used.ru_utime + used.ru_stime) * 1e3)
    return (api.polls[0] - began) * 1e3


def cold(bench: Bench) -> list[Result]:
    """Compare the service with a FastAPI hello and a naive service, and measure what secrets by reference add."""
    made = certificates(bench.home, ["localhost"])
    with secret_store(made.certificate, made.key) as store:
        store.secrets, store.answers_after_s = {"JWT_SECRET": JWT_SECRET}, ANSWERS_AFTER_S
        # In production no other host than AWS's own may be named.
        referenced = {
            "ENVIRONMENT": "test",
            "JWT_SECRET": "",
            "SECRETS_FROM": f"ssm:{PATH}",
            "AWS_ENDPOINT_URL_SSM": store.url,
            "SSL_CERT_FILE": str(made.bundle),
        }
        peers: dict[str, tuple[str, dict[str, str]]] = {name: (handler, {}) for name, handler in PEERS.items()}
        peers[REFERENCED] = (PEERS[SERVICE], referenced)
        cpu: dict[str, list[float]] = {name: [] for name in peers}
        takes = {
            name: functools.partial(start, bench, handler, cpu[name], settings)
            for name, (handler, settings) in peers.items()
        }
        for take in takes.values():
            take()  # compiles to .pyc
        for samples in cpu.values():
            samples.clear()
        by_clock = interleaved(takes, ROUNDS)
        assert len(store.asked) == ROUNDS + 1
    results = [
        Result("cold", "1. Cold start under awslambdaric, exec to the first poll", "ms", by_clock),
        Result("cold cpu", "2. The same in CPU time, which a busy machine disturbs less", "ms of CPU time", cpu),
    ]
    for result in results:
        result.compare("the time of FastAPI + Mangum hello", SERVICE, HELLO, 1.05, at_least=False)
        result.compare("the time of the naive service", SERVICE, NAIVE, 0.75, at_least=False)
        result.compare("the time without secrets by reference", REFERENCED, SERVICE)
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
