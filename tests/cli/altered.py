"""A server in front of another one that answers some requests otherwise: what a wrong set-up looks like."""

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.in_thread import answering

Headers = list[tuple[str, str]]


class Answer(NamedTuple):
    status: int
    headers: Headers
    body: bytes


class Asked(NamedTuple):
    method: str
    target: str  # path and query
    headers: dict[str, str]  # lower case
    body: bytes


# What is answered instead of, or made of, the answer of the server behind. The latter is asked by calling it.
Alter = Callable[[Asked, Callable[[], Answer]], Answer]


def denied(code: str = "AccessDenied", status: int = 403) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    return Answer(status, [("Content-Type", "application/xml")], body)


def _ask(url: str, asked: Asked) -> Answer:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request(asked.method, asked.target, asked.body, asked.headers)
        response = connection.getresponse()
        # The length of a body that HEAD does not send is the only one that stays.
        hop_by_hop = {"connection", "transfer-encoding", *(["content-length"] if asked.method != "HEAD" else [])}
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in hop_by_hop]
        return Answer(response.status, headers, response.read())
    finally:
        connection.close()


@contextmanager
def altered(behind: str, alter: Alter) -> Iterator[str]:
    """A server on loopback in front of the one at this URL; yields its own URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            answer = alter(asked, lambda: _ask(behind, asked))
            names = {name.lower() for name, _ in answer.headers}
            self.send_response_only(answer.status)
            if "date" not in names:
                self.send_header("Date", self.date_time_string())
            for name, value in answer.headers:
                self.send_header(name, value)
            if "content-length" not in names:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_PUT = do_POST = do_PATCH = do_HEAD = do_DELETE = do_OPTIONS = _handle  # the base class's names

        def log_message(self, format: str, *args: object) -> None:  # the base class's name
            """Keep still."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with answering(server):
        yield f"http://127.0.0.1:{server.server_port}"
