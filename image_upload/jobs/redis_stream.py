"""A stream of Redis as the queue. Workers read it as a consumer group.

https://redis.io/docs/latest/develop/data-types/streams/
"""

import asyncio

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from image_upload.jobs.queue import unavailable
from image_upload.limits import QUEUE_TIMEOUT_S, STREAM_MAX_MESSAGES
from image_upload.settings.tasks import QueueAddress


class RedisStream:
    """A `Queue`. Each entry has one field, `message`."""

    def __init__(self, address: QueueAddress) -> None:
        self._stream = address.stream
        self._redis = Redis.from_url(
            address.url,
            # Half, so that there is time to replace a connection that broke while Lambda was frozen.
            socket_timeout=QUEUE_TIMEOUT_S / 2,
            socket_connect_timeout=QUEUE_TIMEOUT_S / 2,
            retry=Retry(NoBackoff(), 1),
        )

    async def send(self, message: str) -> None:
        """See `Queue`."""
        try:
            async with asyncio.timeout(QUEUE_TIMEOUT_S):
                await self._redis.xadd(self._stream, {"message": message}, maxlen=STREAM_MAX_MESSAGES, approximate=True)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            raise unavailable(type(error).__name__) from None

    async def aclose(self) -> None:
        """See `Queue`."""
        await self._redis.aclose()
