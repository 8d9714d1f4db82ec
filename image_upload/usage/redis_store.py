"""One Redis for all processes, which must never hold a request up: redis-py, and what happens when it fails."""

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
    """Connections to one Redis. If it fails once, it is left alone for `REDIS_REST_S`."""

    def __init__(self, url: str) -> None:
        self.pool = ConnectionPool.from_url(
            url,
            # Half, so that a connection that died while Lambda was frozen can be replaced in time.
            socket_timeout=REDIS_TIMEOUT_S / 2,
            socket_connect_timeout=REDIS_TIMEOUT_S / 2,
            retry=Retry(NoBackoff(), 1),
        )
        self._rests_until_s = 0.0
        # Who waits for a connection waits for others here, not for Redis: a crowd is no failure of it.
        self._places = asyncio.Semaphore(REDIS_CONNECTIONS)

    async def ask(self, question: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Return what it answers; None if it does not."""
        async with self._places:
            if time.monotonic() < self._rests_until_s:
                return None
            try:
                async with asyncio.timeout(REDIS_TIMEOUT_S):
                    return await question()
            except Exception as error:  # noqa: BLE001  whatever the store of the limits does, the setting decides
                self._rests_until_s = time.monotonic() + REDIS_REST_S
                log.warning("rate limits not shared", extra={"fields": {"reason": type(error).__name__}})
                return None

    async def aclose(self) -> None:
        """Close the connections."""
        await self.pool.aclose()
