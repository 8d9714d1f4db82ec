"""Spans of sampled traces, kept until they are sent to the collector. Imported only where TRACES_ENDPOINT is set.

Not OpenTelemetry's SDK: docs/decisions/metrics.md. Attributes have OpenTelemetry's own names, and their values come
from the code: no path, key, query, token or user.
https://opentelemetry.io/docs/specs/semconv/
"""

import asyncio
import contextvars
import functools
import logging
import os
import random
from typing import Final, Protocol

from image_upload.limits import SPANS_BATCH, SPANS_EVERY_S, SPANS_WAITING_MAX
from image_upload.telemetry import otlp
from image_upload.telemetry.metrics import NO_ROUTE, SPANS, Recorder
from image_upload.telemetry.otlp import Attributes
from image_upload.telemetry.trace import TraceContext

log = logging.getLogger(__name__)

# The part of an id that is random by the standard: its last 56 bits.
_RANDOM_DIGITS: Final = 14
_RANDOM_BITS: Final = 56


# A span until it is sent: its form, context, beginning and length. Writing many at once takes less of a processor's
# caches than one behind each request.
Ended = tuple[otlp.SpanForm, TraceContext, int, float]


class Collector(Protocol):
    """Takes documents of OTLP."""

    async def send(self, document: bytes) -> bool:
        """Send a document; return whether it was taken. Never raises."""

    async def aclose(self) -> None:
        """Close the connections."""


class Tracer:
    """Makes the contexts of requests, and sends their spans: in batches, on Lambda before the invocation ends."""

    def __init__(self, ratio: float, collector: Collector, recorder: Recorder | None, *, on_lambda: bool) -> None:
        self._sends_all = ratio >= 1
        self._below = ratio * 2**_RANDOM_BITS
        self._collector = collector
        self._recorder = recorder
        # Then `flush` is called at the end of each event.
        self.on_lambda = on_lambda
        self._waiting: list[Ended] = []
        self._lost = 0
        self._sending: asyncio.Task[None] | None = None
        self._full = asyncio.Event()

    def begin(self, received: TraceContext | None) -> TraceContext:
        """Return the context of a new span, in the trace that was received or a new one."""
        # Both ids at once, and not to be foretold by who has seen others: answers show them. One of zeros, which the
        # standard forbids, takes as long to come as guessing one.
        digits = os.urandom(24).hex()
        trace_id, parent_id = (digits[16:], "") if received is None else (received.trace_id, received.span_id)
        sampled = self._sends_all or int(trace_id[-_RANDOM_DIGITS:], 16) < self._below
        return TraceContext(trace_id, digits[:16], sampled, self if sampled else None, parent_id)

    def add_request(
        self, context: TraceContext, route: str, status: int, began_ns: int, seconds: float, *, problem: str | None
    ) -> None:
        """Add the span of a request. `route` is its method and path, such as `GET /images/{key}`, or `NO_ROUTE`."""
        self._add((_of_request(route, status, problem), context, began_ns, seconds))

    def add_event(self, context: TraceContext, name: str, began_ns: int, seconds: float) -> None:
        """Add the span of an event of Lambda, or of a command."""
        self._add((otlp.form(name, (), kind=otlp.SERVER, failed=False), context, began_ns, seconds))

    def add_below(
        self, parent: TraceContext, name: str, attributes: Attributes, began_ns: int, seconds: float, *, failed: bool
    ) -> None:
        """Add the span of a call that was made within the parent's."""
        own = TraceContext(parent.trace_id, _new_span_id(), sampled=True, parent_id=parent.span_id)
        self._add((otlp.form(name, attributes, kind=otlp.CLIENT, failed=failed), own, began_ns, seconds))

    def _add(self, span: Ended) -> None:
        """Keep a span, and begin to send. Above `SPANS_WAITING_MAX` it is lost."""
        if len(self._waiting) >= SPANS_WAITING_MAX:
            self._lost += 1
            return
        self._waiting.append(span)
        if self.on_lambda:
            return
        if self._sending is None:
            self._begin_to_send()
        elif len(self._waiting) >= SPANS_BATCH:
            self._full.set()

    def _begin_to_send(self) -> None:
        # Outside the request's context: its log lines are of no request.
        self._sending = asyncio.get_running_loop().create_task(self._send_soon(), context=contextvars.Context())

    async def _send_soon(self) -> None:
        try:
            async with asyncio.timeout(SPANS_EVERY_S):
                await self._full.wait()
        except TimeoutError:
            pass
        self._full.clear()
        await self.flush()
        self._sending = None
        if self._waiting:  # what came meanwhile
            self._begin_to_send()

    async def flush(self) -> None:
        """Send what waits. What the collector does not take, and all behind it, is lost; the log says how much."""
        lost, self._lost = self._lost, 0
        spans, self._waiting = self._waiting, []
        is_taken = True
        for start in range(0, len(spans), SPANS_BATCH):
            batch = [
                form.span(context, began_ns, seconds)
                for form, context, began_ns, seconds in spans[start : start + SPANS_BATCH]
            ]
            is_taken = is_taken and await self._collector.send(otlp.document(batch))
            if is_taken:
                self._count(len(batch), "sent")
            else:
                lost += len(batch)
        if lost:
            self._count(lost, "lost")
            log.warning("spans were not sent to the collector", extra={"fields": {"spans": lost}})

    def _count(self, spans: int, outcome: str) -> None:
        if self._recorder is not None:
            self._recorder.record(SPANS, spans, (outcome,))

    async def aclose(self) -> None:
        """Send what waits, once, and close the connections."""
        if self._sending is not None:
            self._full.set()
            await self._sending
        await self.flush()
        await self._collector.aclose()


def _new_span_id() -> str:
    """Return 16 hexadecimal digits, not all of them 0. Guessing one is of no use."""
    return f"{random.getrandbits(64) or 1:016x}"


@functools.lru_cache(maxsize=4096)
def _of_request(route: str, status: int, problem: str | None) -> otlp.SpanForm:
    """Return the form of the spans of requests that ended alike."""
    method, _, path = ("_OTHER", "", "") if route == NO_ROUTE else route.partition(" ")
    attributes: Attributes = (
        ("http.request.method", method),
        ("http.route", path),
        ("http.response.status_code", status),
        *((("error.type", problem),) if problem is not None else ()),
    )
    return otlp.form(route, attributes, kind=otlp.SERVER, failed=status >= 500)
