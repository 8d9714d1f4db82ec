"""Which failures to retry, and how long to wait before the next attempt.

https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tenacity import RetryCallState
from tenacity.wait import wait_base, wait_random_exponential

from image_upload.limits import RETRY_AFTER_MAX_S

# Failures that may be temporary. Any other 4xx would be answered the same again.
RETRYABLE_STATUSES = frozenset({408, 429, *range(500, 600)})

# The first pause is at most half a second, each further one at most twice as long, none above 10 s.
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 10.0


class RetryableError(Exception):
    """An attempt failed, but the next one may succeed. `retry_after_s` is the pause that the store asked for."""

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        ambiguous: bool = False,
        timed_out: bool = False,
    ) -> None:
        super().__init__(reason)
        self.timed_out = timed_out
        # The connection broke after the last byte: the store may have stored the object.
        self.ambiguous = ambiguous
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


def retry_after_s(header: str | None, now: datetime, most_s: float = RETRY_AFTER_MAX_S) -> float | None:
    """Parse both forms of RFC 9110 section 10.2.3; return seconds from now, 0 to `most_s`, or None."""
    if header is None:
        return None
    if header.isascii() and header.isdigit():
        seconds = float(header)
    else:
        try:
            moment = parsedate_to_datetime(header)
        except (ValueError, OverflowError):  # OverflowError: a zone offset above 24 hours
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(0.0, seconds), most_s)


class RetryPause(wait_base):
    """The pause that the store asked for, else exponential back-off with full jitter."""

    def __init__(self) -> None:
        self._backoff = wait_random_exponential(multiplier=BACKOFF_FIRST_S, max=BACKOFF_MAX_S)

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return seconds to wait before the next attempt."""
        outcome = retry_state.outcome
        error = outcome.exception() if outcome is not None else None
        if isinstance(error, RetryableError) and error.retry_after_s is not None:
            return error.retry_after_s
        return self._backoff(retry_state)
