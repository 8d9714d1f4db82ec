"""Calls to an identity provider: by https, to checked addresses, with limits for time and length, without redirects."""

import asyncio
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from image_upload.errors import ProviderFailed
from image_upload.limits import PROVIDER_ANSWER_MAX_BYTES, PROVIDER_TIMEOUT_S
from image_upload.outbound.client import Destinations, open_client

log = logging.getLogger(__name__)

_FAILED = "The identity provider does not answer as it should. Try again in a moment."


def failed(url: str, reason: str) -> ProviderFailed:
    """Log the reason for the operator and return the problem for the client. The reason must contain nothing sent."""
    log.warning("identity provider failed", extra={"fields": {"host": urlsplit(url).hostname, "reason": reason}})
    return ProviderFailed(_FAILED)


def origin_of(url: str) -> tuple[str, int]:
    """Return host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


class Outgoing:
    """A client for all calls of one sign-in, which together take at most `PROVIDER_TIMEOUT_S`.

    `named` are URLs of the settings. Their hosts may be private, and may use plain http if the settings allow it. Any
    other host must be public and use https.
    """

    def __init__(self, *named: str) -> None:
        self._named = frozenset(origin_of(url) for url in named)
        self._client = open_client(Destinations(self._named), verify=True)
        self._ends_at = asyncio.get_running_loop().time() + PROVIDER_TIMEOUT_S

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def call(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: str | None = None
    ) -> httpx.Response:
        """Send a request; return the answer of any status. Raises `ProviderFailed`."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and origin_of(url) in self._named):
            raise failed(url, "not a URL of https")
        found = bytearray()
        try:
            async with (
                asyncio.timeout_at(self._ends_at),
                self._client.stream(
                    method, url, headers={"Accept": "application/json", **(headers or {})}, content=body
                ) as response,
            ):
                async for chunk in response.aiter_raw():
                    found += chunk
                    if len(found) > PROVIDER_ANSWER_MAX_BYTES:
                        raise failed(url, f"an answer longer than {PROVIDER_ANSWER_MAX_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise failed(url, type(error).__name__) from None
        # `raise_for_status` needs the request.
        return httpx.Response(response.status_code, content=bytes(found), request=response.request)

    async def get(self, url: str, token: str | None = None) -> Any:
        """GET the JSON of a URL, with a bearer token if there is one. Raises `ProviderFailed`."""
        answer = await self.call("GET", url, {} if token is None else {"Authorization": f"Bearer {token}"})
        if answer.status_code != httpx.codes.OK:
            raise failed(url, f"status {answer.status_code}")
        try:
            return answer.json()
        except (ValueError, RecursionError):
            raise failed(url, "no JSON") from None
