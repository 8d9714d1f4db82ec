"""What is under way: a request, an event of Lambda or a command. One variable, because each costs every request."""

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from image_upload.telemetry.audit import AuditEvent
    from image_upload.telemetry.metrics import Recorder
    from image_upload.telemetry.trace import TraceContext


class Ongoing:
    """`trace` is None if it belongs to none, `recorder` without METRICS, `events` if it is no request."""

    __slots__ = ("events", "recorder", "trace")

    def __init__(
        self, trace: "TraceContext | None", recorder: "Recorder | None", events: "list[AuditEvent] | None"
    ) -> None:
        self.trace = trace
        self.recorder = recorder
        self.events = events


# None outside: a library's calls, a process that starts.
current: ContextVar[Ongoing | None] = ContextVar("ongoing", default=None)
