"""Measure requests and events of one service: metrics, spans, and the trace that each belongs to."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from image_upload.settings.telemetry import TelemetrySettings
from image_upload.telemetry import ongoing, trace
from image_upload.telemetry.metrics import (
    NO_ROUTE,
    UPLOADS,
    Recorder,
)
from image_upload.telemetry.ongoing import Ongoing
from image_upload.telemetry.trace import TraceContext

if TYPE_CHECKING:
    from starlette.types import Scope

    from image_upload.telemetry.audit import AuditEvent
    from image_upload.telemetry.tracing import Tracer

log = logging.getLogger("image_upload.metrics")

# What of the audit log's actions is the state of an upload.
_STATES: Final = {"mint": "begun", "store": "begun", "abort": "abandoned"}


def recorder_of(settings: TelemetrySettings) -> Recorder | None:
    """Return what metrics are recorded with; None without METRICS."""
    if not settings.metrics:
        return None
    if settings.lambda_function_name is not None:
        from image_upload.telemetry.emf import Invocation  # each place needs one of them

        return Invocation(settings.lambda_function_name)
    from image_upload.telemetry.prometheus import Registry  # the same

    return Registry()


def route_of(scope: "Scope") -> str:
    """Return a request's route, such as `GET /images/{key}`, or `NO_ROUTE`: never what the client wrote."""
    route = scope.get("route")
    if route is None or scope["method"] not in (route.methods or ()):
        return NO_ROUTE
    return f"{scope['method']} {route.path_format}"


class Telemetry:
    """The recorder and the tracer of one service, where there are any."""

    def __init__(self, recorder: Recorder | None, tracer: "Tracer | None") -> None:
        self.recorder = recorder
        self.tracer = tracer
        # Whether spans are sent before an event ends, because the process is frozen afterwards.
        self.flushes = tracer is not None and tracer.on_lambda

    async def aclose(self) -> None:
        """Send what waits."""
        if self.tracer is not None:
            await self.tracer.aclose()

    async def flush(self) -> None:
        """Send what waits, where the process is frozen afterwards."""
        if self.tracer is not None and self.flushes:
            await self.tracer.flush()

    def enter(self, scope: "Scope") -> "Measured":
        """Begin to measure a request."""
        return Measured(self, trace.received(scope["headers"]), [])

    @asynccontextmanager
    async def event(self, name: str, received: TraceContext | None = None) -> AsyncIterator[None]:
        """Measure what is not a request: an event of Lambda, or a command. It may go on with a trace."""
        measured = Measured(self, received, None)
        began = time.perf_counter()
        try:
            yield
        finally:
            measured.end_event(name, time.perf_counter() - began)
            for document in [] if self.recorder is None else self.recorder.documents():
                log.info("metrics", extra={"members": document})
            measured.leave()
            await self.flush()


class Measured(Ongoing):
    """A request or an event under way. `sent_bytes` are those of the answer's body."""

    __slots__ = ("_began_ns", "_token", "_tracer", "sent_bytes")

    def __init__(self, telemetry: Telemetry, received: TraceContext | None, events: "list[AuditEvent] | None") -> None:
        tracer = telemetry.tracer
        if tracer is None:
            context, self._began_ns = received, 0
        else:
            context, self._began_ns = tracer.begin(received), time.time_ns()
        self.trace, self.recorder, self.events = context, telemetry.recorder, events
        self._tracer = None if context is None else context.tracer
        self.sent_bytes = 0
        self._token = ongoing.current.set(self)

    @property
    def begun_trace_id(self) -> str:
        """The id of the trace that begins here; empty if it goes on with a client's, or belongs to none."""
        context = self.trace
        return "" if context is None or context.parent_id or self._began_ns == 0 else context.trace_id

    def end(self, scope: "Scope", status: int, seconds: float) -> list[str]:
        """Record the request and what it has begun; return what belongs into log lines."""
        recorder, tracer = self.recorder, self._tracer
        if recorder is None and tracer is None:
            return []
        route = route_of(scope)
        if self.trace is not None and tracer is not None:
            tracer.add_request(self.trace, route, status, self._began_ns, seconds, problem=scope.get("problem"))
        if recorder is None:
            return []
        outcome = f"{status} {scope['problem']}" if "problem" in scope else str(status)
        recorder.request(route, outcome, seconds, scope.get("received_bytes", 0), self.sent_bytes)
        for event in self.events or ():
            if event.action in _STATES and status < 400:
                recorder.record(UPLOADS, 1, (event.purpose or "", _STATES[event.action]))
        return recorder.documents()

    def end_event(self, name: str, seconds: float) -> None:
        """Add the span of an event, if its trace is sent."""
        if self.trace is not None and self._tracer is not None:
            self._tracer.add_event(self.trace, name, self._began_ns, seconds)

    def leave(self) -> None:
        """End it for the log, too."""
        ongoing.current.reset(self._token)
