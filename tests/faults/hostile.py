"""A small TCP server where S3 should stand. It does to each connection what the test says, and counts."""

import contextlib
import hashlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

# Nothing here outlives a test by more than this.
PATIENCE_S = 10.0
_READ_BYTES = 256 * 1024
# Small, so that unread bytes stay with the sender.
_RECEIVE_BUFFER_BYTES = 64 * 1024


class PeerGone(Exception):
    """The service has hung up."""


@dataclass
class Exchange:
    """One connection, as the store sees it."""

    connection: socket.socket
    over: threading.Event
    line: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    received_bytes: int = 0
    said_bytes: int = 0
    hung_up: bool = False
    stored: str | None = None
    """SHA-256 of a body that came whole and was answered with 2xx only then."""
    keeps: bool = False
    """Whether the body itself is wanted."""
    body: bytearray = field(default_factory=bytearray)
    _pending: bytes = b""
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @property
    def announced_bytes(self) -> int:
        return int(self.headers.get("content-length", "0"))

    def _receive(self) -> bytes:
        try:
            data = self.connection.recv(_READ_BYTES)
        except OSError:
            raise PeerGone from None
        if not data:
            raise PeerGone
        return data

    def read_head(self) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, self._pending = data.partition(b"\r\n\r\n")
        self.line, *headers = head.decode().split("\r\n")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in headers)}

    def read_body(self, up_to_bytes: int | None = None) -> None:
        """The head, and the body up to its end or to this many bytes."""
        if not self.line:
            self.read_head()
        wanted = self.announced_bytes if up_to_bytes is None else min(up_to_bytes, self.announced_bytes)
        while self.received_bytes < wanted:
            data, self._pending = self._pending or self._receive(), b""
            self.received_bytes += len(data)
            self._hash.update(data)
            if self.keeps:
                self.body += data

    def say(self, data: bytes) -> None:
        try:
            self.connection.sendall(data)
        except OSError:
            raise PeerGone from None
        self.said_bytes += len(data)

    def store(self, answer: bytes) -> None:
        """Take the whole body, keep it, say so."""
        self.read_body()
        self.stored = self._hash.hexdigest()
        self.say(answer)

    def stall(self) -> None:
        """Neither read nor write, until the test is over: behind a full window no hang-up can be seen."""
        self.over.wait(PATIENCE_S)

    def reset(self) -> None:
        """RST in place of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


Act = Callable[[Exchange], None]


class HostileStore:
    """Does the n-th act to the n-th connection; further ones are counted and reset."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._acts: Sequence[Act] = ()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self.exchanges: list[Exchange] = []
        self.endpoint_url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def play(self, *acts: Act) -> None:
        """Begin anew with this script."""
        self._acts, self.exchanges, self._over = acts, [], threading.Event()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # the tests are over
                return
            connection.settimeout(PATIENCE_S)
            act = self._acts[len(self.exchanges)] if len(self.exchanges) < len(self._acts) else Exchange.reset
            exchange = Exchange(connection, self._over)
            self.exchanges.append(exchange)
            thread = threading.Thread(target=_act, args=(exchange, act), daemon=True)
            # Started first: `end`, in the test's own thread, may look between these two lines.
            thread.start()
            self._threads.append(thread)

    def end(self) -> None:
        """Let go of every connection."""
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._threads = []

    def sockets(self) -> frozenset[str]:
        """Its own ends of the connections, as `watching.held` names them."""
        found = set()
        for exchange in self.exchanges:
            with contextlib.suppress(OSError):  # closed
                found.add(f"socket:[{os.fstat(exchange.connection.fileno()).st_ino}]")
        return frozenset(found)

    @property
    def stored(self) -> list[str]:
        """Hashes of the files that the store has."""
        return [exchange.stored for exchange in self.exchanges if exchange.stored]


def _act(exchange: Exchange, act: Act) -> None:
    with exchange.connection:
        try:
            act(exchange)
        except PeerGone:
            exchange.hung_up = True


@contextlib.contextmanager
def hostile_store() -> Iterator[HostileStore]:
    """A store on a free port of loopback."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        store = HostileStore(listener)
        thread = threading.Thread(target=store.serve, daemon=True)
        thread.start()
        try:
            yield store
        finally:
            # close() alone does not wake a thread that waits in accept()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_S)
            store.end()


# --- acts -----------------------------------------------------------------------------------------


def raw(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def denied_document() -> bytes:
    return b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>No.</Message></Error>"


def storing(exchange: Exchange) -> None:
    """What S3 does."""
    exchange.store(raw(200))


def answering(answer: bytes) -> Act:
    """Read everything, then say this."""

    def act(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.say(answer)

    return act


def answering_early(answer: bytes, after_bytes: int = 0) -> Act:
    """Say this after a part of the body, then read and throw away what still comes."""

    def act(exchange: Exchange) -> None:
        exchange.read_body(after_bytes)
        exchange.say(answer)
        exchange.read_body()

    return act


def answering_early_and_resetting(answer: bytes, after_bytes: int = 0) -> Act:
    """Say this after a part of the body, and cut the connection."""

    def act(exchange: Exchange) -> None:
        exchange.read_body(after_bytes)
        exchange.say(answer)
        exchange.reset()

    return act


def resetting(after_bytes: int | None = None) -> Act:
    """Cut the connection after this much of the body; None: after all of it."""

    def act(exchange: Exchange) -> None:
        exchange.read_body(after_bytes)
        exchange.reset()

    return act


def stalling(exchange: Exchange) -> None:
    """Never read."""
    exchange.stall()


def stalling_after(said: bytes = b"", up_to_bytes: int | None = None) -> Act:
    """Read, say a part of an answer, and no more."""

    def act(exchange: Exchange) -> None:
        exchange.read_body(up_to_bytes)
        exchange.say(said)
        exchange.stall()

    return act


def storing_then_resetting(exchange: Exchange) -> None:
    """Keep the file, say so, and cut the connection."""
    exchange.store(raw(200))
    exchange.reset()


def talking(head: bytes, chunk: bytes, *, stores: bool = False, most_bytes: int = 1 << 30) -> Act:
    """Read everything, then talk until the service hangs up, or a gigabyte."""

    def act(exchange: Exchange) -> None:
        if stores:
            exchange.store(head)
        else:
            exchange.read_body()
            exchange.say(head)
        while exchange.said_bytes < most_bytes and not exchange.over.is_set():
            exchange.say(chunk)

    return act
