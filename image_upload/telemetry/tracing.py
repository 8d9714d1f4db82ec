"""Spans of sampled traces, kept until they are sent to the collector. Imported only where TRACES_ENDPOINT is set.

Not OpenTelemetry's SDK: docs/decisions/metrics.md. Attributes have OpenTelemetry's own names, and their values come
from the code: no path, key, query, token or user.
https://opentelemetry.io/docs/specs/semconv/
"""

import asyncio
import contextvars
import functools
import logging
import random
from collections.abc import Sequence
from typing import Final, Protocol

from image_upload import __version__
from image_upload.limits import SPANS_BATCH, SPANS_EVERY_S, SPANS_WAITING_MAX
from image_upload.telemetry.metrics import NO_ROUTE, SPANS, Recorder
from image_upload.telemetry.trace import TraceContext

log = logging.getLogger(__name__)

# https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
SERVER: Final = 2
CLIENT: Final = 3
_ERROR: Final = 2

# The part of an id that is random by the standard: its last 56 bits.
_RANDOM_DIGITS: Final = 14
_RANDOM_BITS: Final = 56

Attributes = tuple[tuple[str, str | int], ...]


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
        # Spans as JSON.
        self._waiting: list[str] = []
        self._lost = 0
        self._sending: asyncio.Task[None] | None = None
        self._full = asyncio.Event()

    def begin(self, received: TraceContext | None) -> TraceContext:
        """Return the context of a new span, in the trace that was received or a new one."""
        # Both ids at once; one of zeros, which the standard forbids, takes as long to come as guessing one.
        digits = random.randbytes(24).hex()
        trace_id, parent_id = (digits[16:], "") if received is None else (received.trace_id, received.span_id)
        sampled = self._sends_all or int(trace_id[-_RANDOM_DIGITS:], 16) < self._below
        return TraceContext(trace_id, digits[:16], sampled, self if sampled else None, parent_id)

    def add_request(
        self, context: TraceContext, route: str, status: int, began_ns: int, seconds: float, *, problem: str | None
    ) -> None:
        """Add the span of a request. `route` is its method and path, such as `GET /images/{key}`, or `NO_ROUTE`."""
        self._add(_as_json(context, _of_request(route, status, problem), began_ns, seconds))

    def add_event(self, context: TraceContext, name: str, began_ns: int, seconds: float) -> None:
        """Add the span of an event of Lambda, or of a command."""
        self._add(_as_json(context, _described(name, (), kind=SERVER, failed=False), began_ns, seconds))

    def add_below(
        self, parent: TraceContext, name: str, attributes: Attributes, began_ns: int, seconds: float, *, failed: bool
    ) -> None:
        """Add the span of a call that was made within the parent's."""
        own = TraceContext(parent.trace_id, _new_span_id(), sampled=True, parent_id=parent.span_id)
        self._add(_as_json(own, _described(name, attributes, kind=CLIENT, failed=failed), began_ns, seconds))

    def _add(self, span: str) -> None:
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
            batch = spans[start : start + SPANS_BATCH]
            is_taken = is_taken and await self._collector.send(encoded(batch))
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


def encoded(spans: Sequence[str]) -> bytes:
    """Return spans as a request of OTLP.

    https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
    """
    return f"{_HEAD}{','.join(spans)}{_TAIL}".encode()


def _as_json(context: TraceContext, described: str, began_ns: int, seconds: float) -> str:
    """Return a span. Nothing in it has a character that JSON would escape, as it comes from the code.

    It took place from a moment on, in nanoseconds since 1970. Written as text, in a third of the time of an encoder.
    """
    return (
        f'{{"traceId":"{context.trace_id}","spanId":"{context.span_id}","parentSpanId":"{context.parent_id}",'
        f'"startTimeUnixNano":"{began_ns}","endTimeUnixNano":"{began_ns + int(seconds * 1e9)}",{described}}}'
    )


@functools.lru_cache(maxsize=4096)
def _of_request(route: str, status: int, problem: str | None) -> str:
    """Return what the spans of requests have in common that ended alike."""
    method, _, path = ("_OTHER", "", "") if route is NO_ROUTE else route.partition(" ")
    attributes: Attributes = (
        ("http.request.method", method),
        ("http.route", path),
        ("http.response.status_code", status),
        *((("error.type", problem),) if problem is not None else ()),
    )
    return _described(route, attributes, kind=SERVER, failed=status >= 500)


@functools.lru_cache(maxsize=4096)
def _described(name: str, attributes: Attributes, *, kind: int, failed: bool) -> str:
    """Return the members of a span that many have in common."""
    listed = ",".join([_attribute(*each) for each in attributes])
    return f'"name":"{name}","kind":{kind},"attributes":[{listed}],"status":{_FAILED if failed else "{}"}'


def _attribute(name: str, value: str | int) -> str:
    kind = "stringValue" if isinstance(value, str) else "intValue"
    return f'{{"key":"{name}","value":{{"{kind}":"{value}"}}}}'


_FAILED: Final = f'{{"code":{_ERROR}}}'
_RESOURCE: Final = ",".join((_attribute("service.name", "image-upload"), _attribute("service.version", __version__)))
_HEAD: Final = (
    f'{{"resourceSpans":[{{"resource":{{"attributes":[{_RESOURCE}]}},'
    f'"scopeSpans":[{{"scope":{{"name":"image_upload","version":"{__version__}"}},"spans":['
)
_TAIL: Final = "]}]}]}"
