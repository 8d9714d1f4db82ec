"""Ask a store that processes share, so that its failure does not delay every request."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from image_upload.limits import REDIS_REST_S

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class SharedStore:
    """Ask at most `connections` questions at once. After a failure ask none for `REDIS_REST_S`."""

    def __init__(self, connections: int, timeout_s: float) -> None:
        # Waiting for a free connection happens here, so that it does not count as a failure of the store.
        self._connections = asyncio.Semaphore(connections)
        self._timeout_s = timeout_s
        self._rests_until_s = 0.0

    async def ask(self, question: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Send a question to the store; return its answer, or None if it fails or takes longer than `timeout_s`."""
        async with self._connections:
            if time.monotonic() < self._rests_until_s:
                return None
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await question()
            except Exception as error:  # noqa: BLE001  for any failure of the store the setting decides what happens
                self._rests_until_s = time.monotonic() + REDIS_REST_S
                log.warning("rate limits not shared", extra={"fields": {"reason": type(error).__name__}})
                return None
