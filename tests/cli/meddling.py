"""A server in front of S3 that passes everything on, unless a test meddles with it."""

import contextlib
import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tests.in_thread import answering


@dataclass
class Call:
    """One request, as S3 gets it, and what S3 has answered to it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    pass_on: Callable[["Call"], "Answer"]

    @property
    def operation(self) -> str:
        query = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        kinds = {"uploads": {"POST": "Create", "GET": "Uploads"}, "uploadId": {"PUT": "Part", "POST": "Complete"}}
        kinds["uploadId"] |= {"GET": "Parts", "DELETE": "Abort"}
        for name, operations in kinds.items():
            if name in query:
                return operations[self.method]
        return {"PUT": "Put", "POST": "Form", "HEAD": "Head", "GET": "Get", "DELETE": "Delete"}[self.method]

    @property
    def key(self) -> str:
        """The key; "" of a call to the bucket itself."""
        return "".join(unquote(urlsplit(self.target).path).split("/", 2)[2:])


@dataclass
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Cut(Exception):
    """Hang up instead of answering."""


Meddle = Callable[[Call], Answer | None]


def error(status: int, code: str) -> Answer:
    return Answer(status, {}, f"<Error><Code>{code}</Code></Error>".encode())


@dataclass
class Meddler:
    """`meddle` sees every call; what it returns is the answer, None lets S3 answer."""

    endpoint_url: str
    calls: list[tuple[str, str]] = field(default_factory=list)
    meddle: Meddle = lambda _: None

    def count(self, operation: str) -> int:
        return sum(name == operation for name, _ in self.calls)


@contextlib.contextmanager
def meddling(s3_endpoint: str) -> Iterator[Meddler]:
    """Run one on loopback."""
    host = urlsplit(s3_endpoint).netloc

    def pass_on(call: Call) -> Answer:
        connection = http.client.HTTPConnection(host, timeout=30)
        try:
            connection.putrequest(call.method, call.target, skip_host=True, skip_accept_encoding=True)
            for name, value in (call.headers | {"Content-Length": str(len(call.body))}).items():
                connection.putheader(name, value)
            connection.endheaders(call.body)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "content-length"}
            call = Call(self.command, self.path, headers, body, pass_on)
            meddler.calls.append((call.operation, call.key))
            try:
                answer = meddler.meddle(call) or pass_on(call)
            except Cut:
                self.close_connection = True
                return
            with contextlib.suppress(OSError):  # the importer was killed
                self.send_response_only(answer.status)
                length = str(len(answer.body))
                for name, value in answer.headers.items():
                    if name.lower() == "content-length":
                        length = value  # of what a HEAD describes
                    elif name.lower() not in ("connection", "transfer-encoding"):
                        self.send_header(name, value)
                self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(answer.body if self.command != "HEAD" else b"")

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = serve  # the names are http.server's

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # an importer that was killed in the middle of a request

    server = Server(("127.0.0.1", 0), Handler)
    meddler = Meddler(f"http://127.0.0.1:{server.server_port}")
    with answering(server):
        yield meddler
