"""The minimal proxy in Python: it writes every message of a body to one socket, without parsing it.

`uvicorn bench.peers.forwarder:app`, with the sink's port in BENCH_SINK_PORT. It parses no form, so what it passes
on is the form itself; it checks nothing, and waits when the socket is full as every proxy has to.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]

if "BENCH_KEEP_MEMORY" in os.environ:
    # After this the C library keeps up to twice as much of what was freed, instead of fetching each buffer of
    # 256 KiB anew from the kernel, page by page: mallopt(3), "dynamic mmap threshold". It never becomes resident.
    bytes(16 * 1024 * 1024)

PORT = int(os.environ["BENCH_SINK_PORT"])


class _Socket(asyncio.Protocol):
    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[bytes] = loop.create_future()
        self.room = asyncio.Event()
        self.room.set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    def data_received(self, data: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc or ConnectionResetError())


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Forward the body of a request."""
    if scope["type"] != "http":
        return
    length = dict(scope["headers"]).get(b"content-length", b"0")
    _, out = await asyncio.get_running_loop().create_connection(_Socket, "127.0.0.1", PORT)
    try:
        out.transport.write(
            b"PUT /bucket/key HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: %b\r\n\r\n" % length
        )
        more = True
        while more:
            message = await receive()
            out.transport.write(message.get("body", b""))
            if not out.room.is_set():
                await out.room.wait()
            more = message.get("more_body", False)
        answer = await out.answer
    finally:
        out.transport.abort()
    status = int(answer.split(b" ", 2)[1])
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
