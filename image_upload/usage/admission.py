"""Count requests by address, before anything of a request is read."""

from typing import Final

from starlette.types import Scope

from image_upload.usage.addresses import AddressOf
from image_upload.usage.limiter import Limit

# What monitors and people look at; none of them does any work.
EXEMPT: Final = frozenset({"/", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})


class RateLimit:
    """Refuses what is above the limit of an address; see `Limit`."""

    def __init__(self, limit: Limit, address_of: AddressOf) -> None:
        self._limit = limit
        self._address_of = address_of

    async def __call__(self, scope: Scope) -> None:
        """Count a request. Raises `TooManyRequests` and `RateLimitUnavailable`."""
        # A slash at the end leads to the same route.
        path = scope["path"].removesuffix("/") or "/"
        if path not in EXEMPT:
            await self._limit.hit(self._address_of(scope), path)
