"""A receiver of webhooks on loopback, which answers as a test wants, and the settings that lead there."""

import base64
import contextlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from image_upload.notify.event import Event
from image_upload.settings import load
from image_upload.settings.notify import NotifySettings
from tests.in_thread import answering

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ENVIRON = {
    "ENVIRONMENT": "test",
    "S3_BUCKET_NAME": "bucket",
    "AWS_REGION": "eu-north-1",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
}


def new_secret(size: int = 32) -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(size)).decode()


SECRET = new_secret()


def settings_for(url: str, **environ: str) -> NotifySettings:
    return load({**ENVIRON, "WEBHOOK_URL": url, "WEBHOOK_SECRET": SECRET, **environ}).notify


def event(number: int = 0, **facts: Any) -> Event:
    return Event.about(f"uploads/{number}/고양이.jpg", "upload.stored", NOW, size=5, **facts)


class Received(NamedTuple):
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(status: int, **headers: str) -> Answer:
    """Answer with a status and headers, whose underscores stand for hyphens."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return respond


class Receiver:
    """What came, and what is answered: `script` for the next requests, then `usual`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[Received] = []
        self.script: list[Answer] = []
        self.usual = answer(204)
        self.arrived = threading.Condition()
        # Set when the test is over: a handler that hangs ends then.
        self.closed = threading.Event()

    def hang(self, _: BaseHTTPRequestHandler) -> None:
        """Answer nothing until the test is over."""
        self.closed.wait()

    def wait_for(self, count: int) -> list[Received]:
        """The first requests, once so many have come."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received) >= count, 20), self.received
            return self.received[:count]


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with running.arrived:
                running.received.append(
                    Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                )
                respond = running.script.pop(0) if running.script else running.usual
                running.arrived.notify_all()
            with contextlib.suppress(OSError):  # the sender has hung up
                respond(self)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # with the usual 5, a kernel resets some of 25 connections at once

    server = Server(("127.0.0.1", 0), Handler)
    running = Receiver(f"http://127.0.0.1:{server.server_port}/hooks/uploads")
    with answering(server):
        try:
            yield running
        finally:
            running.closed.set()
