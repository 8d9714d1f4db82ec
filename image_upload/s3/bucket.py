"""The service's bucket: presign requests for clients, call S3, and check the bucket's state."""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast
from urllib.parse import quote, urlsplit

from image_upload.aws.credentials import CredentialSource
from image_upload.aws.endpoints import Address, locate
from image_upload.aws.sigv4 import Credentials, Signer
from image_upload.domain import keys, purposes
from image_upload.errors import CredentialsUnavailable
from image_upload.limits import HEALTH_CACHE_S, HEALTH_TIMEOUT_S, MIB, S3_CALL_ATTEMPTS, S3_CALL_EXPIRES_S
from image_upload.outbound import deadline
from image_upload.outbound.budget import ByteBudget
from image_upload.s3 import checksums, time_limits
from image_upload.s3.errors import S3Failure, S3TimedOut, behind_s, denied_action, error_code
from image_upload.s3.time_limits import TimeLimit
from image_upload.settings.storage import StorageSettings
from image_upload.telemetry.calls import S3, measured, outcome_of
from image_upload.telemetry.metrics import RETRIES, record

if TYPE_CHECKING:
    import httpx

    from image_upload.outbound.client import Destinations
    from image_upload.outbound.streaming_put import StreamingPut

BucketState = Literal["ok", "missing", "denied", "error", "unreachable", "no-credentials"]

# 403 does not mean missing: without s3:ListBucket S3 answers it for missing objects too.
_STATE_OF_STATUS: Final[Mapping[int, BucketState]] = {200: "ok", 403: "denied", 404: "missing"}


_PIECE_BYTES: Final = 256 * 1024
_ALLOCATOR_HINT_BYTES: Final = 16 * MIB


class Validity(NamedTuple):
    """The begin of a signature's validity, and its end, as a moment and in seconds from the begin."""

    starts_at: datetime
    ends_at: datetime
    seconds: int


class PartUrls(NamedTuple):
    """The URLs of an upload's parts: `f"{head}{number}{tail}{signature}"`, with one signature for each part."""

    head: str
    tail: str
    signatures: Iterator[str]


