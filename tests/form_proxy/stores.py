"""Small stores of our own: one that says what a script tells it, and a form for them."""

import contextlib
import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass
class Received:
    """One request as it came over the wire."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedStore:
    """Answers the n-th request with the n-th raw answer; None closes the connection without one."""

    endpoint_url: str
    requests: list[Received] = field(default_factory=list)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    head = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def _read(connection: socket.socket) -> Received | None:
    with connection.makefile("rb") as stream:
        line = stream.readline().decode().strip()
        if not line:
            return None
        headers = {}
        while header := stream.readline().decode().strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        return Received(line, headers, stream.read(int(headers.get("content-length", "0"))))


@contextlib.contextmanager
def scripted_store(answers: Sequence[bytes | None]) -> Iterator[ScriptedStore]:
    """A store on a free port of loopback. Requests beyond the script are not answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        store = ScriptedStore(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def serve() -> None:
            for reply in answers:
                try:
                    connection, _ = listener.accept()
                except OSError:  # the test is over
                    return
                with connection:
                    received = _read(connection)
                    if received is not None:
                        store.requests.append(received)
                    if reply is not None:
                        connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield store
        finally:
            # close() alone does not wake a thread that waits in accept()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def form(*parts: tuple[str, bytes], boundary: str | None = None) -> tuple[bytes, dict[str, str]]:
    """A form of (Content-Disposition parameters and further headers, content) and its headers."""
    boundary = boundary or secrets.token_hex(8)
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
        for head, content in parts
    )
    return body + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}
