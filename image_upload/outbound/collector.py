"""Send spans to the collector at TRACES_ENDPOINT, by OTLP over HTTP.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import asyncio
import logging
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from image_upload.limits import SPANS_ANSWER_MAX_BYTES, SPANS_TIMEOUT_S
from image_upload.outbound.deadline import at_most
from image_upload.settings.telemetry import TelemetrySettings
from image_upload.telemetry.requests import Telemetry, recorder_of

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

_HEADERS = {"Content-Type": "application/x-protobuf", "User-Agent": "image-upload"}


class Collector:
    """The collector. Its operator names it, so it may have any address. It connects with the first spans."""

    def __init__(self, endpoint: str) -> None:
        self._url = endpoint.rstrip("/") + "/v1/traces"

    @cached_property
    def _client(self) -> "httpx.AsyncClient":
        from image_upload.outbound.client import Destinations, open_client  # 80 ms with httpx, and no mint waits for it

        parts = urlsplit(self._url)
        host = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        return open_client(Destinations(frozenset({host})), verify=True)

    async def send(self, document: bytes) -> bool:
        """POST a document; return whether the collector took it. Its answer is read but for what no collector says."""
        import httpx  # see `_client`

        try:
            async with (
                asyncio.timeout(at_most(SPANS_TIMEOUT_S)),
                self._client.stream("POST", self._url, content=document, headers=_HEADERS) as response,
            ):
                # To its end, so that the connection and its TLS serve the next document, too.
                answer_bytes = 0
                async for piece in response.aiter_raw():
                    answer_bytes += len(piece)
                    if answer_bytes > SPANS_ANSWER_MAX_BYTES:
                        break
                return response.is_success
        except (httpx.HTTPError, OSError, UnicodeError) as error:  # TimeoutError is an OSError
            log.warning("the collector of traces does not answer", extra={"fields": {"reason": type(error).__name__}})
            return False

    async def aclose(self) -> None:
        """Close the connections."""
        if "_client" in vars(self):
            await self._client.aclose()


def telemetry_of(settings: TelemetrySettings) -> Telemetry:
    """Return what the settings ask for: metrics, traces, both or none."""
    recorder = recorder_of(settings)
    if settings.traces_endpoint is None:
        return Telemetry(recorder, None)
    from image_upload.telemetry.tracing import Tracer  # 1 ms, and most services send no traces

    collector = Collector(settings.traces_endpoint)
    return Telemetry(recorder, Tracer(settings.traces_ratio, collector, recorder, on_lambda=settings.on_lambda))
