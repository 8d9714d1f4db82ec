"""How long a proxied upload may still take."""

import time
from typing import NamedTuple

from starlette.types import Scope

from image_upload.limits import LAMBDA_DEADLINE_MARGIN_S


class Deadline(NamedTuple):
    """A moment on the monotonic clock."""

    at: float

    @property
    def left_s(self) -> float:
        """Seconds that are left, never below zero."""
        return max(0.0, self.at - time.monotonic())


def deadline_of(scope: Scope, timeout_s: float) -> Deadline:
    """`timeout_s` from now, or shortly before Lambda would kill the process, whichever is sooner.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html (get_remaining_time_in_millis)
    """
    context = scope.get("aws.context")
    if context is not None:
        timeout_s = min(timeout_s, context.get_remaining_time_in_millis() / 1000 - LAMBDA_DEADLINE_MARGIN_S)
    return Deadline(time.monotonic() + max(0.0, timeout_s))
