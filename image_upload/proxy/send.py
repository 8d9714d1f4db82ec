"""PUT a received file to a checked target, again if that can help, within a deadline."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import BinaryIO, NamedTuple

import httpx
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_attempt
from tenacity.stop import stop_base

from image_upload.errors import OutOfTime, RefusedTarget, UpstreamRedirected, UpstreamRefused, UpstreamUnavailable
from image_upload.limits import UPSTREAM_ERROR_MAX_BYTES
from image_upload.proxy.deadline import Deadline
from image_upload.proxy.form import Form
from image_upload.proxy.target import Target
from image_upload.s3.connection import AddressRefused
from image_upload.s3.failures import error_code
from image_upload.s3.retry import RETRYABLE_STATUSES, RetryPause, Transient, retry_after_s

CHUNK_BYTES = 256 * 1024

Sleep = Callable[[float], Awaitable[None]]


class Sent(NamedTuple):
    """S3's 2xx and the attempts it took."""

    status: int
    attempts: int


class _StopWhenTooLate(stop_base):
    """Stops when the pause before the next attempt would outlast the deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def __call__(self, retry_state: object) -> bool:
        return getattr(retry_state, "upcoming_sleep", 0.0) >= self._deadline.left_s


class Sender:
    """Sends files over one HTTP client. `sleep` is replaceable, so that tests need not wait."""

    def __init__(self, client: httpx.AsyncClient, sleep: Sleep = asyncio.sleep) -> None:
        self._client = client
        self._sleep = sleep

    async def send(self, form: Form, target: Target, *, max_retries: int, deadline: Deadline) -> Sent:
        """Store the form's file. Returns only after S3's 2xx.

        Raises `UpstreamRefused`, `UpstreamRedirected`, `UpstreamUnavailable`, `OutOfTime`, or
        `RefusedTarget` when the host leads to an address that is not public.
        """
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(Transient),
            stop=stop_after_attempt(max_retries + 1) | _StopWhenTooLate(deadline),
            wait=RetryPause(),
            sleep=self._sleep,
        )
        number = 0
        try:
            async with asyncio.timeout(deadline.left_s):
                async for attempt in attempts:
                    number = attempt.retry_state.attempt_number
                    with attempt:
                        status = await self._attempt(form, target, number)
        except TimeoutError:
            raise OutOfTime(
                "The upload did not end in time. Send the file again, or straight to S3 with the presigned URL.",
                attempts=number,
            ) from None
        except RetryError as error:
            raise _gave_up(error, number) from None
        return Sent(status, number)

    async def _attempt(self, form: Form, target: Target, number: int) -> int:
        """One PUT from the file's first byte. Returns S3's 2xx; raises `Transient` where another try may help."""
        assert form.file is not None  # noqa: S101  the routes refuse a form without a file
        form.file.seek(0)
        request = self._client.build_request(
            "PUT", target.url, content=_chunks(form.file), headers=_headers(form, target)
        )
        try:
            response = await self._client.send(request, stream=True)
        except AddressRefused:
            raise RefusedTarget("The URL's host leads to an address that is not public.") from None
        except httpx.RequestError as error:
            raise Transient(type(error).__name__) from None
        try:
            return await _judge(response, number)
        finally:
            await response.aclose()


def _headers(form: Form, target: Target) -> dict[str, str]:
    # Content-Length in place of chunks: S3 refuses a PUT of unknown length (411 MissingContentLength).
    headers = {"Host": target.host, "Content-Length": str(form.size_bytes)}
    if form.content_type:
        headers["Content-Type"] = form.content_type
    if "if-none-match" in target.signed_headers:
        headers["If-None-Match"] = "*"
    return headers


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


async def _judge(response: httpx.Response, number: int) -> int:
    """The meaning of S3's answer: a 2xx status, or an error of ours."""
    status = response.status_code
    if response.is_success:
        return status
    if status in RETRYABLE_STATUSES:
        pause = retry_after_s(response.headers.get("retry-after"), datetime.now(UTC))
        raise Transient(f"HTTP {status}", status=status, retry_after_s=pause)
    if response.is_redirect or status < 400:  # noqa: PLR2004
        raise UpstreamRedirected(
            "The store answered with a redirect, which is not followed. Sign the URL for the bucket's regional host.",
            upstream_status=status,
            attempts=number,
        )
    code = await _error_code(response)
    raise UpstreamRefused(
        f"S3 refused the upload ({code or status}). If the URL has expired mint a new one; if not, send exactly the "
        "type and length that it was minted for.",
        upstream_status=status,
        upstream_code=code,
        attempts=number,
    )


async def _error_code(response: httpx.Response) -> str | None:
    """The Code of S3's error document, if there is one within its first bytes."""
    document = b""
    try:
        async for chunk in response.aiter_raw():
            document += chunk
            if len(document) >= UPSTREAM_ERROR_MAX_BYTES:
                break
    except httpx.HTTPError:
        pass  # the status alone has to do; it is already known
    return error_code(document)


def _gave_up(error: RetryError, number: int) -> UpstreamRefused | UpstreamUnavailable:
    """The last attempt's failure as the answer."""
    last = error.last_attempt.exception()
    status = last.status if isinstance(last, Transient) else None
    if status is not None and status < 500:  # noqa: PLR2004
        return UpstreamRefused(
            "S3 asks to slow down. Wait a little, then send the file again.",
            upstream_status=status,
            upstream_code=None,
            attempts=number,
        )
    return UpstreamUnavailable(
        "S3 could not be reached or answered with an error of its own, also to the last attempt. Send the file again.",
        upstream_status=status,
        attempts=number,
    )