class Presigner:
    """Sign any number of requests with one moment and one set of credentials."""

    def __init__(self, signer: Signer, validity: Validity) -> None:
        self._signer = signer
        self.validity = validity

    def url(
        self, method: str, key: str, *, headers: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None
    ) -> str:
        """Return a presigned URL; see `Signer.presign`."""
        valid = self.validity
        return self._signer.presign(
            method, key, now=valid.starts_at, expires_s=valid.seconds, headers=headers, query=query
        )

    def part_urls(self, key: str, upload_id: str, parts: Iterable[tuple[int, int | None]]) -> PartUrls:
        """Return URLs for the (number, length) of each part; see `Signer.presign_parts`."""
        valid = self.validity
        return PartUrls(
            *self._signer.presign_parts(key, upload_id, parts, now=valid.starts_at, expires_s=valid.seconds)
        )

    def form(self, key: str, conditions: Iterable[object], fields: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return URL and fields of a presigned POST. The URL ends with a slash, as Uppy 6 appends the key to it."""
        valid = self.validity
        signed = self._signer.sign_policy(key, conditions, fields, now=valid.starts_at, expires_s=valid.seconds)
        address = self._signer.address
        return f"{address.origin}{address.path_prefix}/", signed


class Bucket:
    """The configured bucket: presigned URLs, and the HTTP client of all calls to S3."""

    def __init__(self, settings: StorageSettings) -> None:
        self._settings = settings
        self._credentials = CredentialSource(settings)
        self._client: httpx.AsyncClient | None = None
        self._streaming_put: StreamingPut | None = None
        self._state: tuple[float, BucketState] | None = None
        self._asks = asyncio.Lock()
        self.name = settings.s3_bucket_name
        self.checksums = settings.s3_checksums
        inner = settings.s3_endpoint_url
        public = settings.s3_public_endpoint_url or inner
        self.address = locate(self.name, settings.aws_region, inner, use_ssl=settings.use_ssl)
        self.public_address = locate(self.name, settings.aws_region, public, use_ssl=settings.use_ssl)
        self._signers: dict[Address, Signer] = {}
        self.purposes = settings.purposes
        # Whether a copy with If-None-Match keeps the object that is there: AWS documents it, other stores ignore it.
        self.copies_once = inner is None
        # The budget for all bytes of files that this process has in memory.
        self.buffers = ByteBudget(settings.buffer_bytes)

    @property
    def client(self) -> "httpx.AsyncClient":
        """The HTTP client of the process, opened by the first call that needs it."""
        if self._client is None:
            # httpx takes 50 ms to import and 20 ms for TLS. Minting does not need it.
            from image_upload.outbound.client import open_client

            self._client = open_client(self._destinations(), verify=self._settings.verify_ssl)
        return self._client

    @property
    def streaming_put(self) -> "StreamingPut":
        """The client for bodies in transit; see `outbound/streaming_put.py`."""
        if self._streaming_put is None:
            from image_upload.outbound.client import tls_context  # see `client`
            from image_upload.outbound.streaming_put import StreamingPut

            # After glibc has freed such a large block once, it reuses the buffers of streams instead of returning each
            # to the kernel and faulting it in again, which takes a third of the time of a gigabyte. The block is never
            # touched, so it uses no memory. https://man7.org/linux/man-pages/man3/mallopt.3.html (M_MMAP_THRESHOLD)
            bytes(_ALLOCATOR_HINT_BYTES)
            self._streaming_put = StreamingPut(
                self._destinations(), functools.partial(tls_context, verify=self._settings.verify_ssl)
            )
        return self._streaming_put

    def _destinations(self) -> "Destinations":
        """Return the allowed addresses: any for configured endpoints, private ones for AWS's hosts of the bucket."""
        from image_upload.outbound.client import Destinations  # see `client`

        inner, public = _host_and_port(self.address), _host_and_port(self.public_address)
        named = ((inner, self._settings.s3_endpoint_url), (public, self._settings.s3_public_endpoint_url))
        trusted = frozenset(host for host, endpoint in named if endpoint is not None)
        return Destinations(trusted, private=frozenset({inner, public}))

    def _signer(self, address: Address, credentials: Credentials) -> Signer:
        signer = self._signers.get(address)
        if signer is None or signer.credentials is not credentials:
            signer = self._signers[address] = Signer(address, credentials)
        return signer

    async def presigner(self, expires_s: int) -> Presigner:
        """Return a presigner for clients. Its URLs end after `expires_s`, or earlier with the credentials.

        https://repost.aws/knowledge-center/presigned-url-s3-bucket-expiration
        Raises `CredentialsUnavailable`.
        """
        credentials = await self._credentials.current()
        now = datetime.now(UTC).replace(microsecond=0)
        ends_at = now + timedelta(seconds=expires_s)
        if credentials.expires_at is not None and credentials.expires_at < ends_at:
            ends_at = credentials.expires_at
            expires_s = max(1, int((ends_at - now).total_seconds()))
        return Presigner(self._signer(self.public_address, credentials), Validity(now, ends_at, expires_s))

    async def refuses(self, method: str, url: str, headers: Mapping[str, str]) -> bool:
        """Return whether S3 will refuse a request because its URL was signed for another one.

        Return False if another key pair signed it, which only S3 can check. Raises `CredentialsUnavailable`.
        """
        from image_upload.s3.signature_check import is_signed  # only forms need it

        return is_signed(url, method, headers, await self._credentials.current()) is False

    async def call(
        self,
        operation: str,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | memoryview = b"",
        limit: TimeLimit | None = None,
    ) -> "httpx.Response":
        """Call S3's API, with retries after 5xx and lost connections; return a 2xx answer.

        Its `extensions["attempts"]` is the number of attempts. `limit` is `time_limits.CONTROL` by default.
        Raises `S3Failure` with S3's own status and code, `S3TimedOut`, `CredentialsUnavailable`.
        """
        from tenacity import (  # see `client`
            AsyncRetrying,
            retry_if_exception_type,
            stop_after_attempt,
            stop_before_delay,
        )

        from image_upload.outbound.retry import RetryableError, RetryPause

        limit = limit or time_limits.CONTROL
        head_s = deadline.at_most(limit.head_s)
        stop = stop_after_attempt(S3_CALL_ATTEMPTS)
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(RetryableError),
            stop=stop if head_s is None else stop | stop_before_delay(head_s),
            wait=RetryPause(),
            reraise=True,
        )
        try:
            async with asyncio.timeout(head_s) as bound:
                head_until = bound.when()
                async for attempt in attempts:
                    bound.reschedule(head_until)
                    if attempt.retry_state.attempt_number > 1:
                        record(RETRIES, 1, operation)
                    with attempt:
                        async with self.opened(
                            operation, method, key, query=query, headers=headers, body=body, limit=limit
                        ) as response:
                            if limit.whole_s is not None:
                                whole_s = deadline.at_most(limit.whole_s) or 0.0
                                bound.reschedule(asyncio.get_running_loop().time() + whole_s)
                            await response.aread()
                            response.extensions["attempts"] = attempt.retry_state.attempt_number
                            return response
        except TimeoutError:
            raise S3TimedOut(operation) from None
        except RetryableError as last:
            raise (S3TimedOut(operation) if last.timed_out else S3Failure(operation, last.status, last.code)) from None
        raise AssertionError("tenacity ends with an answer or an error")

    @asynccontextmanager
    async def opened(
        self,
        operation: str,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | memoryview = b"",
        limit: TimeLimit = time_limits.DATA,
    ) -> AsyncIterator["httpx.Response"]:
        """Make one attempt of a call; yield a 2xx answer, whose body can be read inside the block.

        Raises `S3Failure` and `CredentialsUnavailable` as `call` does, and `RetryableError` if a retry may succeed.
        """
        import httpx  # see `client`

        from image_upload.outbound.retry import RETRYABLE_STATUSES, RetryableError, retry_after_s

        signer = self._signer(self.address, await self._credentials.current())
        headers = await checksums.request_headers(headers, body, self.checksums)
        now = datetime.now(UTC)
        url = signer.presign(
            method, key, now=now.replace(microsecond=0), expires_s=S3_CALL_EXPIRES_S, headers=headers, query=query
        )
        timeout = httpx.Timeout(limit.connect_s, read=limit.idle_s, write=limit.idle_s)
        with measured(S3, operation) as call:
            try:
                async with self.client.stream(
                    method, url, headers=headers, content=_pieces(body), timeout=timeout
                ) as response:
                    if response.is_success:
                        yield response
                        call.outcome = "ok"
                        return
                    call.outcome = outcome_of(response.status_code)
                    error_body = await response.aread()
            except httpx.HTTPError as error:
                call.outcome = "unreachable"
                raise RetryableError(
                    type(error).__name__, timed_out=isinstance(error, httpx.TimeoutException)
                ) from None
        code = error_code(error_body)
        if response.status_code in RETRYABLE_STATUSES:
            pause = retry_after_s(response.headers.get("retry-after"), now)
            raise RetryableError(operation, status=response.status_code, code=code, retry_after_s=pause)
        off_s = behind_s(response.headers.get("date"))
        raise S3Failure(operation, response.status_code, code, denied_action(error_body), off_s)

    def storage_headers(self, key: str) -> dict[str, str]:
        """Return the headers that set how S3 stores an object: its purpose's storage class, and encryption.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/specifying-kms-encryption.html
        """
        settings = self._settings
        headers = {}
        if settings.s3_storage_classes and (purpose := purposes.of_key(key, self.purposes.every())):
            storage_class = settings.storage_class_of(purpose.name)
            if storage_class is not None:
                headers["x-amz-storage-class"] = storage_class
        if settings.s3_sse != "none":
            headers["x-amz-server-side-encryption"] = settings.s3_sse
        if settings.s3_sse_kms_key_id is not None:
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = settings.s3_sse_kms_key_id
        return headers

    def cdn_url(self, key: str) -> str | None:
        """Return the key's URL on the CDN; None if no CDN is configured or its purpose is not served by one."""
        base = self._settings.cdn_base_url
        if base is None or key.startswith(keys.UNREADABLE):
            return None
        purpose = purposes.of_key(keys.published(key), self.purposes.every())
        return f"{base.rstrip('/')}/{quote(key, safe='/~')}" if purpose and purpose.cdn else None

    def location(self, key: str) -> str:
        """Return the key's URL: on the CDN if its purpose is served there, else in the bucket (needs a signature)."""
        address = self.public_address
        return self.cdn_url(key) or f"{address.origin}{address.path_prefix}/{quote(key, safe='/~')}"

    async def state(self) -> BucketState:
        """Return whether a signed HeadBucket succeeds within `HEALTH_TIMEOUT_S`. Cached for `HEALTH_CACHE_S`."""
        async with self._asks:  # simultaneous callers share one request
            if self._state is None or time.monotonic() - self._state[0] > HEALTH_CACHE_S:
                state = await self._ask_state()
                self._state = (time.monotonic(), state)
            return self._state[1]

    async def _ask_state(self) -> BucketState:
        import httpx  # see `client`

        with measured(S3, "HeadBucket") as call:
            try:
                async with asyncio.timeout(HEALTH_TIMEOUT_S):
                    signer = self._signer(self.address, await self._credentials.current())
                    now = datetime.now(UTC).replace(microsecond=0)
                    response = await self.client.head(signer.presign("HEAD", "", now=now, expires_s=S3_CALL_EXPIRES_S))
            except (httpx.HTTPError, TimeoutError):
                call.outcome = "unreachable"
                return "unreachable"
            except CredentialsUnavailable:
                return "no-credentials"
            call.outcome = outcome_of(response.status_code)
        return _STATE_OF_STATUS.get(response.status_code, "error")

    async def aclose(self) -> None:
        """Close the HTTP client's connections."""
        if self._client is not None:
            await self._client.aclose()


def _pieces(body: bytes | memoryview) -> bytes | AsyncIterator[bytes] | None:
    """Return a large body as an iterator of pieces, so that the HTTP client and the event loop do not copy it."""
    if len(body) <= _PIECE_BYTES:
        return bytes(body) or None

    async def pieces() -> AsyncIterator[bytes]:
        view = memoryview(body)
        for start in range(0, len(body), _PIECE_BYTES):
            yield cast("bytes", view[start : start + _PIECE_BYTES])  # a memoryview can be sent too

    return pieces()


def _host_and_port(address: Address) -> tuple[str, int]:
    """Return host and port that the HTTP client connects to."""
    parts = urlsplit(address.origin)
    return parts.hostname or "", parts.port or {"http": 80, "https": 443}[address.scheme]
