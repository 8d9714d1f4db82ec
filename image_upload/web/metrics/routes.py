"""GET /metrics."""

import hmac
from collections.abc import Awaitable, Callable, Iterable

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse
from pydantic import SecretStr

from image_upload.errors import TokenInvalid, TokenMissing
from image_upload.telemetry.metrics import Measurement
from image_upload.telemetry.prometheus import MEDIA_TYPE, Registry
from image_upload.web.routing import Routes, TokenDependency, documented


class _MetricsToken(TokenDependency):
    """A dependency: the request has METRICS_TOKEN. Raises `TokenMissing`, `TokenInvalid`."""

    requires_token = True

    def __init__(self, token: SecretStr) -> None:
        self._expected = token.get_secret_value().encode()

    async def __call__(self, request: Request) -> None:
        header = request.headers.get("authorization")
        if header is None:
            raise TokenMissing("This route needs METRICS_TOKEN. Send it as: Authorization: Bearer <token>.")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._expected):
            raise TokenInvalid("This is not METRICS_TOKEN. Its operator sets it where Prometheus is configured.")


def router(
    token: SecretStr | None, registry: Registry, gauges: Callable[[], Awaitable[Iterable[Measurement]]]
) -> APIRouter:
    """Return the route. `gauges` measures what is not counted while it happens."""
    routes = Routes(tags=["Service"])

    @routes.get(
        "/metrics",
        summary="Metrics for Prometheus",
        operation_id="getMetrics",
        response_class=PlainTextResponse,
        dependencies=[] if token is None else [Depends(_MetricsToken(token))],
        openapi_extra=documented(TokenMissing, TokenInvalid),
    )
    async def metrics() -> PlainTextResponse:
        """What this process has counted since its start, in Prometheus's text form."""
        return PlainTextResponse(registry.text(await gauges()), media_type=MEDIA_TYPE)

    return routes
