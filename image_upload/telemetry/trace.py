"""Which trace a request belongs to, by W3C Trace Context.

https://www.w3.org/TR/trace-context/

The header comes from the client: what is not of its exact form is ignored. `tracestate` is not passed on.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from image_upload.telemetry import ongoing

if TYPE_CHECKING:
    from image_upload.telemetry.tracing import Tracer

# Section 3.2: neither version ff nor ids of zeros. A later version may have more behind these 55 characters.
_FORM: Final = rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
_LENGTH: Final = 55


class TraceContext(NamedTuple):
    """The trace, and in it the span that what happens now belongs to: ids in lower-case hexadecimal.

    Without a `tracer` nothing of it is sent from here. `parent_id` is the span above; "" in the first span of a trace.
    """

    trace_id: str
    span_id: str
    sampled: bool
    tracer: "Tracer | None" = None
    parent_id: str = ""

    @property
    def traceparent(self) -> str:
        """The header for servers that this service calls."""
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled:02x}"


def current() -> TraceContext | None:
    """Return the context of the current request or event; None if it belongs to no trace."""
    under_way = ongoing.current.get()
    return None if under_way is None else under_way.trace


def received(headers: Iterable[tuple[bytes, bytes]]) -> TraceContext | None:
    """Return what the client says; None if it says nothing, or not exactly once in the form of the standard."""
    found = None
    for name, value in headers:
        if name == b"traceparent":
            if found is not None:
                return None
            found = value
    return None if found is None else parse(found)


def parse(value: bytes) -> TraceContext | None:
    """Return the context of a header's value; None if it is not of the form of the standard."""
    match = re.match(_FORM, value)
    if match is None:
        return None
    version, trace_id, span_id, flags = (group.decode() for group in match.groups())
    if len(value) > _LENGTH and (version == "00" or value[_LENGTH : _LENGTH + 1] != b"-"):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & 1))


def header() -> dict[str, str]:
    """Return the `traceparent` for a request to another server; empty outside a trace."""
    context = current()
    return {} if context is None else {"traceparent": context.traceparent}
