"""Measure the form proxy behind a Function URL."""

import functools
from statistics import median

from bench.measuring import (
    Result,
    interleaved,
)
from bench.proxy_sink import Sink
from bench.run import Bench
from bench.surroundings import ON_LAMBDA
from bench.ways import NAIVE, signed_for


def on_lambda(bench: Bench) -> list[Result]:
    """Measure a form through `upload.handler`, as an event of Lambda."""
    store = Sink(bench).store()
    settings = {**store.settings(), **ON_LAMBDA, "BENCH_UPLOAD_URL": signed_for(store)("uploads/0123456789abcdef.jpg")}
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
