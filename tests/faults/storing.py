"""Files into `POST /api/v1/s3/upload`, and a store that keeps none of them: for what many uploads cost at once."""

import threading
from urllib.parse import urlsplit

from tests.faults.hostile import Exchange, raw
from tests.faults.sending import Client, form

STORE = "/api/v1/s3/upload"
FILE = 'name="file"; filename="a.bin"'
FOLDER = ("name=folder", b"load")
MARK = b"<the file>"
BLOCK = bytes(range(256)) * 1024
# Shared cores: for all uploads together.
PATIENCE_S = 120.0


class Forgetful:
    """Takes files as S3 does, and keeps their lengths only."""

    def __init__(self) -> None:
        self._lengths: dict[str, int] = {}
        self._lock = threading.Lock()

    def act(self, exchange: Exchange) -> None:
        exchange.read_body()
        method, target, _ = exchange.line.split(" ")
        parts = urlsplit(target)
        if method == "PUT":
            with self._lock:
                self._lengths[parts.path] = self._lengths.get(parts.path, 0) + exchange.announced_bytes
            exchange.say(raw(200, 'ETag: "0"'))
        elif method == "HEAD":
            last_modified = "Last-Modified: Tue, 24 Nov 2026 19:00:00 GMT"
            length = f"Content-Length: {self._lengths.get(parts.path, 0)}"
            exchange.say(f"HTTP/1.1 200 OK\r\n{length}\r\n{last_modified}\r\nConnection: close\r\n\r\n".encode())
        elif method == "POST" and "uploadId" in parts.query:
            exchange.say(raw(200, body=b"<CompleteMultipartUploadResult/>"))
        elif method == "POST":
            answer = b"<InitiateMultipartUploadResult><UploadId>x</UploadId></InitiateMultipartUploadResult>"
            exchange.say(raw(200, body=answer))
        else:
            exchange.say(raw(204))


def upload(service: str, size_bytes: int, only_bytes: int | None = None) -> int | None:
    """Store a file; the status. With `only_bytes` the client goes away after so many: None."""
    whole, content_type = form([FOLDER, (FILE, MARK)])
    before, after = whole.split(MARK)
    with Client(service, timeout_s=PATIENCE_S) as client:
        client.begin(STORE, content_type, Content_Length=str(len(before) + size_bytes + len(after)))
        client.send(before)
        left = size_bytes if only_bytes is None else only_bytes
        while left:
            client.send(BLOCK[:left])
            left -= len(BLOCK[:left])
        if only_bytes is not None:
            return None
        client.send(after)
        return client.answer().status
