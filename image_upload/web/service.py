"""FastAPI with the service's own middleware and routers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from image_upload import __version__
from image_upload.web import openapi
from image_upload.web.routing import DeclaredRoute, LazyRouter


class Service(FastAPI):
    """The routes of all rooms, matched in the order of `routers`. `closing` closes connections at the end, in order."""

    def __init__(
        self,
        middleware: Sequence[Middleware],
        routers: Sequence[APIRouter | LazyRouter],
        closing: Sequence[Callable[[], Awaitable[None]]],
    ) -> None:
        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            async with AsyncExitStack() as stack:
                for close in reversed(closing):
                    stack.push_async_callback(close)
                yield

        super().__init__(
            version=__version__,
            docs_url=None,
            redoc_url=None,
            lifespan=lifespan,
            redirect_slashes=False,  # see `routing.without_slash`
            # FastAPI's instrumentation would export URLs with their secrets; the service's own log redacts them.
            telemetry={"tracing": False, "metrics": False, "logs": False},
            middleware=middleware,
        )
        self.router.route_class = DeclaredRoute
        # Not include_router, which wraps each in a router of its own: 10 to 20 us for every request.
        self.router.routes[:0] = [
            route for each in routers for route in ([each] if isinstance(each, LazyRouter) else each.routes)
        ]

    def build_middleware_stack(self) -> ASGIApp:
        """Build the service's middleware alone. `Problems` replaces the frameworks' own (errors, telemetry, files)."""
        app: ASGIApp = self.router
        for layer, args, options in reversed(self.user_middleware):
            app = layer(app, *args, **options)
        return app

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, which is made once."""
        return openapi.describe(self)
