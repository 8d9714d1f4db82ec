"""A small Runtime API server: the other side of the real awslambdaric.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. It holds answers to Lambda's limit.
"""

import contextlib
import json
import queue
import re
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from image_upload.limits import LAMBDA_RESPONSE_MAX_BYTES
from tests.in_thread import answering

FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:image-upload"
WITHIN_S = 30.0
_PATH = re.compile(r"/2018-06-01/runtime/(?:invocation/(?P<id>[\w-]+)/(?P<kind>response|error)|(?P<init>init/error))")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an invocation ended: with the handler's answer, or with an error that it raised."""

    answer: dict[str, Any] | None
    error: dict[str, Any] | None
    at: float
    """When, on the monotonic clock."""


@dataclass(slots=True)
class _Invocation:
    request_id: str
    event: bytes
    deadline_ms: int
    outcome: "Future[Outcome]" = field(default_factory=Future)


class RuntimeApi:
    """Answer each request for the next event, in order, and keep the responses."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.init_errors: list[dict[str, Any]] = []
        self.polls: list[float] = []
        self.refused: list[int] = []
        self._changed = threading.Condition()
        self._waiting: queue.Queue[_Invocation] = queue.Queue()
        self._under_way: dict[str, _Invocation] = {}

    def send(self, event: Any, *, timeout_s: float = 60.0) -> "Future[Outcome]":
        """Queue an event. `timeout_s` is how far away the deadline is that the handler sees."""
        raw = event if isinstance(event, bytes) else json.dumps(event).encode()
        invocation = _Invocation(str(uuid.uuid4()), raw, round((time.time() + timeout_s) * 1000))
        self._waiting.put(invocation)
        return invocation.outcome

    def invoke(self, event: Any, *, timeout_s: float = 60.0) -> Outcome:
        """The outcome of one event."""
        return self.send(event, timeout_s=timeout_s).result(WITHIN_S)

    def answer(self, event: Any, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """The handler's answer to one event."""
        outcome = self.invoke(event, timeout_s=timeout_s)
        assert outcome.answer is not None, outcome.error
        return outcome.answer

    def wait_for_polls(self, count: int) -> None:
        """Until so many times the next event was asked for."""
        with self._changed:
            ready = self._changed.wait_for(lambda: len(self.polls) >= count, WITHIN_S)
        assert ready, f"{len(self.polls)} of {count} polls; init errors: {self.init_errors}"

    def polled(self) -> "_Invocation":
        """The next event, when there is one."""
        with self._changed:
            self.polls.append(time.monotonic())
            self._changed.notify_all()
        invocation = self._waiting.get()
        self._under_way[invocation.request_id] = invocation
        return invocation

    def posted(self, path: str, body: bytes) -> int:
        """Take what the runtime has to say; the status that Lambda answers with."""
        match = _PATH.fullmatch(path)
        if match is None:
            return 404
        if match["init"]:
            self.init_errors.append(json.loads(body))
            return 202
        if len(body) > LAMBDA_RESPONSE_MAX_BYTES:
            self.refused.append(len(body))
            return 413
        document, ended = json.loads(body), time.monotonic()
        invocation = self._under_way.pop(match["id"])
        answer, error = (document, None) if match["kind"] == "response" else (None, document)
        invocation.outcome.set_result(Outcome(answer, error, ended))
        return 202


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes out in pieces; without this each would wait for the client's delayed acknowledgement.
    disable_nagle_algorithm = True
    server: "_Server"

    def do_GET(self) -> None:  # http.server's own name
        if self.path != "/2018-06-01/runtime/invocation/next":
            self._answer(404, b"")
            return
        invocation = self.server.api.polled()
        self._answer(
            200,
            invocation.event,
            {
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": FUNCTION_ARN,
                "Lambda-Runtime-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
            },
        )

    def do_POST(self) -> None:  # the same
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.api.posted(self.path, body)
        self._answer(status, json.dumps({"status": status}).encode())

    def _chunk(self) -> bytes:
        data = self.rfile.read(int(self.rfile.readline().split(b";")[0], 16))
        self.rfile.readline()
        return data

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        # The process that asked for the next event may have been ended meanwhile.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    api: RuntimeApi
    # Pollers wait for ever.
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """A runtime that was ended breaks its connections."""


@contextlib.contextmanager
def runtime_api() -> Iterator[RuntimeApi]:
    """A Runtime API server on a free port of loopback."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.api = api = RuntimeApi(server.server_port)
    with answering(server):
        yield api
