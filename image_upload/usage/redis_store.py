"""Connections to Redis with short timeouts, so that a failing Redis does not delay requests."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from image_upload.limits import REDIS_CONNECTIONS, REDIS_TIMEOUT_S
from image_upload.telemetry.calls import REDIS, measured, operation_of
from image_upload.usage.shared_store import SharedStore

Answer = TypeVar("Answer")


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

    async def ask(self, question: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """See `SharedStore`. Its span has the wait for a connection, too."""
        with measured(REDIS, operation_of(question)) as call:
            answer = await super().ask(question)
            call.outcome = "failed" if answer is None else "ok"
            return answer

    async def aclose(self) -> None:
        """Close the connections."""
        await self.pool.aclose()
