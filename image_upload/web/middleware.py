"""What surrounds every request: request id, one log line a request, body limits, errors as problem documents.

Plain ASGI: what runs on every request must cost next to nothing.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Container, Iterable
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_upload.errors import (
    MEDIA_TYPE,
    BodyTooLarge,
    ClientTooSlow,
    HeadTooLarge,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Problem,
    ValidationFailed,
    as_document,
)
from image_upload.languages import negotiation
from image_upload.languages.wording import human_bytes
from image_upload.limits import BODY_TIMEOUT_S, CONTENT_LENGTH_MAX_DIGITS, HEAD_MAX_BYTES, LOGGED_MAX_CHARS
from image_upload.outbound import deadline
from image_upload.telemetry import audit
from image_upload.telemetry.audit import Audit, AuditEvent
from image_upload.telemetry.logs import path_of
from image_upload.web.json_answer import encode
from image_upload.web.json_body import invalid_request

log = logging.getLogger("image_upload.requests")

# nginx's status for a client that went away before the answer; it is only ever logged.
CLIENT_CLOSED_REQUEST = 499


_UNKEPT = ((b"cache-control", b"no-store"),)


def _says_how_long(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    for name, _ in headers:  # noqa: SIM110  a generator would be slower
        if name == b"cache-control":
            return True
    return False


class RequestLog:
    """Gives each request an id, returns it as X-Request-Id, and writes one line when it is over.

    No answer may be kept by a cache, unless its route says so itself.

    Behind it come the lines of the audit log.
    """

    def __init__(self, app: ASGIApp, auditor: Audit) -> None:
        self._app = app
        self._audit = auditor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        # On Lambda the id under which AWS itself logs the invocation.
        context = scope.get("aws.context")
        request_id = getattr(context, "aws_request_id", None) or uuid.uuid4().hex
        scope["request_id"] = request_id
        deadline.enter(context)
        status, path = CLIENT_CLOSED_REQUEST, path_of(scope["path"])

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    # What S3 and clients claim about types is not to be guessed over.
                    (b"x-content-type-options", b"nosniff"),
                    # URLs, tokens, tickets, names: no cache is to keep what only its asker may have.
                    *(() if _says_how_long(message["headers"]) else _UNKEPT),
                ]
            await send(message)

        events: list[AuditEvent] = []
        token = audit.request_events.set(events)
        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = CLIENT_CLOSED_REQUEST
        finally:
            audit.request_events.reset(token)
            fields: dict[str, Any] = {
                "request_id": request_id,
                "method": scope["method"][:LOGGED_MAX_CHARS],
                "path": path,
                "status": status,
                "duration_ms": round((time.perf_counter() - started) * 1000, 2),
            }
            if "principal" in scope:
                fields["user_id"] = self._audit.who(scope["principal"].user_id)
            if "problem" in scope:
                fields["code"] = scope["problem"]
            log.info("request", extra={"fields": fields})
            self._audit.write(scope, status, events)


class BodyLimit:
    """Refuses a head above `HEAD_MAX_BYTES`, and a body above what its route takes.

    The body by Content-Length before it is read, else while it is.

    It also refuses a body that is not there whole within `BODY_TIMEOUT_S`. Forms (`forms` are their paths) are held to
    a pace of their own where they are read.
    """

    def __init__(self, app: ASGIApp, max_bytes_of: Callable[[str], int], forms: Container[str]) -> None:
        self._app = app
        self._max_bytes_of = max_bytes_of
        self._forms = forms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._max_bytes_of(scope["path"])
        head_bytes, announced = len(scope["path"]) + len(scope["query_string"]), b""
        for name, value in scope["headers"]:
            head_bytes += len(name) + len(value)
            if name == b"content-length":
                announced = value
        if head_bytes > HEAD_MAX_BYTES:
            raise HeadTooLarge(
                f"The request's path, query and headers are longer than {HEAD_MAX_BYTES} bytes together. Send less.",
                max_bytes=HEAD_MAX_BYTES,
            )
        if (length_of(announced) or 0) > most:
            raise _too_large(most)
        received = 0
        waits_for_more = scope["path"] not in self._forms
        ends_at_s = asyncio.get_running_loop().time() + BODY_TIMEOUT_S

        async def receive_counted() -> Message:
            nonlocal received, waits_for_more
            # Behind the body's end a message tells that the client has gone, whenever that may be.
            try:
                async with asyncio.timeout_at(ends_at_s if waits_for_more else None):
                    message = await receive()
            except TimeoutError:
                raise ClientTooSlow(
                    "The body did not arrive within {seconds} s. Send it again over a faster line.",
                    facts={"seconds": f"{BODY_TIMEOUT_S:g}"},
                ) from None
            waits_for_more = waits_for_more and message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > most:
                raise _too_large(most)
            return message

        await self._app(scope, receive_counted, send)


class TrailingSlash:
    """Leads `/uploads/` to `/uploads` where only the second is a route.

    A redirect would need the address that clients know the service by, and behind a proxy that ends TLS only the
    proxy knows it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        path = scope.get("path", "")
        if path.endswith("/") and path != "/" and _best_match(scope) < _best_match({**scope, "path": path[:-1]}):
            scope["path"] = path[:-1]
        await self._app(scope, receive, send)


