"""A proxy on loopback that notes each request, and spoils those that a test names."""

import contextlib
import re
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.in_thread import answering

CHUNK = 64 * 1024
HEAD_MAX = 256 * 1024
HOLD_S = 60


@dataclass
class Fault:
    """What becomes of `times` requests whose `METHOD /path?query` matches, but for the first `skip`.

    It does so once `after` bytes of the body have come: with 0, before the server behind hears of it.

    `status`: answer with it, `headers` and `body`. `status` None: reset the connection. `hold`: first wait until the
    test releases it; then, without a status, pass the request on. `corrupt`: pass it on, its last byte changed.
    """

    match: str
    times: int = 1
    skip: int = 0
    after: int | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    hold: bool = False
    corrupt: bool = False
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Tell the test that the request is there; hold it, if it is to be held."""
        self.reached.set()
        if self.hold:
            self.released.wait(HOLD_S)


@dataclass
class Seen:
    """A request: its method and path, how many bytes of its body came, and the status that it got."""

    line: str
    headers: dict[str, str]
    bytes: int = 0
    status: int | None = None


class Proxy:
    """Passes HTTP/1.1 on, a connection a request. `url` is where it listens."""

    def __init__(self, upstream: str, url: str) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname
        assert parts.port
        self.upstream = (parts.hostname, parts.port)
        self.url = url
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.peak = 0
        self._clients: set[socket.socket] = set()
        self._unanswered: set[socket.socket] = set()
        self._lock = threading.Lock()

    def spoil(self, match: str, **how: object) -> Fault:
        """Add a fault; the keyword arguments are its fields."""
        fault = Fault(match, **how)  # type: ignore[arg-type]  # the names and types are those of the fields
        self.faults.append(fault)
        return fault

    def heal(self) -> None:
        """Forget faults and requests; let held ones go."""
        for fault in self.faults:
            fault.released.set()
        self.faults.clear()
        self.seen.clear()
        self.peak = 0

    def cut(self) -> None:
        """Reset every connection of a client."""
        with self._lock:
            for client in self._clients:
                _reset_at_close(client)
                client.shutdown(socket.SHUT_RDWR)

    @property
    def open(self) -> int:
        """How many requests wait for the first byte of their answer now; `peak` waited at once."""
        return len(self._unanswered)

    def requests(self, match: str) -> list[Seen]:
        """The requests whose line matches, without preflights."""
        return [seen for seen in self.seen if re.search(match, seen.line) and not seen.line.startswith("OPTIONS")]

    def take(self, line: str) -> Fault | None:
        """The fault of this request, if there is one."""
        with self._lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.match, line):
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def handle(self, client: socket.socket) -> None:
        """Serve the one request of a connection."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(CHUNK)
            if not data or len(head) > HEAD_MAX:
                return
            head += data
        head, _, rest = head.partition(b"\r\n\r\n")
        first, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}
        seen = Seen(first.rpartition(" ")[0], headers, len(rest))
        with self._lock:
            self.seen.append(seen)
            self._clients.add(client)
            self._unanswered.add(client)
            self.peak = max(self.peak, self.open)
        try:
            self._pass_on(client, seen, "\r\n".join([first, *_kept(fields), "Connection: close", "", ""]), rest)
        finally:
            with self._lock:
                self._clients.remove(client)
            self._is_answered(client)

    def _is_answered(self, client: socket.socket) -> None:
        """Count the request no more: once the answer's last byte has left, the client may send its next one."""
        with self._lock:
            self._unanswered.discard(client)

    def _pass_on(self, client: socket.socket, seen: Seen, head: str, rest: bytes) -> None:
        fault = self.take(seen.line)
        length = int(seen.headers.get("content-length", 0))
        early = length if fault is None or fault.after is None else min(fault.after, length)
        if fault is not None and not fault.corrupt and (fault.status is not None or not fault.hold):
            self._body(client, None, seen, early)
            self._end(client, fault, seen)
            return
        if fault is not None and fault.hold and not early:
            fault.wait()
        with socket.create_connection(self.upstream) as upstream:
            upstream.sendall(head.encode("latin-1") + rest)
            if fault is not None and fault.hold and early:
                self._body(client, upstream, seen, early)
                fault.wait()
            self._body(client, upstream, seen, length - 1 if fault is not None and fault.corrupt else length)
            if fault is not None and fault.corrupt:
                upstream.sendall(bytes([client.recv(1)[0] ^ 1]))
            while data := upstream.recv(CHUNK):
                if seen.status is None:
                    seen.status = int(data[9:12])  # HTTP/1.1 200
                    self._is_answered(client)
                client.sendall(data)

    def _end(self, client: socket.socket, fault: Fault, seen: Seen) -> None:
        """Do what a fault does to a request that is not passed on."""
        fault.wait()
        if fault.status is not None:
            self._answer(client, fault, seen)
        else:
            _reset_at_close(client)

    def _body(self, client: socket.socket, upstream: socket.socket | None, seen: Seen, until: int) -> None:
        while seen.bytes < until:
            data = client.recv(min(CHUNK, until - seen.bytes))
            if not data:
                raise ConnectionError
            seen.bytes += len(data)
            if upstream is not None:
                upstream.sendall(data)

    def _answer(self, client: socket.socket, fault: Fault, seen: Seen) -> None:
        seen.status = fault.status
        self._is_answered(client)
        allowed = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}
        body = fault.body.encode()
        headers = {**allowed, "Content-Length": str(len(body)), "Connection": "close", **fault.headers}
        lines = [f"HTTP/1.1 {fault.status} Spoiled", *(f"{name}: {value}" for name, value in headers.items())]
        client.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def _reset_at_close(client: socket.socket) -> None:
    """Let the other end see a reset: https://man7.org/linux/man-pages/man7/socket.7.html, SO_LINGER."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _kept(fields: list[str]) -> list[str]:
    return [each for each in fields if not each.lower().startswith("connection:")]


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    proxy: Proxy


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        # The browser, or the server behind, has given the request up.
        with contextlib.suppress(OSError):
            self.server.proxy.handle(self.request)


@contextlib.contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    """A proxy in front of a server."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.proxy = Proxy(upstream, f"http://127.0.0.1:{server.server_address[1]}")
    with answering(server):
        try:
            yield server.proxy
        finally:
            server.proxy.heal()
