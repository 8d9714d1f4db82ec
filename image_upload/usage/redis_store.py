"""Connections to Redis with short timeouts, so that a failing Redis does not delay requests."""

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from image_upload.limits import REDIS_CONNECTIONS, REDIS_TIMEOUT_S
from image_upload.usage.shared_store import SharedStore


class RedisStore(SharedStore):
    """Connections to one Redis."""

    def __init__(self, url: str) -> None:
        super().__init__(REDIS_CONNECTIONS, REDIS_TIMEOUT_S)
        self.pool = ConnectionPool.from_url(
            url,
            # Half, so that there is time to replace a connection that broke while Lambda was frozen.
            socket_timeout=REDIS_TIMEOUT_S / 2,
            socket_connect_timeout=REDIS_TIMEOUT_S / 2,
            retry=Retry(NoBackoff(), 1),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self.pool.aclose()
