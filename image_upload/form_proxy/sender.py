"""PUT a received file to a checked target, with retries, within a deadline."""

import asyncio
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple, cast

import httpx
from tenacity import AsyncRetrying, RetryCallState, RetryError, retry_if_exception_type, stop_after_attempt
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from image_upload.errors import (
    OutcomeUnknown,
    UploadTargetRefused,
    UploadTimedOut,
    UpstreamRedirected,
    UpstreamRefused,
    UpstreamUnavailable,
)
from image_upload.form_proxy.outcome import unknown
from image_upload.form_proxy.spool import Form, Waiting, pieces
from image_upload.form_proxy.target import Target
from image_upload.limits import CONNECT_TIMEOUT_S, STREAM_FROM_BYTES, UPSTREAM_ERROR_MAX_BYTES, UPSTREAM_IDLE_S
from image_upload.outbound.client import AddressRefused
from image_upload.outbound.deadline import Deadline
from image_upload.outbound.retry import BACKOFF_MAX_S, RETRYABLE_STATUSES, RetryableError, retry_after_s
from image_upload.outbound.streaming_put import StreamingPut, StreamingPutError
from image_upload.s3.errors import error_code
from image_upload.telemetry.calls import S3, measured
from image_upload.telemetry.metrics import RETRIES, record

# Longer than for the service's own calls, so that three pauses outlast a gateway's restart.
BACKOFF_FIRST_S = 2.0
# The PUT of a form's file to the URL that the client has named, among the operations of S3.
FORWARDED: Final = "ForwardedPut"

Sleep = Callable[[float], Awaitable[None]]
# Whether the target has stored this file.
Ask = Callable[[Target, Waiting], Awaitable[bool]]


class Sent(NamedTuple):
    """S3's 2xx, the number of attempts, and why the attempt before the last one failed."""

    status: int
    attempts: int
    last_failure: str | None = None


class _StopWhenTooLate(stop_base):
    """Stop if the pause before the next attempt would end after the deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def __call__(self, retry_state: object) -> bool:
        return getattr(retry_state, "upcoming_sleep", 0.0) >= self._deadline.left_s


class _Pause(wait_base):
    """The pause that the store asked for, else exponential back-off with jitter that leaves time for more attempts."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def __call__(self, retry_state: RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome is not None else None
        return pause_s(error, retry_state.attempt_number, self._deadline)


def pause_s(error: BaseException | None, attempt: int, deadline: Deadline) -> float:
    """Return the seconds to wait after an attempt."""
    if isinstance(error, RetryableError) and error.retry_after_s is not None:
        return error.retry_after_s
    most = min(BACKOFF_FIRST_S * 2 ** (attempt - 1), BACKOFF_MAX_S, deadline.left_s / 4)
    return random.uniform(most / 2, most)  # jitter


def patience(deadline: Deadline, *, another: bool) -> float:
    """Return the seconds without progress after which an attempt fails, early enough for another attempt.

    For the last attempt return more than the remaining time, so that only the deadline ends it. Two timers for the same
    moment would give different answers at random.
    """
    return min(UPSTREAM_IDLE_S, deadline.left_s / 2 if another else deadline.left_s * 2)


