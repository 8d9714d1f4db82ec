"""Requests to the service and to the store, tried again after failures that may pass: full jitter, or Retry-After."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from image_upload import __version__
from image_upload.cli.put import AllFail, Failed
from image_upload.cli.put.token import TokenSource
from image_upload.limits import MIB, PUT_ATTEMPTS, PUT_RETRY_AFTER_MAX_S
from image_upload.outbound.retry import RETRYABLE_STATUSES, RetryableError, RetryPause, retry_after_s
from image_upload.s3.errors import error_code

# The longest answer of the service is a plan, of 5 MiB at most. More is not read.
_ANSWER_MAX_BYTES: Final = 8 * MIB
# A request that neither takes nor gives a byte for so long is cut. The service waits for S3 while it joins parts.
_TIMEOUT: Final = httpx.Timeout(10.0, read=120.0, write=60.0, pool=None)

_SAY_EVERY_S: Final = 10.0
_SERVICE_SILENT: Final = "service-unreachable"
_STORE_SILENT: Final = "store-unreachable"

T = TypeVar("T")
Count = Callable[[int], None]


class Answer(NamedTuple):
    """An answer in 2xx of the service, decoded; None for 204."""

    status: int
    retry_after_s: float | None
    body: Any


class Signed(NamedTuple):
    """A request of `size_bytes` whose URL is its permission."""

    method: str
    url: str
    headers: Mapping[str, str]
    size_bytes: int


# Makes the body of one attempt, and counts the bytes of it that were sent.
Body = Callable[[Count], AsyncIterator[bytes]]


class _Reply(NamedTuple):
    status: int
    headers: httpx.Headers
    raw: bytes

    @property
    def pause_s(self) -> float | None:
        """The pause that is asked for, however long."""
        return retry_after_s(self.headers.get("retry-after"), datetime.now(UTC), most_s=float("inf"))

    @property
    def answer(self) -> Any:
        """The decoded JSON; None if it is none."""
        try:
            return json.loads(self.raw)
        except ValueError:
            return None

    @property
    def problem(self) -> tuple[str, str] | None:
        """Code and sentence of the service's problem document; None if it is none."""
        answer = self.answer
        code, detail = (answer.get("code"), answer.get("detail")) if isinstance(answer, dict) else (None, None)
        return (code, detail) if isinstance(code, str) and isinstance(detail, str) else None


