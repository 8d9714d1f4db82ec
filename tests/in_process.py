"""Requests to the app in this thread, spelled as no client would spell them, and the CPU time they take."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from fastapi import FastAPI

Headers = Iterable[tuple[bytes, bytes]]


class Answered(NamedTuple):
    """What the app answered, and how long this thread's CPU worked on it."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    cpu_s: float


class InProcess:
    """The app on an event loop of its own, without a server between."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        """End the loop, and with it what the app has opened on it."""
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        async with self._app.router.lifespan_context(self._app):
            pass

    def ask(
        self,
        method: str,
        target: bytes,
        *,
        headers: Headers = (),
        body: bytes = b"",
        path: str | None = None,
    ) -> Answered:
        """Send a request; `target` is path and query as they would stand in the request line."""
        raw_path, _, query = target.partition(b"?")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            # As uvicorn has it.
            "path": unquote(raw_path.decode("ascii", "replace")) if path is None else path,
            "raw_path": raw_path,
            "root_path": "",
            "query_string": query,
            "headers": [(b"host", b"service"), (b"content-length", str(len(body)).encode()), *headers],
            "client": ("127.0.0.1", 1),
            "server": ("service", 80),
        }
        return self._loop.run_until_complete(self._answered(scope, body))

    async def _answered(self, scope: dict[str, Any], body: bytes) -> Answered:
        chunks: Iterator[dict[str, Any]] = iter([{"type": "http.request", "body": body, "more_body": False}])
        start: dict[str, Any] = {}
        answer = bytearray()

        async def receive() -> dict[str, Any]:
            return next(chunks, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            start.update(message if message["type"] == "http.response.start" else {})
            answer.extend(message.get("body", b""))

        began = time.thread_time()
        await self._app(scope, receive, send)
        cpu_s = time.thread_time() - began
        return Answered(start["status"], dict(start["headers"]), bytes(answer), cpu_s)


def in_path(text: str) -> str:
    """Text percent-encoded for a path or a query, half character pairs as UTF-8 would have them."""
    return quote(text.encode(errors="surrogatepass"), safe="")
