"""A store that discards everything: `python -m bench.sink PORT` takes PUTs and POSTs, and counts their bytes.

It answers GET with the counts. Only what a client of S3 sends is understood: a Content-Length, no chunks.
"""

import asyncio
import json
import sys
from typing import cast

import uvloop

BUFFER_BYTES = 1024 * 1024


class Sink(asyncio.BufferedProtocol):
    """One connection. All connections read into one buffer, and only heads are parsed."""

    puts = 0
    received = 0
    buffer = bytearray(BUFFER_BYTES)

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._close = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport for the answers."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, _: int) -> bytearray:
        """Return the shared buffer."""
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Count the bytes of a body; collect all others for a head."""
        if self._left:
            self._take(nbytes)
            return
        self._head += self.buffer[:nbytes]
        head, mark, body = self._head.partition(b"\r\n\r\n")
        if mark:
            self._head = b""
            self._begin(head, len(body))

    def _begin(self, head: bytes, there: int) -> None:
        request, *lines = head.lower().split(b"\r\n")
        fields = {name: value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        self._close = fields.get(b"connection") == b"close"
        if not request.startswith((b"put ", b"post ")):
            counts = json.dumps({"puts": Sink.puts, "bytes": Sink.received}).encode()
            self._answer(b"" if request.startswith(b"head ") else counts)
            return
        self._left = int(fields[b"content-length"])
        if b"expect" in fields:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._take(there)

    def _take(self, count: int) -> None:
        self._left -= count
        Sink.received += count
        if self._left == 0:
            Sink.puts += 1
            self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self._transport.write(b'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: %d\r\n\r\n%b' % (len(body), body))
        if self._close:
            self._transport.close()


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