class Sender:
    """Send files: short ones by the HTTP client, which reuses connections, long ones by `StreamingPut`.

    `is_stored` is called after a connection broke behind the last byte. `sleep` is replaceable, so that tests do
    not wait.
    """

    def __init__(
        self, client: httpx.AsyncClient, streaming_put: StreamingPut, is_stored: Ask, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._client = client
        self._streaming_put = streaming_put
        self._is_stored = is_stored
        self._sleep = sleep

    async def again(
        self, form: Form, target: Target, *, after: RetryableError | None, max_retries: int, deadline: Deadline
    ) -> Sent:
        """Send the file after a first attempt that failed with `after`.

        With None this service broke the first attempt off itself, and it does not count.
        """
        if after is None:
            return await self.send(form, target, max_retries=max_retries, deadline=deadline)
        pause = pause_s(after, 1, deadline)
        if max_retries == 0 or pause >= deadline.left_s:
            raise gave_up(after, 1)
        await self._sleep(pause)
        sent = await self.send(form, target, max_retries=max_retries - 1, deadline=deadline, before=1)
        return sent._replace(last_failure=sent.last_failure or str(after))

    async def send(self, form: Form, target: Target, *, max_retries: int, deadline: Deadline, before: int = 0) -> Sent:
        """Store the form's file; return only after S3's 2xx. `before` is the number of earlier attempts.

        Raises `UpstreamRefused`, `UpstreamRedirected`, `UpstreamUnavailable`, `UploadTimedOut`, and
        `UploadTargetRefused` if the host resolves to an address that is not public.
        """
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(RetryableError),
            stop=stop_after_attempt(max_retries + 1) | _StopWhenTooLate(deadline),
            wait=_Pause(deadline),
            sleep=self._sleep,
        )
        number, last_failure = before, None
        try:
            async with asyncio.timeout(deadline.left_s):
                async for attempt in attempts:
                    number = before + attempt.retry_state.attempt_number
                    if number > 1:
                        record(RETRIES, 1, FORWARDED)
                    with attempt:
                        try:
                            idle_s = functools.partial(patience, deadline, another=number - before <= max_retries)
                            status = await self._attempt(form, target, number, idle_s)
                        except RetryableError as transient:
                            last_failure = str(transient)
                            raise
        except TimeoutError:
            raise UploadTimedOut(
                "The upload did not end in time. Send the file again, or straight to S3 with the presigned URL.",
                attempts=number,
            ) from None
        except RetryError as error:
            raise gave_up(error.last_attempt.exception(), number) from None
        return Sent(status, number, last_failure)

    async def _attempt(self, form: Form, target: Target, number: int, idle_s: Callable[[], float]) -> int:
        """PUT the file from its first byte; return S3's 2xx. Raises `RetryableError` if a retry may succeed."""
        assert form.file is not None  # the routes refuse a form without a file
        attempt = self._by_streaming_put if form.size_bytes >= STREAM_FROM_BYTES else self._over_client
        try:
            with forwarded():
                return await attempt(form, target, number, idle_s)
        except AddressRefused:
            raise UploadTargetRefused("The URL's host leads to an address that is not public.") from None
        except RetryableError as transient:
            if transient.ambiguous and await self._is_stored(target, form.file):
                return 200
            raise

    async def _by_streaming_put(self, form: Form, target: Target, number: int, idle_s: Callable[[], float]) -> int:
        assert form.file is not None  # as above
        headers, length = put_headers(target, form.content_type), form.size_bytes
        try:
            reply = await self._streaming_put.put(target.url, headers, length, pieces(form.file), idle_s=idle_s)
        except StreamingPutError as error:
            raise RetryableError(str(error), ambiguous=error.sent_bytes == length) from None
        status = judge(reply.status, reply.headers, error_code(reply.body), number)
        if reply.sent_bytes != length:
            raise RetryableError(f"{reply.status} before the whole file was sent")
        return status

    async def _over_client(self, form: Form, target: Target, number: int, idle_s: Callable[[], float]) -> int:
        assert form.file is not None  # as above
        # Content-Length in place of chunks: S3 refuses a PUT of unknown length (411 MissingContentLength).
        headers = {**put_headers(target, form.content_type), "Content-Length": str(form.size_bytes)}
        body = _Body(form.file)
        limit = httpx.Timeout(idle_s(), connect=CONNECT_TIMEOUT_S)
        request = self._client.build_request("PUT", target.url, content=body.chunks(), headers=headers, timeout=limit)
        try:
            response = await self._client.send(request, stream=True)
        except AddressRefused:
            raise
        except httpx.RequestError as error:
            raise RetryableError(type(error).__name__, ambiguous=body.ended) from None
        try:
            code = None
            if not response.is_success:
                code = await _error_code(response)
            elif response.headers.get("Content-Length") == "0":
                # Only a connection whose answer was read to the end can be reused.
                await response.aread()
            return judge(response.status_code, response.headers, code, number)
        finally:
            await response.aclose()


