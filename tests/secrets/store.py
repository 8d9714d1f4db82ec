"""Parameter Store and Secrets Manager on loopback, as far as the service asks them, and as hostile as a test wants."""

import contextlib
import json
import ssl
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.in_thread import answering

PATH = "/upload/"
SSM = "AmazonSSM.GetParametersByPath"
# What only this module says: no test may find it in a log line or a message.
NEVER_SHOWN = "n3ver-shown-"
ENVIRON = {
    "ENVIRONMENT": "test",
    "AWS_LAMBDA_FUNCTION_NAME": "f",
    "AWS_REGION": "eu-north-1",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": f"{NEVER_SHOWN}key",
    "AWS_SESSION_TOKEN": f"{NEVER_SHOWN}token",
    "S3_BUCKET_NAME": "photos",
}

Answer = Callable[["Handler"], None]


class SecretStore:
    """What it holds, what it was asked, and what it does in place of answering."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers_after_s = 0.0
        self.secrets: dict[str, str] = {}
        self.page_size = 10
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.script: list[Answer] = []
        """For the next requests, one each; behind them it answers as AWS does."""

    def environ(self, reference: str = f"ssm:{PATH}", **more: str) -> dict[str, str]:
        """The environment of a function that is led here."""
        return {
            **ENVIRON,
            "SECRETS_FROM": reference,
            "AWS_ENDPOINT_URL_SSM": self.url,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.url,
            **more,
        }

    def answer(self, target: str, asked: dict[str, Any]) -> dict[str, Any]:
        """As the API documents it."""
        if target != SSM:
            return {"Name": asked["SecretId"], "SecretString": json.dumps(self.secrets)}
        begin = int(asked.get("NextToken", "0"))
        names = sorted(self.secrets)
        page = names[begin : begin + self.page_size]
        more = {"NextToken": str(begin + self.page_size)} if begin + self.page_size < len(names) else {}
        path = asked["Path"]
        listed = [{"Name": path + name, "Type": "SecureString", "Value": self.secrets[name]} for name in page]
        return {"Parameters": listed, **more}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def do_POST(self) -> None:  # http.server's own name
        store = self.server.store
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        store.asked.append(asked)
        store.headers.append(dict(self.headers))
        time.sleep(store.answers_after_s)  # a store that is slow
        if store.script:
            store.script.pop(0)(self)
        else:
            self.say(200, json.dumps(store.answer(self.headers["X-Amz-Target"], asked)).encode())

    def say(self, status: int, body: bytes, **headers: str) -> None:
        """A whole answer."""
        self.send_response(status)
        for name, value in {"Content-Type": "application/x-amz-json-1.1", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    store: SecretStore
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """The service hangs up where the test wants it to."""


@contextlib.contextmanager
def secret_store(certificate: Path | None = None, key: Path | None = None) -> Iterator[SecretStore]:
    """Run it on a free port of loopback; with a certificate for localhost over TLS."""
    server = _Server(("127.0.0.1", 0), Handler)
    scheme, host = "http", "127.0.0.1"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        scheme, host = "https", "localhost"
    server.store = store = SecretStore(f"{scheme}://{host}:{server.server_port}")
    with answering(server):
        yield store


def refuse(code: str, message: str = "", status: int = 400) -> Answer:
    """An error document."""
    document = json.dumps({"__type": code, "message": message}).encode()
    return lambda handler: handler.say(status, document)


def answer(body: bytes, status: int = 200, **headers: str) -> Answer:
    """These bytes."""
    return lambda handler: handler.say(status, body, **headers)


def hang_up(handler: Handler) -> None:
    """Close without an answer."""
    handler.close_connection = True
    handler.connection.close()


def drip(handler: Handler) -> None:
    """A byte of a head now and then, for as long as the connection is read."""
    with contextlib.suppress(OSError):
        handler.connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(600):
            handler.connection.sendall(b"x")
            time.sleep(0.05)  # a byte at a time
    handler.close_connection = True


def stall(handler: Handler) -> None:
    """Say nothing until the service hangs up."""
    with contextlib.suppress(OSError):
        handler.connection.recv(1)
    handler.close_connection = True
