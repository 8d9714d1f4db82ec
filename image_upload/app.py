"""The table of contents: one line a room."""

import functools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from image_upload import __version__
from image_upload.auth.dependencies import principal_of
from image_upload.companion.middleware import UppyPath
from image_upload.completion.context import CompletionContext
from image_upload.domain import purposes
from image_upload.errors import Problem
from image_upload.form_proxy import routes as proxy
from image_upload.form_proxy.proxy import Proxy
from image_upload.library import routes as library
from image_upload.limits import FORM_OVERHEAD_MAX_BYTES, JSON_BODY_MAX_BYTES, LAMBDA_FORM_MAX_BYTES
from image_upload.settings import Settings, origins
from image_upload.telemetry.audit import Audit
from image_upload.uploads import routes as mint
from image_upload.uploads import v1_routes
from image_upload.uploads.service import UploadService
from image_upload.usage.addresses import AddressOf, address_of
from image_upload.usage.limiter import Limiter
from image_upload.usage.middleware import RateLimit
from image_upload.web import openapi
from image_upload.web.health import routes as health
from image_upload.web.middleware import BodyLimit, Problems, RequestLog, TrailingSlash


def create_app(settings: Settings) -> FastAPI:
    """Return the service as an ASGI application. Nothing is connected to before the first request that needs it."""
    context = CompletionContext(settings.storage, settings.database, settings.usage)
    bucket = context.bucket
    table = purposes.table(allow_gif=settings.uploads.allow_gif)
    limiter, address = Limiter(settings.usage), address_of(settings.usage)
    principal = principal_of(settings.auth, limiter.per_user)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await context.aclose()
        await limiter.aclose()

    form_max_bytes = LAMBDA_FORM_MAX_BYTES if settings.service.on_lambda else proxy.FORM_MAX_BYTES[proxy.RETRY_PATH]
    upload_service = UploadService(
        settings.storage,
        settings.auth,
        context,
        table,
        form_path=proxy.RETRY_PATH,
        form_max_bytes=form_max_bytes - FORM_OVERHEAD_MAX_BYTES,
    )
    forms = Proxy(settings.proxy, context, table, address_of=address, front_ends=settings.front_ends)

    def record_routes() -> Sequence[BaseRoute]:
        from image_upload.records import routes as records  # see `LateRoutes`

        return records.router(context, upload_service, principal).routes

    def account_routes() -> Sequence[BaseRoute]:
        from image_upload.auth import routes as accounts  # the same
        from image_upload.auth.sign_in import SignIn

        return accounts.router(
            settings.sign_in, SignIn(settings.sign_in, settings.auth, context.database), principal
        ).routes

    @functools.cache
    def open_uppy() -> None:
        from image_upload.companion import routes  # see `UppyPath`

        app.router.routes.extend(routes.router(routes.Companion(upload_service, bucket), principal).routes)

    def openapi_document() -> dict[str, Any]:
        open_uppy()
        return openapi.describe(app)

    app = FastAPI(
        title=openapi.TITLE,
        description=openapi.DESCRIPTION,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,  # see `TrailingSlash`
        # Our own log has what is needed, redacted; FastAPI's instrumentation would export URLs as they are.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        middleware=_middleware(settings, limiter, address, open_uppy),
        exception_handlers=dict.fromkeys((Problem, HTTPException, RequestValidationError), _leave_to_the_edge),
    )
    for room in (
        # The last one is asked first: minting is what most requests want.
        health.router(settings.service, bucket),
        proxy.router(forms, principal),
        library.router(settings.auth, bucket, principal),
        v1_routes.router(upload_service, principal),
        mint.router(upload_service, principal),
    ):
        # Not include_router: it puts a router of its own around each, 10 to 20 us on every request.
        app.router.routes[:0] = room.routes
    app.router.routes.append(openapi.LateRoutes(("/posts", "/files/"), record_routes))
    app.router.routes.append(openapi.LateRoutes(("/auth/",), account_routes))
    read = functools.partial(_documentation_routes, openapi_document)
    app.router.routes.append(openapi.LateRoutes(("/docs", "/llms.txt", "/favicon.ico"), read))
    # For what Lambda calls with beside HTTP: the same connections, and what they were made of.
    app.state.context, app.state.settings = context, settings
    app.openapi = openapi_document  # type: ignore[method-assign]  # FastAPI documents no other way
    return app


def _documentation_routes(describe: Callable[[], dict[str, Any]]) -> Sequence[BaseRoute]:
    from image_upload.web.documentation import routes as documentation  # see `LateRoutes`

    return documentation.router(describe).routes


def _middleware(
    settings: Settings, limiter: Limiter, address: AddressOf, open_uppy: Callable[[], None]
) -> list[Middleware]:
    """Return what surrounds every request, outermost first."""

    def max_bytes_of(path: str) -> int:
        most = proxy.FORM_MAX_BYTES.get(path, JSON_BODY_MAX_BYTES)
        return min(most, LAMBDA_FORM_MAX_BYTES) if settings.service.on_lambda else most

    middleware = [Middleware(RequestLog, auditor=Audit(settings.auth, address))]
    if settings.web.cors_allow_origins and not settings.web.on_lambda:
        # Behind a Function URL the URL's own CORS settings answer; two answers make browsers refuse.
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=origins.exact(settings.web.cors_allow_origins),
                allow_origin_regex=origins.pattern(settings.web.cors_allow_origins),
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"],
                allow_headers=list(settings.web.cors_allow_headers),
                expose_headers=["X-Request-Id", "Retry-After", "RateLimit", "RateLimit-Policy"],
                max_age=86_400,
            )
        )
    middleware += [Middleware(Problems), Middleware(UppyPath, open_room=open_uppy), Middleware(TrailingSlash)]
    if limiter.per_address is not None:
        middleware.append(Middleware(RateLimit, limit=limiter.per_address, address_of=address))
    return [*middleware, Middleware(BodyLimit, max_bytes_of=max_bytes_of, forms=proxy.FORM_MAX_BYTES)]


async def _leave_to_the_edge(_: Any, error: Exception) -> Any:
    """Pass the framework's exception on: `Problems` turns it into a problem document."""
    raise error
