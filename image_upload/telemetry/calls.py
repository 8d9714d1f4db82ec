"""Measure a call of another server: its span, and of S3 and the database how often, how it ended, how long it took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from image_upload.telemetry import ongoing
from image_upload.telemetry.metrics import DATABASE_CALLS, DATABASE_SECONDS, S3_CALLS, S3_SECONDS, Metric


class System(NamedTuple):
    """What is called: its metrics, if any, and the span's attributes beside the operation."""

    metrics: tuple[Metric, Metric] | None
    operation_attribute: str
    attributes: tuple[tuple[str, str | int], ...]


def _aws(service: str, metrics: tuple[Metric, Metric] | None = None) -> System:
    return System(metrics, "rpc.method", (("rpc.system", "aws-api"), ("rpc.service", service)))


S3: Final = _aws("S3", (S3_CALLS, S3_SECONDS))
SQS: Final = _aws("SQS")
EVENT_BUS: Final = _aws("EventBridge")
REDIS: Final = System(None, "db.operation.name", (("db.system.name", "redis"),))
WEBHOOK: Final = System(None, "peer.service", (("http.request.method", "POST"),))


def database(name: str) -> System:
    """Return a database, by OpenTelemetry's name of its kind."""
    return System((DATABASE_CALLS, DATABASE_SECONDS), "db.operation.name", (("db.system.name", name),))


def operation_of(work: Callable[..., Any]) -> str:
    """Return whose work a function is, such as `Records.claim`, by the method that has defined it."""
    return work.__qualname__.partition(".<locals>")[0].replace("._", ".")


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
    under_way = ongoing.current.get()
    recorder = None if under_way is None or system.metrics is None else under_way.recorder
    parent = None if under_way is None else under_way.trace
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
        if recorder is not None and system.metrics is not None:
            calls, durations = system.metrics
            recorder.record(calls, 1, (operation, call.outcome))
            recorder.record(durations, seconds, (operation,))
        if parent is not None and tracer is not None:
            attributes = (*system.attributes, (system.operation_attribute, operation), ("outcome", call.outcome))
            tracer.add_below(parent, operation, attributes, began_ns, seconds, failed=call.outcome not in _ANSWERED)