class Connection:
    """The service at a base URL, and whatever store it signs for. `say` is told what is tried again."""

    def __init__(self, url: str, token: TokenSource, say: Callable[[str], None]) -> None:
        self.url = url
        self._token = token
        self._say = say
        self._said_at = float("-inf")
        self._client = httpx.AsyncClient(
            timeout=_TIMEOUT,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=4.0),  # S3 closes idle ones after about 5 s
            headers={"User-Agent": f"image-upload/{__version__}", "Accept-Encoding": "identity"},
        )

    @property
    def authorization(self) -> dict[str, str]:
        """The header with the token that is in use; empty without one."""
        return {"Authorization": f"Bearer {self._token.text}"} if self._token.text else {}

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Return the answer of a route. Raises `Failed` with the service's code and sentence."""

        async def attempt() -> Answer:
            used = self._token.text
            reply = await self._asked(method, path, body)
            if reply.status == 401 and (self._token.text != used or self._renew_token()):
                reply = await self._asked(method, path, body)
            answer = reply.answer
            if reply.status == 204 or (reply.status in (200, 202) and isinstance(answer, dict)):
                return Answer(reply.status, reply.pause_s, answer)
            raise self._refusal(reply)

        return await self._patiently(attempt)

    async def send(
        self, first: Signed | None, renew: Callable[[], Awaitable[Signed]], body: Body, progress: Count
    ) -> str | None:
        """Send a body to the store, or to the service; return the ETag that it answers with.

        Without `first`, and once if the URL or the token in the headers is refused, `renew` signs another request.
        `progress` is told the bytes that were sent, and with a minus what a failed attempt has sent in vain. Raises
        `Failed`, and what `renew` and `body` raise.
        """
        signed, is_denied = first, False

        async def attempt() -> str | None:
            nonlocal signed, is_denied
            signed = signed or await renew()
            try:
                return await self._sent(signed, body, progress)
            except Failed as failed:
                # The URL has expired, or a clock or the service's credentials made it useless; or the token has ended.
                is_useless = failed.code == "store-denied" or (failed.code == "token-invalid" and self._renew_token())
                if is_denied or not is_useless:
                    raise
                signed, is_denied = None, True
                raise RetryableError(failed.detail, code=failed.code) from None

        return await self._patiently(attempt)

    async def _asked(self, method: str, path: str, body: Any) -> _Reply:
        headers = self.authorization
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        return await self._exchange(method, self.url + path, headers, content, _SERVICE_SILENT)

    async def _sent(self, signed: Signed, body: Body, progress: Count) -> str | None:
        sent_bytes = 0

        def count(more_bytes: int) -> None:
            nonlocal sent_bytes
            sent_bytes += more_bytes
            progress(more_bytes)

        headers = {**signed.headers, "Content-Length": str(signed.size_bytes)}
        try:
            silent = _SERVICE_SILENT if signed.url.startswith(f"{self.url}/") else _STORE_SILENT
            reply = await self._exchange(signed.method, signed.url, headers, body(count), silent)
            if not 200 <= reply.status < 300:
                host = urlsplit(signed.url).netloc
                raise self._refusal(reply) if reply.problem is not None else _store_refusal(host, reply)
        except BaseException:
            progress(-sent_bytes)
            raise
        etag: str | None = reply.headers.get("etag")
        return etag

    async def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | AsyncIterator[bytes] | None,
        silent: str,
    ) -> _Reply:
        """Return an answer. Raises `RetryableError` with the code `silent` if there is none."""
        try:
            scheme, host, *_ = urlsplit(url)
            if scheme not in ("http", "https"):
                raise httpx.InvalidURL("neither http nor https")
            request = self._client.build_request(method, url, headers=headers, content=content)
        except (httpx.InvalidURL, TypeError, ValueError):
            raise strange("An answer names a URL or a header that cannot be sent") from None
        raw = bytearray()
        try:
            response = await self._client.send(request, stream=True)
            try:
                async for chunk in response.aiter_raw():
                    raw += chunk
                    if len(raw) > _ANSWER_MAX_BYTES:
                        break
            finally:
                await response.aclose()
        except (httpx.TransportError, OSError) as error:
            reason = str(error).rstrip(".") or type(error).__name__
            raise RetryableError(f"{host} does not answer: {reason}.", code=silent) from None
        return _Reply(response.status_code, response.headers, bytes(raw))

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(RetryableError),
            wait=RetryPause(),
            stop=stop_after_attempt(PUT_ATTEMPTS),
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except RetryableError as error:
            kind = AllFail if error.code == _SERVICE_SILENT else Failed
            raise kind(str(error.code), str(error), may_pass=True) from None

    def _tell(self, state: RetryCallState) -> None:
        """Report what a retry waits for, but not for every request."""
        error = state.outcome.exception() if state.outcome is not None else None
        if time.monotonic() - self._said_at >= _SAY_EVERY_S:
            self._said_at = time.monotonic()
            self._say(f"waiting  {error} It is tried again.")

    def _renew_token(self) -> bool:
        try:
            return self._token.renew()
        except (OSError, ValueError):
            return False  # the service's own words follow

    def _refusal(self, reply: _Reply) -> Exception:
        """Return the failure that an answer of the service means."""
        if reply.problem is None:
            said = f"{self.url} answers {reply.status}"
            if reply.status in RETRYABLE_STATUSES:
                return _temporary(_SERVICE_SILENT, f"{said}.", reply)
            return strange(said)
        code, detail = reply.problem
        if reply.status == 401:
            return AllFail(code, f"{detail} Then repeat the command: it goes on where it was.", may_pass=True)
        if reply.status in RETRYABLE_STATUSES and not code.endswith("-not-configured"):
            return _temporary(code, detail, reply)
        return Failed(code, detail, may_pass=reply.status == 403, facts=reply.answer)


def strange(what: str) -> AllFail:
    """Return the failure of an answer that is none of this service."""
    return AllFail("not-this-service", f"{what}, which this service does not do. Correct --service.", may_pass=True)


def member(answer: Any, name: str, kind: type[T]) -> T:
    """Return a member of an answer. Raises `AllFail` if it is missing, or of another kind."""
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, kind):
        raise strange(f"An answer has no {name}")
    return value


def _store_refusal(host: str, reply: _Reply) -> Exception:
    """Return the failure that an answer of the store means."""
    named = error_code(reply.raw)
    code = "store-denied" if reply.status == 403 else "store-refused"
    detail = f"{host} answers {reply.status}{f' {named}' if named else ''}."
    if named == "RequestTimeout":  # a 400 that asks for another attempt
        return RetryableError(detail, code=_STORE_SILENT)
    if reply.status in RETRYABLE_STATUSES:
        return _temporary("store-unavailable", detail, reply)
    return Failed(code, detail, may_pass=reply.status == 403)


def _temporary(code: str, detail: str, reply: _Reply) -> Exception:
    """Return a failure to try again after a pause; one that has failed where the pause is too long to wait for."""
    pause_s = reply.pause_s
    if pause_s is not None and pause_s > PUT_RETRY_AFTER_MAX_S:
        return Failed(code, f"{detail} Repeat the command in {pause_s:.0f} seconds.", may_pass=True)
    return RetryableError(detail, status=reply.status, code=code, retry_after_s=pause_s)
