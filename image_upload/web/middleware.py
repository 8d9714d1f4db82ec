"""The middleware: request id, one log line for each request, CORS, errors as problem documents.

Plain ASGI, because it runs on every request.
"""

import itertools
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_upload.errors import HeadTooLarge, MethodNotAllowed, NotFound
from image_upload.limits import HEAD_MAX_BYTES, LOGGED_MAX_CHARS
from image_upload.outbound import deadline
from image_upload.settings import origins
from image_upload.settings.web import WebSettings
from image_upload.telemetry.audit import Audit
from image_upload.telemetry.logs import path_of
from image_upload.telemetry.requests import Measured, Telemetry
from image_upload.web.edge import Edge
from image_upload.web.problems import answer, cause_of, translate
from image_upload.web.routing import without_slash

log: Final = logging.getLogger("image_upload.requests")

# nginx's status for a client that disconnected before the answer. It is only logged.
CLIENT_CLOSED_REQUEST: Final = 499

# Headers of any answer that browsers must let pages read. A route `exposes` more.
_EXPOSED: Final = ["X-Request-Id", "Retry-After", "RateLimit", "RateLimit-Policy"]

_NO_ROUTE: Final = (NotFound.status, MethodNotAllowed.status)

_UNKEPT: Final = ((b"cache-control", b"no-store"),)

# Raises a problem if a request is not admitted, before its body is read.
Admission = Callable[[Scope], Awaitable[None]]


def middleware(
    settings: WebSettings, auditor: Audit, telemetry: Telemetry, admission: Admission | None
) -> list[Middleware]:
    """Return what surrounds the routes, outermost first."""
    layers = [
        Middleware(RequestLog, auditor=auditor, telemetry=telemetry),
        Middleware(Problems, admission=admission),
    ]
    if settings.edge_secret is not None:
        layers.insert(1, Middleware(Edge, settings=settings))
    # A Function URL adds the CORS headers itself, and browsers refuse two.
    if settings.cors_allow_origins and not settings.on_lambda:
        cors = Middleware(
            Cors,
            allow_origins=origins.exact(settings.cors_allow_origins),
            allow_origin_regex=origins.pattern(settings.cors_allow_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"],
            allow_headers=list(settings.cors_allow_headers),
            expose_headers=_EXPOSED,
            max_age=86_400,
        )
        # Outside `Problems`, so that browsers can read errors too.
        layers.insert(-1, cors)
    return layers


def _says_how_long(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    for name, _ in headers:  # noqa: SIM110  a generator would be slower
        if name == b"cache-control":
            return True
    return False


class RequestLog:
    """Give each request an id, return it as X-Request-Id, and write one log line at its end, then the audit log's.

    The request is measured, and its metrics on Lambda are members of that line.

    Answers get `Cache-Control: no-store`, unless the route sets Cache-Control itself.
    """

    def __init__(self, app: ASGIApp, auditor: Audit, telemetry: Telemetry) -> None:
        self._app = app
        self._audit = auditor
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. `scope["status"]` is the answer's status, from its start on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        context = scope.get("aws.context")
        measured = self._telemetry.enter(scope)
        # On Lambda it is the id in AWS's own logs of the invocation, else that of the trace if one begins here.
        request_id = getattr(context, "aws_request_id", None) or measured.begun_trace_id or os.urandom(16).hex()
        scope["request_id"] = request_id
        deadline.enter(context)
        path = path_of(scope["path"])

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope["status"] = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    # Browsers must not guess another type than the declared one.
                    (b"x-content-type-options", b"nosniff"),
                    # Answers have URLs, tokens, tickets and names for this caller only, so no cache may store them.
                    *(() if _says_how_long(message["headers"]) else _UNKEPT),
                ]
            else:
                measured.sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            scope["status"] = CLIENT_CLOSED_REQUEST
        finally:
            self._write(scope, path, time.perf_counter() - started, measured)
            measured.leave()
            if self._telemetry.flushes:
                await self._telemetry.flush()

    def _write(self, scope: Scope, path: str, seconds: float, measured: Measured) -> None:
        status = scope.get("status", CLIENT_CLOSED_REQUEST)
        fields: dict[str, Any] = {
            "request_id": scope["request_id"],
            "method": scope["method"][:LOGGED_MAX_CHARS],
            "path": path,
            "status": status,
            "duration_ms": round(seconds * 1000, 2),
        }
        if "principal" in scope:
            fields["user_id"] = self._audit.who(scope["principal"].user_id)
        if "problem" in scope:
            fields["code"] = scope["problem"]
        documents = measured.end(scope, status, seconds)
        log.info("request", extra={"fields": fields, "members": documents[0] if documents else ""})
        for document in documents[1:]:
            log.info("metrics", extra={"members": document})
        self._audit.write(scope, status, measured.events or [])


class Cors(CORSMiddleware):
    """Starlette's CORS, which also exposes the headers that a route declares in `exposes`."""

    async def simple_response(self, scope: Scope, receive: Receive, send: Send, request_headers: Any) -> None:
        """Answer a request that is not a preflight."""

        async def send_exposing(message: Message) -> None:
            declared = getattr(scope.get("route"), "declared", None)
            if message["type"] == "http.response.start" and declared is not None and declared.exposes:
                exposed = ", ".join([*_EXPOSED, *declared.exposes]).encode()
                message["headers"] = [
                    (name, exposed if name == b"access-control-expose-headers" else value)
                    for name, value in message["headers"]
                ]
            await send(message)

        await super().simple_response(scope, receive, send_exposing, request_headers)


class Problems:
    """Pass a request to its route, and answer exceptions with a problem document; an unforeseen one is a 500."""

    def __init__(self, app: ASGIApp, admission: Admission | None = None) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            if self._admission is not None:
                await self._admission(scope)
            _check_head(scope)
            await self._routed(scope, receive, send)
        except Exception as error:  # noqa: BLE001  every exception must become an answer
            cause = cause_of(error)
            if "status" in scope or isinstance(cause, ClientDisconnect):
                raise cause from None
            await answer(scope, send, translate(cause, scope))

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except HTTPException as error:
            # No route, or none for the method. Nothing was read or sent yet.
            path = without_slash(scope) if error.status_code in _NO_ROUTE else None
            if path is None:
                raise
            scope["path"], scope["path_params"] = path, {}
            await self._app(scope, receive, send)


def _check_head(scope: Scope) -> None:
    """Raise `HeadTooLarge` for a path, query and headers that are too long together."""
    headers_bytes = sum(map(len, itertools.chain.from_iterable(scope["headers"])))
    head_bytes = len(scope["path"]) + len(scope["query_string"]) + headers_bytes
    if head_bytes > HEAD_MAX_BYTES:
        raise HeadTooLarge(
            f"The request's path, query and headers are longer than {HEAD_MAX_BYTES} bytes together. Send less.",
            max_bytes=HEAD_MAX_BYTES,
        )
