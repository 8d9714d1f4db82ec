"""PUT a body while it arrives: write it to a socket, with back-pressure in both directions.

`client.py` sends bodies that are complete. This module sends bodies in transit:

- It counts the bytes that were sent, so that the caller knows whether it can repeat the request.
- It asks the store whether it wants the body (RFC 9110 section 10.1.1).
- It stops sending when the store answers early.
- It breaks the connection off if the body is shorter than announced.
"""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import SplitResult, urlsplit

import h11

from image_upload.limits import (
    CONNECT_TIMEOUT_S,
    EXPECT_IGNORED_MAX,
    EXPECT_TIMEOUT_S,
    INTERIM_ANSWERS_MAX,
    UPSTREAM_ERROR_MAX_BYTES,
    UPSTREAM_IDLE_S,
)
from image_upload.outbound.client import Destinations

# Above this many bytes in the socket's buffer, reading from the client pauses.
_HIGH_WATER_BYTES = 512 * 1024
_EXPECTATION_FAILED = 417


class Reply(NamedTuple):
    """The store's answer, with only the first bytes of its body, enough for an error document's code.

    `sent_bytes` of the request's body were sent before it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_bytes: int


class StreamingPutError(Exception):
    """The exchange broke after `sent_bytes` of the body. 0 means that the whole body can still be sent."""

    def __init__(self, reason: str, sent_bytes: int) -> None:
        super().__init__(reason)
        self.sent_bytes = sent_bytes


class LengthError(Exception):
    """The body was not as long as announced. The request was broken off, and the store stored nothing."""


class StreamingPut:
    """Send PUTs to addresses that `destinations` allow."""

    def __init__(self, destinations: Destinations, context: Callable[[], ssl.SSLContext]) -> None:
        self._destinations = destinations
        self._context = context
        # Hosts that ignore Expect: 100-continue.
        self._ignores_expect: set[str] = set()

    async def put(
        self,
        url: str,
        headers: Mapping[str, str],
        length: int,
        body: AsyncIterator[bytes | memoryview],
        *,
        idle_s: Callable[[], float] = lambda: UPSTREAM_IDLE_S,
    ) -> Reply:
        """PUT exactly `length` bytes. `idle_s` returns how many seconds the store may neither take nor send a byte.

        Raises `StreamingPutError`, `LengthError`, `AddressRefused`, and whatever `body` raises.
        """
        parts = urlsplit(url)
        head = f"{parts.path}?{parts.query}", headers, length
        asks = parts.netloc not in self._ignores_expect
        exchange = await self._connected(parts, idle_s)
        try:
            if asks:
                exchange.write(_head(*head, expect=True))
                if not await exchange.is_wanted():
                    self._remember_ignores_expect(parts.netloc)
                if exchange.status == _EXPECTATION_FAILED:
                    self._remember_ignores_expect(parts.netloc)
                    exchange.close()
                    exchange, asks = await self._connected(parts, idle_s), False
            if not asks:
                exchange.write(_head(*head))
            await _send(exchange, body, length)
            return await exchange.reply()
        finally:
            exchange.close()

    def _remember_ignores_expect(self, store: str) -> None:
        if len(self._ignores_expect) >= EXPECT_IGNORED_MAX:
            self._ignores_expect.clear()
        self._ignores_expect.add(store)

    async def _connected(self, parts: SplitResult, idle_s: Callable[[], float]) -> "_Exchange":
        exchange = _Exchange(idle_s)
        await self._connect(parts.scheme, parts.hostname or "", parts.port, exchange)
        return exchange

    async def _connect(self, scheme: str, host: str, port: int | None, exchange: "_Exchange") -> None:
        port = port or {"http": 80, "https": 443}[scheme]
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                target = await self._destinations.address(host, port)
                secure = scheme == "https"
                await asyncio.get_running_loop().create_connection(
                    lambda: exchange,
                    target,
                    port,
                    ssl=self._context() if secure else None,
                    server_hostname=host if secure else None,
                )
        except (OSError, TimeoutError) as error:
            raise StreamingPutError(type(error).__name__, 0) from None


def _head(target: str, headers: Mapping[str, str], length: int, *, expect: bool = False) -> bytes:
    """Return the request's head. h11 refuses a header value that would break out of its line."""
    expect_header = [("Expect", "100-continue")] if expect else []
    request = h11.Request(
        method="PUT",
        target=target,
        headers=[*headers.items(), ("Content-Length", str(length)), ("Connection", "close"), *expect_header],
    )
    return h11.Connection(our_role=h11.CLIENT).send(request) or b""


async def _send(exchange: "_Exchange", body: AsyncIterator[bytes | memoryview], length: int) -> None:
    async with contextlib.aclosing(body) as chunks:  # type: ignore[type-var]  # `aclose` is all that it asks for
        async for chunk in chunks:
            if exchange.answered:
                # The store has answered and would discard the rest of the body.
                return
            if exchange.sent_bytes + len(chunk) > length:
                raise LengthError(f"more than {length} bytes")
            exchange.send(chunk)
            await exchange.drained()
    if exchange.sent_bytes != length and not exchange.answered:
        raise LengthError(f"{exchange.sent_bytes} of {length} bytes")


