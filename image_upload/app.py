"""The table of contents: one line a room."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from image_upload import __version__, health, openapi, purposes
from image_upload.accounts.dependencies import principal_of
from image_upload.edge import BodyLimit, Problems, RequestLog
from image_upload.errors import Problem
from image_upload.library import routes as library
from image_upload.limits import (
    FORM_OVERHEAD_MAX_BYTES,
    JSON_BODY_MAX_BYTES,
    LAMBDA_FORM_MAX_BYTES,
    S3_PUT_MAX_BYTES,
)
from image_upload.mint import routes as mint
from image_upload.mint.minting import Mint
from image_upload.proxy import routes as proxy
from image_upload.s3.bucket import Bucket
from image_upload.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """The service as an ASGI application. Nothing is connected to before the first request that needs it."""
    bucket = Bucket(settings)
    principal = principal_of(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await bucket.aclose()

    app = FastAPI(
        title=openapi.TITLE,
        description=openapi.DESCRIPTION,
        version=__version__,
        lifespan=lifespan,
        middleware=_ring(settings),
        exception_handlers=dict.fromkeys((Problem, HTTPException, RequestValidationError), _leave_to_the_edge),
    )
    app.include_router(health.router(settings, bucket))
    app.include_router(mint.router(Mint(settings, bucket), purposes.table(allow_gif=settings.allow_gif), principal))
    app.include_router(library.router(bucket, principal))
    app.include_router(proxy.router(proxy.Proxy(settings, bucket)))
    return app


def _ring(settings: Settings) -> list[Middleware]:
    """What surrounds every request, outermost first."""

    def max_bytes_of(path: str) -> int:
        if path not in proxy.PATHS:
            return JSON_BODY_MAX_BYTES
        return LAMBDA_FORM_MAX_BYTES if settings.on_lambda else S3_PUT_MAX_BYTES + FORM_OVERHEAD_MAX_BYTES

    ring = [Middleware(RequestLog)]
    if settings.cors_allow_origins and not settings.on_lambda:
        # Behind a Function URL the URL's own CORS settings answer; two answers make browsers refuse.
        ring.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_allow_origins,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"],
                allow_headers=["Authorization", "Content-Type"],
                expose_headers=["X-Request-Id", "Retry-After"],
                max_age=86_400,
            )
        )
    return [*ring, Middleware(Problems), Middleware(BodyLimit, max_bytes_of=max_bytes_of)]


async def _leave_to_the_edge(_: Any, error: Exception) -> Any:
    """The framework's own answers are not problem documents; `edge.Problems` gives ours."""
    raise error
