"""A stream of Redis as the queue. Workers read it as a consumer group.

https://redis.io/docs/latest/develop/data-types/streams/
"""

import asyncio

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from image_upload.jobs.queue import unavailable
from image_upload.limits import QUEUE_TIMEOUT_S, STREAM_MAX_MESSAGES
from image_upload.settings.tasks import QueueAddress
from image_upload.telemetry.calls import REDIS, measured


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
            with measured(REDIS, "RedisStream.send") as call:
                async with asyncio.timeout(QUEUE_TIMEOUT_S):
                    entry = {"message": message}
                    await self._redis.xadd(self._stream, entry, maxlen=STREAM_MAX_MESSAGES, approximate=True)
                call.outcome = "ok"
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            raise unavailable(type(error).__name__) from None

    async def age_s(self) -> float | None:
        """See `Queue`. An entry's id begins with its time."""
        try:
            async with asyncio.timeout(QUEUE_TIMEOUT_S):
                ids = await self._oldest()
                seconds, microseconds = await self._redis.time()
        except ResponseError:
            return 0.0  # there is no stream yet
        except (RedisError, OSError) as error:
            raise unavailable(type(error).__name__) from None
        now_ms = seconds * 1000 + microseconds // 1000
        return max((now_ms - int(each.partition(b"-")[0]) for each in ids), default=0) / 1000

    async def _oldest(self) -> list[bytes]:
        """Return the ids of the oldest entries that a group of workers has in hand, or has yet to read."""
        groups = await self._redis.xinfo_groups(self._stream)
        found = [(await self._redis.xpending(self._stream, group["name"]))["min"] for group in groups]
        for last_read in [group["last-delivered-id"] for group in groups] or [b"0-0"]:
            unread = await self._redis.xrange(self._stream, b"(" + last_read, count=1)
            found += [entry_id for entry_id, _ in unread or ()]
        return [each for each in found if each is not None]

    async def aclose(self) -> None:
        """See `Queue`."""
        await self._redis.aclose()
