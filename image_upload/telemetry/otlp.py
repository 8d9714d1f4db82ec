"""Spans in OpenTelemetry's binary form (OTLP), written field by field: a third of the length of its JSON.

https://opentelemetry.io/docs/specs/otlp/#binary-protobuf-encoding
https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
"""

import functools
import struct
from collections.abc import Callable, Sequence
from typing import Final

from image_upload import __version__
from image_upload.telemetry.trace import TraceContext

SERVER: Final = 2
CLIENT: Final = 3
_ERROR: Final = 2

Attributes = tuple[tuple[str, str | int], ...]

# What comes before a field's value: its number, and how its end is found.
# https://protobuf.dev/programming-guides/encoding/#structure
_VARINT: Final = 0
_FIXED64: Final = 1
_LENGTH: Final = 2


def _tag(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(value: int) -> bytes:
    """Return a whole number from 0 in groups of 7 bits, the lowest first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


@functools.lru_cache(maxsize=1024)
def _before(number: int, length: int) -> bytes:
    """Return what comes before a text, bytes or a message of this length."""
    return _tag(number, _LENGTH) + _varint(length)


def _field(number: int, value: bytes) -> bytes:
    return _before(number, len(value)) + value


def _attribute(number: int, name: str, value: str | int) -> bytes:
    """Return a `KeyValue` of `common.proto`."""
    known = _field(1, value.encode()) if isinstance(value, str) else _tag(3, _VARINT) + _varint(value)
    return _field(number, _field(1, name.encode()) + _field(2, known))


_ITS_TRACE: Final = _before(1, 16)
_ITS_ID: Final = _before(2, 8)
_ITS_PARENT: Final = _before(4, 8)
_ITS_START: Final = _tag(7, _FIXED64)
_ITS_END: Final = _tag(8, _FIXED64)


class SpanForm:
    """Writes spans that have fields in common: each with one call, because every request with a trace has a span."""

    __slots__ = ("_below", "_first")

    def __init__(self, common: bytes) -> None:
        self._first = _layout(common, b"")
        self._below = _layout(common, _ITS_PARENT)

    def span(self, context: TraceContext, began_ns: int, seconds: float) -> bytes:
        """Return a span as a field of `ScopeSpans`. It took place from a moment on, in nanoseconds since 1970."""
        trace_id, span_id, ended_ns = context.trace_id, context.span_id, began_ns + int(seconds * 1e9)
        pack, before, behind = self._below if context.parent_id else self._first
        return pack(
            before,
            bytes.fromhex(trace_id),
            _ITS_ID,
            bytes.fromhex(span_id),
            _ITS_START,
            began_ns,
            _ITS_END,
            ended_ns,
            behind,
            bytes.fromhex(context.parent_id),
        )


def _layout(common: bytes, before_parent: bytes) -> tuple[Callable[..., bytes], bytes, bytes]:
    """Return what packs a span, and what is before its trace's id and behind its end. Its parent's id is the last."""
    behind = common + before_parent
    fields = f"16s2s8s1sQ1sQ{len(behind)}s{8 if before_parent else 0}s"
    before = _before(2, len(_ITS_TRACE) + struct.calcsize(f"<{fields}")) + _ITS_TRACE
    return struct.Struct(f"<{len(before)}s{fields}").pack, before, behind


@functools.lru_cache(maxsize=4096)
def form(name: str, attributes: Attributes, *, kind: int, failed: bool) -> SpanForm:
    """Return the form of spans with these fields. They come from the code, so there are few of them."""
    listed = b"".join([_attribute(9, *each) for each in attributes])
    status = _field(15, _tag(3, _VARINT) + _varint(_ERROR)) if failed else b""
    return SpanForm(_field(5, name.encode()) + _tag(6, _VARINT) + _varint(kind) + listed + status)


_RESOURCE: Final = _field(
    1, _attribute(1, "service.name", "image-upload") + _attribute(1, "service.version", __version__)
)
_SCOPE: Final = _field(1, _field(1, b"image_upload") + _field(2, __version__.encode()))


def document(spans: Sequence[bytes]) -> bytes:
    """Return spans as an `ExportTraceServiceRequest`."""
    in_scope = len(_SCOPE) + sum(map(len, spans))
    before_scope = _before(2, in_scope)
    in_resource = len(_RESOURCE) + len(before_scope) + in_scope
    return b"".join((_before(1, in_resource), _RESOURCE, before_scope, _SCOPE, *spans))
