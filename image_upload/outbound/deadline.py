"""The deadline of a request, and the timeouts that follow from it."""

import time
from contextvars import ContextVar
from typing import Any, NamedTuple

from image_upload.limits import LAMBDA_ANSWER_MARGIN_S, LAMBDA_DEADLINE_MARGIN_S


class Deadline(NamedTuple):
    """A moment on the monotonic clock."""

    at: float

    @property
    def left_s(self) -> float:
        """Seconds until then, never below zero."""
        return max(0.0, self.at - time.monotonic())


# When Lambda ends this invocation; None outside Lambda.
_killed_at: ContextVar[Deadline | None] = ContextVar("killed_at", default=None)


def enter(context: Any) -> None:
    """Set the deadline from Lambda's context, for the calling task and those that it starts. None removes it.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html (get_remaining_time_in_millis)
    """
    left_s = None if context is None else context.get_remaining_time_in_millis() / 1000
    _killed_at.set(None if left_s is None else Deadline(time.monotonic() + left_s))


def upload_deadline(timeout_s: float) -> Deadline:
    """Return `timeout_s` from now, or `LAMBDA_DEADLINE_MARGIN_S` before Lambda's deadline, whichever is sooner."""
    now = time.monotonic()
    killed_at = _killed_at.get()
    most = now + timeout_s
    return Deadline(most if killed_at is None else max(now, min(most, killed_at.at - LAMBDA_DEADLINE_MARGIN_S)))


def at_most(timeout_s: float | None) -> float | None:
    """Return seconds to wait for S3 or the database: `timeout_s`, or less near Lambda's deadline. None: no timeout."""
    killed_at = _killed_at.get()
    if killed_at is None:
        return timeout_s
    left_s = max(0.0, killed_at.left_s - LAMBDA_ANSWER_MARGIN_S)
    return left_s if timeout_s is None else min(timeout_s, left_s)