class _Exchange(asyncio.Protocol):
    """One request and its answer on one connection."""

    def __init__(self, idle_s: Callable[[], float]) -> None:
        self.sent_bytes = 0
        self.answered = False
        self.status = 0
        self._idle_s = idle_s
        self._received_bytes = 0
        self._interim_answers = 0
        # Set by the first bytes of an answer, and by the end of the exchange.
        self._reply_or_end = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._answer = h11.Connection(our_role=h11.CLIENT)
        self._answer.send(h11.Request(method="PUT", target="/", headers=[("Host", "x")]))
        self._body = bytearray()
        self._headers: dict[str, str] = {}
        self._ended = asyncio.get_running_loop().create_future()
        self._drained: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not isinstance: uvloop's transports do not inherit asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)

    def write(self, data: bytes | memoryview) -> None:
        assert self._transport is not None  # connected before
        try:
            self._transport.write(data)
        except RuntimeError:  # uvloop raises it for a closed connection
            self._fail("closed")
            self.check()

    def send(self, chunk: bytes | memoryview) -> None:
        self.check()
        self.write(chunk)
        self.sent_bytes += len(chunk)

    def check(self) -> None:
        """Raise the error that ended the exchange, if there is one."""
        if self._ended.done():
            self._ended.result()

    async def is_wanted(self) -> bool:
        """Wait for 100 Continue or a final answer; return False if none comes in time."""
        try:
            async with asyncio.timeout(min(EXPECT_TIMEOUT_S, self._idle_s() / 4)):
                await self._reply_or_end.wait()
        except TimeoutError:
            return False
        if not self.answered:
            self.check()
        return True

    async def drained(self) -> None:
        """Wait until the socket's buffer is below the high-water mark."""
        if self._drained is not None:
            await self._while_it_moves(self._drained)
        self.check()

    async def _while_it_moves(self, end: "asyncio.Future[Any]") -> None:
        """Wait for `end` as long as bytes move in either direction."""
        while not end.done():
            before = self._moved()
            await asyncio.wait((end,), timeout=self._idle_s())
            if not end.done() and self._moved() == before:
                self._fail("the store stands still")
                return

    def _moved(self) -> tuple[int, int]:
        assert self._transport is not None  # connected before
        return self._received_bytes, self._transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def data_received(self, data: bytes) -> None:
        self._received_bytes += len(data)
        self._reply_or_end.set()
        try:
            self._answer.receive_data(data)
            self._read()
        except h11.RemoteProtocolError:
            self._fail("not HTTP")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        with contextlib.suppress(h11.RemoteProtocolError):
            for data in (*self._unread(), b""):
                self._answer.receive_data(data)
                self._read()
        if self.answered and self.status >= 300:
            self._finish()
        self._fail(type(exc).__name__ if exc else "closed without an answer")

    def _unread(self) -> Iterator[bytes]:
        """Yield what the store had sent before it closed the connection.

        The write fails first, and the loop then stops reading, but the kernel still has the bytes. Under TLS they
        cannot be read.
        """
        transport = self._transport
        connection = transport.get_extra_info("socket") if transport is not None else None
        if transport is not None and connection is not None and transport.get_extra_info("ssl_object") is None:
            with contextlib.suppress(OSError, ValueError):
                yield os.read(connection.fileno(), UPSTREAM_ERROR_MAX_BYTES)

    def _read(self) -> None:
        while True:
            event = self._answer.next_event()
            if isinstance(event, h11.Response):
                self.answered, self.status = True, event.status_code
                self._headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
                self.resume_writing()
            elif isinstance(event, h11.Data):
                self._body += event.data[: UPSTREAM_ERROR_MAX_BYTES - len(self._body)]
            elif isinstance(event, h11.InformationalResponse):
                self._interim_answers += 1
                if self._interim_answers > INTERIM_ANSWERS_MAX:
                    self._fail("too many interim answers")
                    break
            else:
                break
            if len(self._body) >= UPSTREAM_ERROR_MAX_BYTES:
                break
        if self.answered and (isinstance(event, h11.EndOfMessage) or len(self._body) >= UPSTREAM_ERROR_MAX_BYTES):
            self._finish()

    def _finish(self) -> None:
        if not self._ended.done():
            self._reply_or_end.set()
            self._ended.set_result(Reply(self.status, self._headers, bytes(self._body), self.sent_bytes))

    def _fail(self, reason: str) -> None:
        if not self._ended.done():
            self._reply_or_end.set()
            self._ended.set_exception(StreamingPutError(reason, self.sent_bytes))
            # A writer finds the error at its next chunk. This marks it as retrieved if nothing awaits it.
            self._ended.exception()
            self.resume_writing()

    async def reply(self) -> Reply:
        await self._while_it_moves(self._ended)
        reply: Reply = await self._ended
        return reply

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
