"""Count requests by address, before anything of a request is read."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import Scope

from image_upload.usage.addresses import AddressOf
from image_upload.usage.limiter import Limit

# What monitors and people look at; none of them does any work.
EXEMPT: Final = frozenset({"/", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})


def admission(limit: Limit | None, address_of: AddressOf) -> Callable[[Scope], Awaitable[None]] | None:
    """What every request is counted by, None without a limit of an address.

    It raises `TooManyRequests` and `RateLimitUnavailable`.
    """
    if limit is None:
        return None

    async def count(scope: Scope) -> None:
        # A slash at the end leads to the same route.
        path = scope["path"].removesuffix("/") or "/"
        if path not in EXEMPT:
            await limit.hit(address_of(scope), path)

    return count
