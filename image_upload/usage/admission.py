"""Count requests by address, before the body is read."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import Scope

from image_upload.usage.addresses import AddressOf
from image_upload.usage.limiter import Limit

# The paths of monitors and documentation, which cost little.
EXEMPT: Final = frozenset({"/", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})


def admission(limit: Limit | None, address_of: AddressOf) -> Callable[[Scope], Awaitable[None]] | None:
    """Return the function that counts every request, None without a limit of an address.

    The function raises `TooManyRequests` and `RateLimitUnavailable`.
    """
    if limit is None:
        return None

    async def count(scope: Scope) -> None:
        # A trailing slash leads to the same route.
        path = scope["path"].removesuffix("/") or "/"
        if path not in EXEMPT:
            await limit.hit(address_of(scope), path)

    return count
