"""Count used quota in Redis, for all processes. Each change is one script, which Redis runs atomically.

https://redis.io/docs/latest/develop/programmability/eval-intro/
"""

from typing import Any

from redis.asyncio import Redis

from image_upload.limits import QUOTA_KEEP_S
from image_upload.usage.quota_store import Allowance, Usage, UsageDay
from image_upload.usage.redis_store import RedisStore

# KEYS: a hash with the totals and the size of each open reservation, a sorted set of their ends.
_RESERVE = """
local bytes = tonumber(redis.call('HGET', KEYS[1], 'bytes') or '0')
local files = tonumber(redis.call('HGET', KEYS[1], 'files') or '0')
local key, size, ends_at, max_bytes, max_files, keep_s = unpack(ARGV)
if redis.call('HEXISTS', KEYS[1], 'open:' .. key) == 1 then
  redis.call('ZADD', KEYS[2], ends_at, key)
  return {}
end
if max_bytes ~= '' and bytes + tonumber(size) > tonumber(max_bytes)
  or max_files ~= '' and files + 1 > tonumber(max_files) then
  return {bytes, files}
end
redis.call('HINCRBY', KEYS[1], 'bytes', size)
redis.call('HINCRBY', KEYS[1], 'files', 1)
redis.call('HSET', KEYS[1], 'open:' .. key, size)
redis.call('ZADD', KEYS[2], ends_at, key)
redis.call('EXPIRE', KEYS[1], keep_s)
redis.call('EXPIRE', KEYS[2], keep_s)
return {}
"""
_SETTLE = """
local key, stored = unpack(ARGV)
local size = redis.call('HGET', KEYS[1], 'open:' .. key)
if not size then return 0 end
redis.call('HDEL', KEYS[1], 'open:' .. key)
redis.call('ZREM', KEYS[2], key)
-- Redis takes no '-0' for an integer.
if size ~= '0' then redis.call('HINCRBY', KEYS[1], 'bytes', '-' .. size) end
if stored == '' then
  redis.call('HINCRBY', KEYS[1], 'files', -1)
else
  redis.call('HINCRBY', KEYS[1], 'bytes', stored)
end
return 1
"""


class RedisQuotaStore:
    """A `QuotaStore` in Redis."""

    def __init__(self, url: str) -> None:
        self._store = RedisStore(url)
        self._redis = Redis(connection_pool=self._store.pool, decode_responses=True)
        self._reserve = self._redis.register_script(_RESERVE)
        self._settle = self._redis.register_script(_SETTLE)

    async def reserve(
        self, account: UsageDay, key: str, size_bytes: int, ends_at_s: int, allowance: Allowance
    ) -> Usage | bool | None:
        """See `QuotaStore`."""
        most = ["" if limit is None else limit for limit in allowance]

        async def reserve() -> Any:
            return await self._reserve(_names(account), [key, size_bytes, ends_at_s, *most, QUOTA_KEEP_S])

        held = await self._store.ask(reserve)
        if held is None:
            return None
        return Usage(*map(int, held)) if held else True

    async def settle(self, account: UsageDay, key: str, stored_bytes: int | None) -> None:
        """See `QuotaStore`."""

        async def settle() -> Any:
            return await self._settle(_names(account), [key, "" if stored_bytes is None else stored_bytes])

        await self._store.ask(settle)

    async def ended(self, account: UsageDay, before_s: int, most: int) -> list[str] | None:
        """See `QuotaStore`."""

        async def ended() -> list[str]:
            found = await self._redis.zrangebyscore(_names(account)[1], "-inf", before_s, start=0, num=most)
            return [each.decode() if isinstance(each, bytes) else str(each) for each in found]

        return await self._store.ask(ended)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._store.aclose()


def _names(account: UsageDay) -> list[str]:
    """Return the names of both keys, which are in one slot of a cluster."""
    name = f"image-upload:quota:{{{account.day}:{account.owner}}}"
    return [name, f"{name}:ends"]
