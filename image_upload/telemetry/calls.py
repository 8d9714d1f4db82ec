"""Measure a call of S3 or the database: how often, how it ended, how long it took, and its span."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from image_upload.telemetry import metrics, trace
from image_upload.telemetry.metrics import DATABASE_CALLS, DATABASE_SECONDS, S3_CALLS, S3_SECONDS, Metric


class System(NamedTuple):
    """What is called: its metrics, and the span's attributes beside the operation."""

    calls: Metric
    seconds: Metric
    operation_attribute: str
    attributes: tuple[tuple[str, str | int], ...]


S3: Final = System(S3_CALLS, S3_SECONDS, "rpc.method", (("rpc.system", "aws-api"), ("rpc.service", "S3")))


def database(name: str) -> System:
    """Return a database, by OpenTelemetry's name of its kind."""
    return System(DATABASE_CALLS, DATABASE_SECONDS, "db.operation.name", (("db.system.name", name),))


# Outcomes that are no failure of what was called.
_ANSWERED: Final = ("ok", "missing", "refused")


def outcome_of(status: int) -> str:
    """Return how a call ended that got an answer with this status of HTTP."""
    if status < 400:
        return "ok"
    if status == 404:
        return "missing"
    return "failed" if status >= 500 or status in (408, 429) else "refused"


class Call:
    """A call that is under way. It ends as `outcome` says, which is set before the block is left."""

    outcome = "interrupted"


@contextmanager
def measured(system: System, operation: str) -> Iterator[Call]:
    """Measure what is done in the block. `operation` comes from the code, so there are few of them."""
    recorder, parent = metrics.recorder.get(), trace.current.get()
    tracer = None if parent is None else parent.tracer
    call = Call()
    if recorder is None and tracer is None:
        yield call
        return
    began_ns, began = time.time_ns(), time.perf_counter()
    try:
        yield call
    finally:
        seconds = time.perf_counter() - began
        if recorder is not None:
            recorder.record(system.calls, 1, (operation, call.outcome))
            recorder.record(system.seconds, seconds, (operation,))
        if parent is not None and tracer is not None:
            attributes = (*system.attributes, (system.operation_attribute, operation), ("outcome", call.outcome))
            tracer.add_below(parent, operation, attributes, began_ns, seconds, failed=call.outcome not in _ANSWERED)