@contextmanager
def forwarded() -> Iterator[None]:
    """Measure the PUT of a form in the block, as a call of S3."""
    with measured(S3, FORWARDED) as call:
        try:
            yield
        except RetryableError as failure:
            call.outcome = "unreachable" if failure.status is None else "failed"
            raise
        except StreamingPutError:
            call.outcome = "unreachable"
            raise
        except (AddressRefused, UpstreamRefused, UpstreamRedirected):
            call.outcome = "refused"
            raise
        call.outcome = "ok"


def put_headers(target: Target, content_type: str | None) -> dict[str, str]:
    """Return the headers of a PUT, without Content-Length."""
    headers = {"Host": target.host, **target.storage_headers}
    if content_type:
        headers["Content-Type"] = content_type
    if "if-none-match" in target.signed_headers:
        headers["If-None-Match"] = "*"
    return headers


class _Body:
    """A file as a request's body. It records when the last byte was passed to the client."""

    def __init__(self, file: Waiting) -> None:
        self._file = file
        self.ended = False

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in pieces(self._file):
            yield cast("bytes", chunk)  # a memoryview can be sent too
        self.ended = True


def judge(status: int, headers: Mapping[str, str], code: str | None, number: int) -> int:
    """Return a 2xx status; raise the error for any other answer of S3 to attempt `number`.

    Raises `RetryableError`, `UpstreamRedirected`, `UpstreamRefused`.
    """
    if 200 <= status < 300:
        return status
    if status in RETRYABLE_STATUSES:
        pause = retry_after_s(headers.get("retry-after"), datetime.now(UTC))
        raise RetryableError(f"{status} {code or ''}".strip(), status=status, code=code, retry_after_s=pause)
    if status < 400:
        raise UpstreamRedirected(
            "The store answered with a redirect, which is not followed. Sign the URL for the bucket's regional host.",
            upstream_status=status,
            attempts=number,
        )
    raise UpstreamRefused(
        "S3 refused the upload ({reason}). If the URL has expired mint a new one; if not, send exactly the type and "
        "length that it was minted for.",
        facts={"reason": code or status},
        upstream_status=status,
        upstream_code=code,
        attempts=number,
    )


async def _error_code(response: httpx.Response) -> str | None:
    """Return the Code of S3's error document, if its first bytes have one."""
    document = b""
    try:
        async for chunk in response.aiter_raw():
            document += chunk
            if len(document) >= UPSTREAM_ERROR_MAX_BYTES:
                break
    except httpx.HTTPError:
        pass  # the status is known, and enough
    return error_code(document)


def gave_up(last: BaseException | None, number: int) -> UpstreamRefused | UpstreamUnavailable | OutcomeUnknown:
    """Return the problem for a failed last attempt."""
    failure = last if isinstance(last, RetryableError) else RetryableError(type(last).__name__)
    if failure.ambiguous:
        return unknown(number)
    if failure.status is not None and failure.status < 500:
        return UpstreamRefused(
            "S3 asks to slow down. Wait a little, then send the file again.",
            upstream_status=failure.status,
            upstream_code=failure.code,
            attempts=number,
        )
    return UpstreamUnavailable(
        "S3 could not be reached or answered with an error of its own. There was one attempt. Send the file again, "
        "or let the service repeat it: POST /upload-with-presigned-retry with max_retries from 1 on."
        if number == 1
        else "S3 could not be reached or answered with an error of its own, in each of {attempts} attempts. Send "
        "the file again in some minutes.",
        facts={"attempts": number},
        upstream_status=failure.status,
        upstream_code=failure.code,
        attempts=number,
    )
