"""Lead to GET /metrics, and build it at the first request."""

from collections.abc import Awaitable, Callable, Iterable

from fastapi import APIRouter
from pydantic import SecretStr

from image_upload.telemetry.metrics import Measurement, Recorder
from image_upload.web.routing import LazyRouter


def router(
    token: SecretStr | None, recorder: Recorder | None, gauges: Callable[[], Awaitable[Iterable[Measurement]]]
) -> LazyRouter:
    """Return the router of /metrics. It has no route where metrics are off, or in log lines."""

    def build() -> APIRouter:
        from image_upload.telemetry.prometheus import Registry  # most services have none
        from image_upload.web.metrics import routes

        return routes.router(token, recorder, gauges) if isinstance(recorder, Registry) else APIRouter()

    return LazyRouter(("/metrics",), build)
