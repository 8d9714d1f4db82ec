"""A Function URL in front of the real awslambdaric: HTTP in, events to the function, its answers out.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html. It refuses what AWS would, and can cut connections.
"""

import base64
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

from tests.in_thread import answering
from tests.runtime.api import RuntimeApi

# "6 MB each for request and response", in base64 where the type is none of these.
EVENT_MAX_BYTES = 6 * 1024 * 1024
_TEXT = ("text/", "application/json", "application/xml", "application/javascript")

# When a request's connection is cut: before the function is called, or once it has answered.
Cut = Literal["before", "after"]


class FunctionUrl:
    """Its `url`, and the methods and statuses of its answers; None where the connection was cut."""

    def __init__(self, api: RuntimeApi, port: int) -> None:
        self.api = api
        self.url = f"http://127.0.0.1:{port}"
        self._cuts: Mapping[tuple[str, int], Cut] = {}
        self.statuses: list[tuple[str, int | None]] = []
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def will_cut(self, cuts: Mapping[tuple[str, int], Cut]) -> None:
        """Cut these requests, counted from now on."""
        self._cuts = cuts
        self.statuses.clear()
        self._asked.clear()

    def cut(self, method: str) -> Cut | None:
        """Whether the next request of this method is cut."""
        with self._lock:
            self._asked[method] += 1
            return self._cuts.get((method, self._asked[method]))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def _handle(self) -> None:
        there = self.server.function
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        cut = there.cut(self.command)
        if cut != "before":
            status, answer = self._answered(body)
        if cut is not None:
            there.statuses.append((self.command, None))
            self.close_connection = True
            return
        there.statuses.append((self.command, status))
        self.send_response(status)
        for name, value in answer.get("headers", {}).items():
            self.send_header(name, value)
        self.end_headers()
        content = answer.get("body", "").encode()
        self.wfile.write(base64.b64decode(content) if answer.get("isBase64Encoded") else content)

    do_GET = do_POST = do_PATCH = do_HEAD = do_DELETE = do_OPTIONS = _handle

    def _answered(self, body: bytes) -> tuple[int, dict[str, Any]]:
        path = urlsplit(self.path)
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            headers[name.lower()] = f"{headers[name.lower()]},{value}" if name.lower() in headers else value
        is_text = headers.get("content-type", "").startswith(_TEXT)
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path.path,
            "rawQueryString": path.query,
            "headers": headers,
            "requestContext": {
                "http": {"method": self.command, "path": path.path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7"}
            },
            "body": body.decode() if is_text else base64.b64encode(body).decode(),
            "isBase64Encoded": not is_text,
        }
        raw = json.dumps(event).encode()
        if len(raw) > EVENT_MAX_BYTES:
            return 413, {"headers": {"content-length": "0"}}
        answer = self.server.function.api.answer(raw)
        return answer["statusCode"], answer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    function: FunctionUrl
    daemon_threads = True


@contextlib.contextmanager
def function_url(api: RuntimeApi) -> Iterator[FunctionUrl]:
    """A Function URL on a free port of loopback."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.function = function = FunctionUrl(api, server.server_port)
    with answering(server):
        yield function
