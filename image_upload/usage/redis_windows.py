"""Count in Redis, for all processes: the library `limits` over redis-py. Importing takes 300 ms."""

import hashlib
import math
import time

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from image_upload.settings.values import Rate
from image_upload.usage.redis_store import RedisStore


class SharedWindows:
    """The counts of all rates, in one Redis."""

    def __init__(self, url: str) -> None:
        self._redis = RedisStore(url)
        storage = RedisStorage(
            f"async+{url}",
            implementation="redispy",
            key_prefix="image-upload",
            connection_pool=self._redis.pool,  # type: ignore[arg-type]  # passed on to redis-py as it is
        )
        self._windows = SlidingWindowCounterRateLimiter(storage)

    async def hit(self, name: str, rate: Rate, key: str, cost: int) -> int | None:
        """Count as `MemoryWindows.hit` does; return None if Redis does not answer."""
        item = RateLimitItemPerSecond(rate.requests, rate.window_s)
        # Redis stores no user ids.
        hidden = hashlib.sha256(key.encode()).hexdigest()

        async def count() -> int:
            allowed = await self._windows.hit(item, name, hidden, cost=min(cost, rate.requests))
            return 0 if allowed else await self._wait_s(item, name, hidden)

        return await self._redis.ask(count)

    async def _wait_s(self, item: RateLimitItem, name: str, key: str) -> int:
        stats = await self._windows.get_window_stats(item, name, key)
        return max(1, math.floor(stats.reset_time - time.time()) + 1)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
