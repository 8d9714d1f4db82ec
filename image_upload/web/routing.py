"""Routes: their declarations, routers that are built at their first request, and paths without their own route."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Message, Receive, Scope, Send

from image_upload.errors import BodyTooLarge, ClientTooSlow, InternalError, MethodNotAllowed, Problem
from image_upload.languages.wording import human_bytes
from image_upload.limits import BODY_TIMEOUT_S, CONTENT_LENGTH_MAX_DIGITS, JSON_BODY_MAX_BYTES

_KEY: Final = "x-documented"

# Returns a problem document in the form of one protocol's clients.
ErrorFormatter = Callable[[dict[str, Any]], dict[str, Any]]


class Declared(NamedTuple):
    """The declaration of a route.

    A body of more than `max_body_bytes` is refused, and one that is not complete within `BODY_TIMEOUT_S`, unless the
    body's reader `enforces_rate`: a least rate of the client. Browsers let pages read the headers that it `exposes`.
    `repeatable`: it takes an Idempotency-Key.
    """

    problems: tuple[type[Problem], ...] = ()
    answer: tuple[str, ...] = ()
    body: str | None = None
    form: dict[str, Any] | None = None
    max_body_bytes: int = JSON_BODY_MAX_BYTES
    enforces_rate: bool = False
    exposes: tuple[str, ...] = ()
    repeatable: bool = False


def documented(*problems: type[Problem], answer: str | tuple[str, ...] = (), **facts: Any) -> dict[str, Any]:
    """Return the `openapi_extra` of a route: what it takes, answers, and can go wrong with. See `Declared`.

    `answer` and `body` name a pydantic model as `room.module:Model`; an answer of several models is an object with the
    members of all. They are imported when the document is asked for, not when the service starts: building the models
    costs a millisecond each.
    """
    answers = (answer,) if isinstance(answer, str) else answer
    return {_KEY: Declared((*problems, InternalError), answers, **facts)}


class TokenDependency:
    """A dependency that reads a bearer token. The OpenAPI document shows it as a security requirement of the route."""

    # False: a request without a token is also served.
    requires_token: bool


class DeclaredRoute(APIRoute):
    """FastAPI's route, which enforces its declaration."""

    declared: Declared

    def __init__(
        self, path: str, endpoint: Callable[..., Any], *, openapi_extra: Mapping[str, Any] | None = None, **facts: Any
    ) -> None:
        # Removed, because FastAPI would copy it into the document.
        extra = dict(openapi_extra or {})
        self.declared = extra.pop(_KEY, Declared())
        super().__init__(path, endpoint, openapi_extra=extra or None, **facts)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request. FastAPI needs an exit stack in the scope, for the files of forms that it reads itself."""
        async with AsyncExitStack() as stack:
            scope["fastapi_middleware_astack"] = stack
            await super().handle(scope, bounded(scope, receive, self.declared), send)


class DirectRoute(Route):
    """A route without FastAPI's work for each request (dependencies, exit stacks: 27 us), for the hot path.

    Its endpoint takes the request and returns the response. The document shows it like any other route.
    """

    def __init__(
        self, path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str, **facts: Any
    ) -> None:
        super().__init__(path, endpoint, methods=[method])
        self._method = method
        self._facts = facts
        self.declared: Declared = facts["openapi_extra"][_KEY]

    def as_documented(self) -> DeclaredRoute:
        """Return the route as FastAPI would have made it."""
        return DeclaredRoute(self.path, self.endpoint, methods=[self._method], **self._facts)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        scope["route"] = self
        if scope["method"] != self._method:
            raise HTTPException(MethodNotAllowed.status)
        response = await self.endpoint(Request(scope, bounded(scope, receive, self.declared), send))
        await response(scope, receive, send)


class Routes(APIRouter):
    """A room's routes."""

    def __init__(self, *, route_class: type[DeclaredRoute] = DeclaredRoute, **facts: Any) -> None:
        super().__init__(route_class=route_class, **facts)


