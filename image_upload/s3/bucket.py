"""The one bucket this service stores into: sign for it, ask whether it answers, reach it."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from image_upload.errors import CredentialsUnavailable
from image_upload.limits import HEALTH_CACHE_S, HEALTH_TIMEOUT_S
from image_upload.s3.address import Address, locate
from image_upload.s3.credentials import CredentialSource
from image_upload.s3.signing import presign
from image_upload.settings import Settings

if TYPE_CHECKING:
    import httpx

BucketState = Literal["ok", "missing", "denied", "error", "unreachable", "no-credentials"]

# 403 never means missing: without s3:ListBucket S3 hides whether there is anything.
_STATE_OF_STATUS: Final[Mapping[int, BucketState]] = {200: "ok", 403: "denied", 404: "missing"}


@dataclass(frozen=True, slots=True)
class Presigned:
    """A presigned URL and the truth about its end, as a moment and as seconds from now."""

    url: str
    expires_at: datetime
    expires_s: int


class Bucket:
    """Signed URLs for the configured bucket, and the HTTP client that every call to S3 shares."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._credentials = CredentialSource(settings)
        self._client: httpx.AsyncClient | None = None
        self._state: tuple[float, BucketState] | None = None
        self.name = settings.s3_bucket_name
        inner = settings.s3_endpoint_url
        public = settings.s3_public_endpoint_url or inner
        self.address = locate(self.name, settings.aws_region, inner, use_ssl=settings.use_ssl)
        self.public_address = locate(self.name, settings.aws_region, public, use_ssl=settings.use_ssl)

    @property
    def client(self) -> "httpx.AsyncClient":
        """The process's HTTP client, opened by the first call that needs it."""
        if self._client is None:
            # httpx costs 50 ms of import and 20 ms of TLS set-up, which minting does not need.
            from image_upload.s3.connection import open_client  # noqa: PLC0415

            self._client = open_client(self._trusted(), verify=self._settings.verify_ssl)
        return self._client

    def _trusted(self) -> frozenset[tuple[str, int]]:
        """Endpoints the operator configured: they may be on a private network."""
        return frozenset(
            _host_and_port(address)
            for endpoint, address in (
                (self._settings.s3_endpoint_url, self.address),
                (self._settings.s3_public_endpoint_url, self.public_address),
            )
            if endpoint is not None
        )

    async def presign(
        self,
        method: str,
        key: str,
        *,
        expires_s: int,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Presigned:
        """A URL for clients. It ends after `expires_s`, or with the credentials if those end before.

        Raises `CredentialsUnavailable`.
        """
        credentials = await self._credentials.current()
        now = datetime.now(UTC).replace(microsecond=0)
        expires_at = now + timedelta(seconds=expires_s)
        if credentials.expires_at is not None and credentials.expires_at < expires_at:
            # https://repost.aws/knowledge-center/presigned-url-s3-bucket-expiration
            expires_at = credentials.expires_at
        lives_s = max(1, int((expires_at - now).total_seconds()))
        url = presign(
            method,
            self.public_address,
            key,
            credentials,
            now=now,
            expires_s=lives_s,
            headers=headers,
            query=query,
        )
        return Presigned(url, expires_at, lives_s)

    async def state(self) -> BucketState:
        """Whether the bucket answers a signed HeadBucket, within `HEALTH_TIMEOUT_S`; reused for `HEALTH_CACHE_S`."""
        now = time.monotonic()
        if self._state is None or now - self._state[0] > HEALTH_CACHE_S:
            self._state = (now, await self._ask_state())
        return self._state[1]

    async def _ask_state(self) -> BucketState:
        import httpx  # noqa: PLC0415  see `client`

        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S):
                credentials = await self._credentials.current()
                url = presign("HEAD", self.address, "", credentials, now=datetime.now(UTC), expires_s=60)
                response = await self.client.head(url)
        except (httpx.HTTPError, TimeoutError):
            return "unreachable"
        except CredentialsUnavailable:
            return "no-credentials"
        return _STATE_OF_STATUS.get(response.status_code, "error")

    async def aclose(self) -> None:
        """Close the HTTP client's connections."""
        if self._client is not None:
            await self._client.aclose()


def _host_and_port(address: Address) -> tuple[str, int]:
    """What the HTTP client connects to for this address."""
    parts = urlsplit(address.origin)
    return parts.hostname or "", parts.port or {"http": 80, "https": 443}[address.scheme]
