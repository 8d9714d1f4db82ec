"""Connections to Redis with short timeouts, so that a failing Redis does not delay requests."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from image_upload.limits import REDIS_CONNECTIONS, REDIS_REST_S, REDIS_TIMEOUT_S

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class RedisStore:
    """Connections to one Redis. After a failure it is not used for `REDIS_REST_S`."""

    def __init__(self, url: str) -> None:
        self.pool = ConnectionPool.from_url(
            url,
            # Half, so that there is time to replace a connection that broke while Lambda was frozen.
            socket_timeout=REDIS_TIMEOUT_S / 2,
            socket_connect_timeout=REDIS_TIMEOUT_S / 2,
            retry=Retry(NoBackoff(), 1),
        )
        self._rests_until_s = 0.0
        # Waiting for a free connection happens here, so that it does not count as a failure of Redis.
        self._connections = asyncio.Semaphore(REDIS_CONNECTIONS)

    async def ask(self, question: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Send a question to Redis; return its answer, or None if it fails."""
        async with self._connections:
            if time.monotonic() < self._rests_until_s:
                return None
            try:
                async with asyncio.timeout(REDIS_TIMEOUT_S):
                    return await question()
            except Exception as error:  # noqa: BLE001  for any failure of Redis the setting decides what happens
                self._rests_until_s = time.monotonic() + REDIS_REST_S
                log.warning("rate limits not shared", extra={"fields": {"reason": type(error).__name__}})
                return None

    async def aclose(self) -> None:
        """Close the connections."""
        await self.pool.aclose()