class LazyRouter(BaseRoute):
    """A room's routes, built by the first request for one of them, because a route adds 0.2 ms to the service's start.

    `prefixes` are the starts of their paths. `format_error` is for a protocol with its own form of errors: it formats
    every error of these paths, also if no route was reached.
    """

    def __init__(
        self, prefixes: tuple[str, ...], build: Callable[[], APIRouter], format_error: ErrorFormatter | None = None
    ) -> None:
        self._prefixes = prefixes
        self._build = build
        self.format_error = format_error

    @functools.cached_property
    def routes(self) -> Sequence[BaseRoute]:
        """The routes, built at first use."""
        return self._build().routes

    def lead(self, path: str) -> dict[str, Any] | None:
        """Return the changes in the scope of a request for one of these paths; None for another path."""
        return {} if path.startswith(self._prefixes) else None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return the best match among the routes; the scope carries the route that matched."""
        best: tuple[Match, Scope] = (Match.NONE, {})
        changes = self.lead(scope["path"]) if scope["type"] == "http" else None
        if changes is None:
            return best
        inner = {**scope, **changes}
        for route in self.routes:
            match, child = route.matches(inner)
            if match.value > best[0].value:
                best = (match, {**changes, **child, "lazy_route": route})
        return best

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request by the matched route."""
        await scope["lazy_route"].handle(scope, receive, send)


def every_route(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Yield the routes, with those of lazy routers."""
    for route in routes:
        if isinstance(route, LazyRouter):
            yield from route.routes
        else:
            yield route


def error_formatter(routes: Iterable[BaseRoute], path: str) -> ErrorFormatter | None:
    """Return the formatter for errors of this path; None: problem documents as they are."""
    for route in routes:
        if isinstance(route, LazyRouter) and route.format_error is not None and route.lead(path) is not None:
            return route.format_error
    return None


def without_slash(scope: Scope) -> str | None:
    """Return `/uploads` for `/uploads/`, where only the first is a route; else None.

    A redirect would need the address that clients know the service by, and behind a proxy that ends TLS only the
    proxy knows it.
    """
    path: str = scope["path"]
    if not path.endswith("/") or path == "/":
        return None
    return path[:-1] if _best_match(scope) < _best_match({**scope, "path": path[:-1]}) else None


def _best_match(scope: Scope) -> int:
    routes: list[BaseRoute] = scope["app"].routes
    return max(route.matches(scope)[0].value for route in routes)


def allowed_methods(scope: Scope) -> list[str]:
    """Return what a path takes, of all its routes: the framework names those of the first one only."""
    found: set[str] = set()
    for route in scope["app"].routes:
        if route.matches(scope)[0] is not Match.NONE:
            for each in route.routes if isinstance(route, LazyRouter) else (route,):
                if each.matches(scope)[0] is not Match.NONE:
                    found |= getattr(each, "methods", None) or set()
    return sorted(found)


def length_of(content_length: bytes) -> int | None:
    """Return a Content-Length (RFC 9110 section 8.6); None where it is none.

    More digits than a length has: the largest.
    """
    if not content_length.isdigit():
        return None
    return int(content_length) if len(content_length) <= CONTENT_LENGTH_MAX_DIGITS else 10**CONTENT_LENGTH_MAX_DIGITS


def bounded(scope: Scope, receive: Receive, limits: Declared) -> Receive:
    """Return `receive` for a route with these limits. Both raise `BodyTooLarge`, `receive` also `ClientTooSlow`."""
    most = limits.max_body_bytes
    for name, value in scope["headers"]:
        if name == b"content-length" and (length_of(value) or 0) > most:
            raise _too_large(most)
    received = 0
    # A Function URL passes the whole body at once.
    ends_at_s = None
    if not limits.enforces_rate and "aws.event" not in scope:
        ends_at_s = asyncio.get_running_loop().time() + BODY_TIMEOUT_S

    async def receive_bounded() -> Message:
        nonlocal received, ends_at_s
        if ends_at_s is None:
            message = await receive()
        else:
            try:
                async with asyncio.timeout_at(ends_at_s):
                    message = await receive()
            except TimeoutError:
                raise ClientTooSlow(
                    "The body did not arrive within {seconds} s. Send it again over a faster line.",
                    facts={"seconds": f"{BODY_TIMEOUT_S:g}"},
                ) from None
        if not message.get("more_body", False):
            # After the body's end, `receive` waits for the client's disconnect, without a limit.
            ends_at_s = None
        received += len(message.get("body", b""))
        scope["received_bytes"] = received  # `telemetry.requests` counts them
        if received > most:
            raise _too_large(most)
        return message

    return receive_bounded


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(
        "This route takes at most {limit}. Ask POST /uploads for a presigned URL and send the file to S3 itself.",
        facts={"limit": human_bytes(most)},
        max_bytes=most,
        use="/uploads",
    )
