"""A server that files are imported from, on loopback: what it answers is decided by the path."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.in_thread import answering

Answer = Callable[["Handler"], None]


@dataclass
class Origin:
    """`answers` by path. `asked` has the head of every request."""

    port: int
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    sent_bytes: int = 0
    broken: int = 0
    """Connections that ended before the body did."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def serve(self, path: str, answer: Answer) -> str:
        """Answer so at this path; return its URL."""
        self.answers[path.partition("?")[0]] = answer
        return self.url(path)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    origin: Origin

    def do_GET(self) -> None:
        self.origin.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        answer = self.origin.answers.get(self.path.partition("?")[0])
        try:
            if answer is None:
                self.head(404)
            else:
                answer(self)
        except OSError:
            self.origin.broken += 1
        self.close_connection = True

    def head(self, status: int, **headers: str | int) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def body(self, data: bytes) -> None:
        self.wfile.write(data)
        self.origin.sent_bytes += len(data)

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.origin.sent_bytes += len(data)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def origin() -> Iterator[Origin]:
    handler = type("OriginHandler", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    there = handler.origin = Origin(server.server_port)  # type: ignore[attr-defined]  # of this class alone
    with answering(server):
        try:
            yield there
        finally:
            there.over.set()


# --- answers --------------------------------------------------------------------------------------


def file(data: bytes, content_type: str = "image/jpeg", **headers: str | int) -> Answer:
    """The whole file, with its length."""

    def answer(request: Handler) -> None:
        request.head(200, Content_Type=content_type, Content_Length=len(data), **headers)
        request.body(data)

    return answer


def chunked(data: bytes, content_type: str = "image/jpeg", piece: int = 64 * 1024) -> Answer:
    """The whole file in chunks, without its length."""

    def answer(request: Handler) -> None:
        request.head(200, Content_Type=content_type, Transfer_Encoding="chunked")
        for start in range(0, len(data), piece):
            request.chunk(data[start : start + piece])
        request.chunk(b"")

    return answer


def status(code: int, body: bytes = b"the origin's own words", **headers: str | int) -> Answer:
    def answer(request: Handler) -> None:
        request.head(code, Content_Length=len(body), **headers)
        request.body(body)

    return answer


def redirect(to: str, code: int = 302) -> Answer:
    return status(code, Location=to, Set_Cookie="session=1; Path=/")


def endless(content_type: str = "image/jpeg") -> Answer:
    """A body in chunks that ends with the connection."""

    def answer(request: Handler) -> None:
        request.head(200, Content_Type=content_type, Transfer_Encoding="chunked")
        while not request.origin.over.is_set():
            request.chunk(bytes(64 * 1024))

    return answer


def pattern(size_bytes: int, content_type: str = "application/octet-stream", **headers: str | int) -> Answer:
    """A long file that nothing holds whole."""

    def answer(request: Handler) -> None:
        request.head(200, Content_Type=content_type, Content_Length=size_bytes, **headers)
        for piece in pieces(size_bytes):
            request.body(piece)

    return answer


def held(first: bytes, rest: bytes, go_on: threading.Event, content_type: str = "image/jpeg") -> Answer:
    """The file, whose rest comes once the event is set."""

    def answer(request: Handler) -> None:
        request.head(200, Content_Type=content_type, Content_Length=len(first) + len(rest))
        request.body(first)
        while not (go_on.wait(0.05) or request.origin.over.is_set()):
            pass
        request.body(rest)

    return answer


def dripping(content_type: str = "image/jpeg") -> Answer:
    """A byte now and then."""

    def answer(request: Handler) -> None:
        request.head(200, Content_Type=content_type, Content_Length=1_000_000)
        while not request.origin.over.wait(0.05):
            request.body(b"x")

    return answer


def silence(request: Handler) -> None:
    """No answer at all."""
    request.origin.over.wait(10)


def pieces(size_bytes: int) -> Iterator[bytes]:
    block = hashlib.sha256(b"block").digest() * 8192
    for start in range(0, size_bytes, len(block)):
        yield block[: size_bytes - start]


def sha256_of(size_bytes: int) -> str:
    digest = hashlib.sha256()
    for piece in pieces(size_bytes):
        digest.update(piece)
    return digest.hexdigest()


def wait_until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.02)  # before it is looked at again, until the deadline above