def _best_match(scope: Scope) -> int:
    routes: list[BaseRoute] = scope["app"].routes
    return max(route.matches(scope)[0].value for route in routes)


def length_of(content_length: bytes) -> int | None:
    """Return a Content-Length (RFC 9110 section 8.6); None where it is none.

    More digits than a length has: the largest.
    """
    if not content_length.isdigit():
        return None
    return int(content_length) if len(content_length) <= CONTENT_LENGTH_MAX_DIGITS else 10**CONTENT_LENGTH_MAX_DIGITS


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(
        "This route takes at most {limit}. Ask POST /uploads for a presigned URL and send the file to S3 itself.",
        facts={"limit": human_bytes(most)},
        max_bytes=most,
        use="/uploads",
    )


class Problems:
    """Turns whatever is raised inside into a problem document; what nobody foresaw becomes a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        started = False

        async def send_noting_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_noting_start)
        except Exception as error:  # noqa: BLE001  this is the one place where everything ends
            cause = _unwrapped(error)
            if started or scope["type"] != "http" or isinstance(cause, ClientDisconnect):
                raise cause from None
            await answer(scope, send, translate(cause, scope))


def _unwrapped(error: Exception) -> Exception:
    """Return what reading the body raised: FastAPI wraps it into an HTTPException."""
    cause = error.__cause__
    return cause if isinstance(error, HTTPException) and isinstance(cause, Problem | ClientDisconnect) else error


def translate(error: Exception, scope: Scope) -> Problem:
    """Any exception as a problem: ours as they are, the framework's by their meaning, others as a 500."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        # FastAPI's places begin with body, query or path.
        return invalid_request(error.errors(), skip=1)
    if isinstance(error, HTTPException):
        if error.status_code == NotFound.status:
            return NotFound("There is nothing at this path. GET /docs lists the routes.")
        if error.status_code == MethodNotAllowed.status:
            allowed = ", ".join(sorted(_methods(scope)))
            return MethodNotAllowed(
                f"{scope['method']} is not possible here. This path takes: {allowed}.", headers={"Allow": allowed}
            )
        if error.status_code < 500:  # a body that FastAPI could not read
            return ValidationFailed("The request body could not be read. Send JSON as /docs shows it.", errors=[])
    log.error(
        "unexpected exception",
        exc_info=error,
        extra={"fields": {"request_id": scope.get("request_id")}},
    )
    return InternalError("Something went wrong in this service. Report the request_id to its operator.")


def _methods(scope: Scope) -> set[str]:
    """Return what a path takes, of all its routes: the framework names those of the first one only."""
    found: set[str] = set()
    for route in scope["app"].routes:
        if route.matches(scope)[0] is not Match.NONE:
            for each in getattr(route, "routes", (route,)):  # those that are built late
                if each.matches(scope)[0] is not Match.NONE:
                    found |= getattr(each, "methods", None) or set()
    return found


async def answer(scope: Scope, send: Send, problem: Problem) -> None:
    """Send a problem document, in the language that the client prefers."""
    scope["problem"] = problem.code
    if problem.concealed_key is not None:
        scope["concealed_key"] = problem.concealed_key
    document, language = negotiation.localized(
        as_document(type(problem), problem.detail, scope.get("request_id", ""), **problem.extras),
        negotiation.preferred(scope["headers"]),
    )
    if scope.get("companion"):
        # Uppy 5 shows `message` to its user, and both versions log what `error` says.
        document |= {"error": problem.code, "message": document["detail"], "requestId": document["request_id"]}
    body = encode(document)
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        **negotiation.headers_of(language),
        **problem.headers,
    }
    await send(
        {
            "type": "http.response.start",
            "status": problem.status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
