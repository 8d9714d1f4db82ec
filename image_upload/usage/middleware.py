"""Count requests by address, before the body is read."""

from starlette.types import ASGIApp, Receive, Scope, Send

from image_upload.usage.addresses import AddressOf
from image_upload.usage.limiter import Limit

# The paths of monitors and documentation, which cost little.
EXEMPT = frozenset({"/", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})


class RateLimit:
    """Refuse requests above the limit of an address; see `Limit`."""

    def __init__(self, app: ASGIApp, limit: Limit, address_of: AddressOf) -> None:
        self._app = app
        self._limit = limit
        self._address_of = address_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request and pass it on, or answer with the problem."""
        if scope["type"] == "http" and scope["path"] not in EXEMPT:
            await self._limit.hit(self._address_of(scope), scope["path"])
        await self._app(scope, receive, send)
