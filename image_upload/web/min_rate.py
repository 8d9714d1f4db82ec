"""Limit simultaneous uploads through the process, and refuse clients that send too slowly."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from image_upload.errors import ClientTooSlow, TooManyUploads
from image_upload.limits import (
    CLIENT_BUSY_MIN_BYTES_PER_S,
    CLIENT_IDLE_S,
    CLIENT_MIN_BYTES_PER_S,
    UPLOADS_AT_ONCE,
    UPLOADS_FOR_USERS,
)

# Retry-After, in seconds, when all slots are taken.
RETRY_AFTER_S = 2


class ConcurrencyLimit:
    """A limit for simultaneous uploads. Further ones are refused, not queued.

    An address or a user gets at most `share` of the slots, and the last `for_users` are for signed-in users only.
    """

    def __init__(self, share: int, most: int = UPLOADS_AT_ONCE, for_users: int = UPLOADS_FOR_USERS) -> None:
        self._share = share
        self._most = most
        self._for_users = for_users
        self._taken: Counter[str] = Counter()

    @contextmanager
    def slot(self, client: str, *, signed_in: bool) -> Iterator[None]:
        """Hold a slot for an address or a user. Raises `TooManyUploads`."""
        most = self._most if signed_in else self._most - self._for_users
        if self._taken.total() >= most or self._taken[client] >= self._share:
            raise too_busy()
        self._taken[client] += 1
        try:
            yield
        finally:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]

    @property
    def are_scarce(self) -> bool:
        """Return whether three quarters of the slots are taken."""
        return self._taken.total() * 4 >= self._most * 3


def too_busy() -> TooManyUploads:
    """Return the problem for an upload without a free slot, buffer or disk space."""
    return TooManyUploads(
        "The service takes no more uploads at the moment. Nothing was stored. Try again in a few seconds, or send the "
        "file to S3 itself.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


async def enforce_min_rate(
    stream: AsyncIterator[bytes],
    is_busy: Callable[[], bool] = lambda: False,
    *,
    idle_s: float = CLIENT_IDLE_S,
    min_bytes_per_s: float = CLIENT_MIN_BYTES_PER_S,
) -> AsyncIterator[bytes]:
    """Yield the stream's chunks. Raises `ClientTooSlow` after `idle_s` without one, or below the least average rate.

    The least rate is higher while the service is busy. Only the time that the service waits for the client counts, not
    the time in which a slow S3 keeps it from reading.
    """
    waited_s, received = 0.0, 0
    while True:
        started = time.monotonic()
        try:
            async with asyncio.timeout(idle_s):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _too_slow() from None
        waited_s += time.monotonic() - started
        received += len(chunk)
        least = CLIENT_BUSY_MIN_BYTES_PER_S if is_busy() else min_bytes_per_s
        if waited_s > idle_s and received < least * waited_s:
            raise _too_slow()
        yield chunk


def _too_slow() -> ClientTooSlow:
    return ClientTooSlow("The file arrives too slowly. Send it again over a faster line.")
