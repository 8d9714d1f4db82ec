"""The rate limits per signed-in user and per address, counted in memory, or in Redis for all processes."""

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from image_upload.errors import RateLimitUnavailable, TooManyRequests
from image_upload.languages.wording import Sentence
from image_upload.limits import REDIS_REST_S
from image_upload.settings import values
from image_upload.settings.usage import UsageSettings
from image_upload.settings.values import Rate
from image_upload.usage.addresses import site_of
from image_upload.usage.memory_windows import MemoryWindows

if TYPE_CHECKING:
    from image_upload.usage.redis_windows import SharedWindows


# Requests that count as several: a batch signs up to 1,000 URLs, a listing calls S3 up to 64 times, and a file that is
# stored through the service takes an upload slot and buffers.
COSTS: Final = MappingProxyType({"/uploads/batch": 10, "/api/v1/s3/files": 5, "/api/v1/s3/upload": 2})


class Limiter:
    """The limits of the settings; None for one that is off."""

    def __init__(self, settings: UsageSettings) -> None:
        self._url = settings.redis_url
        self._shared: SharedWindows | None = None
        self._closes = settings.rate_limit_fails == "closed"
        self.per_user = self._limit("user", settings.rate_limit_per_user)
        self.per_address = self._limit("address", settings.rate_limit_per_address)

    def _limit(self, name: Literal["user", "address"], text: str | None) -> "Limit | None":
        rate = values.rate(text or values.OFF)
        return None if rate is None else Limit(name, rate, self)

    async def shared_hit(self, name: str, rate: Rate, key: str, cost: int) -> int | None:
        """Count in Redis; return None if this process must count: without Redis, or if it fails and the limits open.

        Raises `RateLimitUnavailable` if Redis fails and the limits close.
        """
        if self._url is None:
            return None
        if self._shared is None:
            from image_upload.usage.redis_windows import SharedWindows  # 300 ms, only with REDIS_URL

            self._shared = SharedWindows(self._url.get_secret_value())
        wait_s = await self._shared.hit(name, rate, key, cost)
        if wait_s is None and self._closes:
            raise RateLimitUnavailable(
                "The store of the rate limits does not answer. Try again in a moment.",
                headers={"Retry-After": f"{REDIS_REST_S:.0f}"},
            )
        return wait_s

    async def aclose(self) -> None:
        """Close the connections to Redis."""
        if self._shared is not None:
            await self._shared.aclose()


class Limit:
    """One rate limit."""

    def __init__(self, name: Literal["user", "address"], rate: Rate, limiter: Limiter) -> None:
        self._name = name
        self._rate = rate
        self._limiter = limiter
        self._memory = MemoryWindows(rate, site_of) if name == "address" else MemoryWindows(rate)

    async def hit(self, key: str, path: str) -> None:
        """Count a request for a path of this user or address. Raises `TooManyRequests` and `RateLimitUnavailable`."""
        cost = COSTS.get(path, 1)
        wait_s = await self._limiter.shared_hit(self._name, self._rate, key, cost)
        if wait_s is None:
            wait_s = self._memory.hit(key, cost)
        if wait_s:
            raise TooManyRequests(
                "More than {requests} requests in {window_s} s came from this {who}. Wait {wait_s} s, then try again.",
                facts={
                    "requests": self._rate.requests,
                    "window_s": self._rate.window_s,
                    "who": Sentence(self._name),
                    "wait_s": wait_s,
                },
                # https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (draft 11, May 2026)
                headers={
                    "Retry-After": str(wait_s),
                    "RateLimit-Policy": f'"{self._name}";q={self._rate.requests};w={self._rate.window_s}',
                    "RateLimit": f'"{self._name}";r=0;t={wait_s}',
                },
                policy=self._name,
            )
