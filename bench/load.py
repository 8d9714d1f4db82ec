"""The load generator for machines without wrk: `python -m bench.load URL CONNECTIONS SECONDS [JSON body]`.

Keep-alive connections, each with one request under way at a time. It writes requests, failures and seconds.
"""

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit


class Connection(asyncio.Protocol):
    """One connection. It sends the next request when the answer to the last one is complete."""

    def __init__(self, request: bytes, until: float) -> None:
        self._request, self._until = request, until
        self._buffer = b""
        self.done, self.failed = 0, 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Send the next request when the whole answer has arrived."""
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if len(body) < length:
            return
        self._buffer = b""
        if b" 200 " in lines[0]:
            self.done += 1
        else:
            self.failed += 1
        if time.perf_counter() < self._until:
            self._transport.write(self._request)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection: the server closed it, or the time is over."""
        self.failed += time.perf_counter() < self._until or exc is not None
        if not self.ended.done():
            self.ended.set_result(None)


async def load(url: str, connections: int, seconds: float, body: bytes | None) -> dict[str, float]:
    """Load one URL; return requests, failures and seconds."""
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    head = f"{'GET' if body is None else 'POST'} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    request = f"{head}\r\n".encode() + (body or b"")
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    opened = [
        (
            await loop.create_connection(
                lambda: Connection(request, started + seconds), parts.hostname or "", parts.port or 80
            )
        )[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.ended for connection in opened))
    return {
        "requests": sum(connection.done for connection in opened),
        "failures": sum(connection.failed for connection in opened),
        "seconds": time.perf_counter() - started,
    }


if __name__ == "__main__":
    _, address, how_many, how_long, *rest = sys.argv
    given = rest[0].encode() if rest else None
    print(json.dumps(asyncio.run(load(address, int(how_many), float(how_long), given))))
