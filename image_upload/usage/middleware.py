"""Count requests by address, before anything of a request is read."""

from starlette.types import ASGIApp, Receive, Scope, Send

from image_upload.usage.addresses import AddressOf
from image_upload.usage.limiter import Limit

# What monitors and people look at; none of them does any work.
EXEMPT = frozenset({"/", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})


class RateLimit:
    """Refuses what is above the limit of an address; see `Limit`."""

    def __init__(self, app: ASGIApp, limit: Limit, address_of: AddressOf) -> None:
        self._app = app
        self._limit = limit
        self._address_of = address_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "http" and scope["path"] not in EXEMPT:
            await self._limit.hit(self._address_of(scope), scope["path"])
        await self._app(scope, receive, send)
