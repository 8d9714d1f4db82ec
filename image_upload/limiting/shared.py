"""Counting in Redis, for all processes together: the library `limits` over redis-py. It takes 300 ms to import."""

import asyncio
import hashlib
import logging
import math
import time

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from image_upload.limits import REDIS_REST_S, REDIS_TIMEOUT_S
from image_upload.setting_values import Rate

log = logging.getLogger(__name__)


class SharedWindows:
    """The counts of all rates, in one Redis. If it fails once, it is left alone for `REDIS_REST_S`."""

    def __init__(self, url: str) -> None:
        self._pool = ConnectionPool.from_url(
            url,
            # Half, so that a connection that died while Lambda was frozen can be replaced in time.
            socket_timeout=REDIS_TIMEOUT_S / 2,
            socket_connect_timeout=REDIS_TIMEOUT_S / 2,
            retry=Retry(NoBackoff(), 1),
        )
        storage = RedisStorage(
            f"async+{url}",
            implementation="redispy",
            key_prefix="image-upload",
            connection_pool=self._pool,  # type: ignore[arg-type]  # handed on to redis-py as it is
        )
        self._windows = SlidingWindowCounterRateLimiter(storage)
        self._rests_until_s = 0.0

    async def hit(self, name: str, rate: Rate, key: str) -> int | None:
        """As `MemoryWindows.hit`; None if Redis does not answer."""
        if time.monotonic() < self._rests_until_s:
            return None
        item = RateLimitItemPerSecond(rate.requests, rate.window_s)
        # Redis need not know who our users are.
        hidden = hashlib.sha256(key.encode()).hexdigest()
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                return 0 if await self._windows.hit(item, name, hidden) else await self._wait_s(item, name, hidden)
        except Exception as error:  # noqa: BLE001  whatever the store of the limits does, the setting decides
            self._rests_until_s = time.monotonic() + REDIS_REST_S
            log.warning("rate limits not shared", extra={"fields": {"reason": type(error).__name__}})
            return None

    async def _wait_s(self, item: RateLimitItem, name: str, key: str) -> int:
        stats = await self._windows.get_window_stats(item, name, key)
        return max(1, math.floor(stats.reset_time - time.time()) + 1)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()
