"""Hold clients to a pace: a place for each upload, and no waiting for one that does not send."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from image_upload.errors import TooBusy, TooSlow
from image_upload.limits import CLIENT_IDLE_S, CLIENT_MIN_BYTES_PER_S, UPLOADS_AT_ONCE

# What a client is told to wait when all places are taken.
RETRY_AFTER_S = 2


class Places:
    """A bounded number of uploads at once; the next one is turned away, not queued."""

    def __init__(self, most: int = UPLOADS_AT_ONCE) -> None:
        self._free = most

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place. Raises `TooBusy`."""
        if self._free == 0:
            raise TooBusy(
                "The service takes no more uploads at the moment. Nothing was stored. Try again in a few seconds, or "
                "send the file to S3 itself.",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


async def paced(
    stream: AsyncIterator[bytes], *, idle_s: float = CLIENT_IDLE_S, min_bytes_per_s: float = CLIENT_MIN_BYTES_PER_S
) -> AsyncIterator[bytes]:
    """The stream itself, until the client falls silent for `idle_s` or below the least average rate.

    Only time spent waiting for the client counts: while S3 is slow it is us who do not read.
    Raises `TooSlow`.
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
        if waited_s > idle_s and received < min_bytes_per_s * waited_s:
            raise _too_slow()
        yield chunk


def _too_slow() -> TooSlow:
    return TooSlow("The form arrives too slowly; nothing was stored. Send it again over a faster line.")
