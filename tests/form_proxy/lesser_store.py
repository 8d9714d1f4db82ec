"""A small store that does less than AWS, as Backblaze B2 and Cloudflare R2 do: no x-amz-checksum-*, no form POST.

It keeps objects in memory, checks `Content-MD5`, and notes what it was asked.
"""

import base64
import contextlib
import hashlib
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tests.in_thread import answering


class LesserStore:
    """The store's endpoint and what it holds: objects by path, and each request's method, path and header names."""

    def __init__(self, refuses_with: int) -> None:
        self.refuses_with = refuses_with
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.parts: dict[int, bytes] = {}
        self.asked: list[tuple[str, str, frozenset[str]]] = []
        self.endpoint_url = ""

    def headers_of(self, method: str) -> list[frozenset[str]]:
        """The header names of every request of a method."""
        return [names for each, _, names in self.asked if each == method]


class _Handler(BaseHTTPRequestHandler):
    store: LesserStore
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _error(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code></Error>".encode())

    def _dispatch(self) -> None:
        url = urlsplit(self.path)
        path, query = unquote(url.path), parse_qs(url.query, keep_blank_values=True)
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        self.store.asked.append((self.command, path, frozenset(name.lower() for name in self.headers)))
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        if any(name.lower().startswith(("x-amz-checksum", "x-amz-sdk-checksum")) for name in self.headers):
            self._error(self.store.refuses_with, "InvalidArgument" if self.store.refuses_with == 400 else
                        "NotImplemented")  # fmt: skip
        elif self.headers.get("content-md5", md5) != md5 or b"<Checksum" in body:
            self._error(400, "BadDigest")
        elif self.command == "POST" and "multipart/form-data" in self.headers.get("content-type", ""):
            self._error(405, "MethodNotAllowed")
        elif "uploads" in query:
            self._answer(200, b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>")
        elif "partNumber" in query:
            self.store.parts[int(query["partNumber"][0])] = body
            self._answer(200, ETag=f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')
        elif self.command == "POST":
            whole = b"".join(part for _, part in sorted(self.store.parts.items()))
            self.store.objects[path] = (whole, "application/octet-stream")
            self._answer(200, b"<CompleteMultipartUploadResult/>")
        elif self.command == "PUT":
            self.store.objects[path] = (body, self.headers.get("content-type", ""))
            self._answer(200, ETag='"e"')
        elif self.command == "DELETE":
            self.store.objects.pop(path, None)
            self._answer(204)
        elif path in self.store.objects:
            content, content_type = self.store.objects[path]
            self._answer(200, content, ETag='"e"', Content_Type=content_type, Last_Modified=formatdate(usegmt=True))
        else:
            self._error(404, "NoSuchKey")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _dispatch  # the library's names


@contextlib.contextmanager
def lesser_store(refuses_with: int = 400) -> Iterator[LesserStore]:
    """The store on a free port of loopback; `refuses_with` is its status for an x-amz-checksum header."""
    store = LesserStore(refuses_with)
    handler = type("Handler", (_Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    store.endpoint_url = f"http://127.0.0.1:{server.server_port}"
    with answering(server):
        yield store
