"""An identity provider on loopback: keys, tokens, and a JWKS URL that can fail in every way."""

import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from image_upload.settings import Settings, load
from tests.in_thread import answering

ISSUER = "https://provider.example/"
AUDIENCE = "uploads"
SECRET = "a-secret-of-more-than-thirty-two-bytes"


def private_key(kid: str, algorithm: str, bits: int = 2048) -> Any:
    """The private key of an id; the same for the same arguments, because RSA keys are slow to make."""
    return _made(kid, algorithm, bits)


@cache
def _made(kid: str, algorithm: str, bits: int) -> Any:
    del kid
    if algorithm.startswith(("RS", "PS")):
        return rsa.generate_private_key(65537, bits)
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    curves: dict[str, ec.EllipticCurve] = {
        "ES256": ec.SECP256R1(),
        "ES384": ec.SECP384R1(),
        "ES512": ec.SECP521R1(),
    }
    return ec.generate_private_key(curves[algorithm])


def entry(kid: str, algorithm: str, bits: int = 2048, **fields: Any) -> dict[str, Any]:
    """The public half as an entry of a key set; a field given as None is left out."""
    public = private_key(kid, algorithm, bits).public_key()
    jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
    whole = {**jwk, "key_ops": None, "kid": kid, "alg": algorithm, "use": "sig", **fields}
    return {name: value for name, value in whole.items() if value is not None}


def claims(**changed: Any) -> dict[str, Any]:
    """The claims of a good token; one given as None is left out."""
    now = int(time.time())
    whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "42", "iat": now, "exp": now + 60, **changed}
    return {name: value for name, value in whole.items() if value is not None}


def signed(
    kid: str | None = "one", algorithm: str = "RS256", header: dict[str, Any] | None = None, **changed: Any
) -> str:
    """A token of the provider, signed with the key of this id."""
    headers = {**({"kid": kid} if kid is not None else {}), **(header or {})}
    return _sealed(claims(**changed), private_key(kid or "one", algorithm), algorithm, headers)


def own(secret: str = SECRET, algorithm: str = "HS256", header: dict[str, Any] | None = None, **changed: Any) -> str:
    """A token under a secret."""
    return _sealed(claims(**changed), secret, algorithm, header)


def _sealed(said: dict[str, Any], key: Any, algorithm: str, header: dict[str, Any] | None) -> str:
    # Not jwt.encode: it checks what it signs, and a forger does not.
    return jwt.api_jws.encode(json.dumps(said).encode(), key, algorithm, header)


def encoded(value: object) -> str:
    """One segment of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Provider:
    """What the JWKS URL answers with, and how often it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked = 0
        self.keys: list[Any] = [entry("one", "RS256")]
        self.answer: Callable[[], tuple[int, dict[str, str], bytes]] = self.key_set
        self.may_answer = threading.Event()
        self.may_answer.set()

    def key_set(self) -> tuple[int, dict[str, str], bytes]:
        """A good answer."""
        return 200, {"Content-Type": "application/json"}, json.dumps({"keys": self.keys}).encode()

    def settings(self, **environ: str) -> Settings:
        """Settings of a service that accepts this provider's tokens."""
        given = {
            "ENVIRONMENT": "test",
            "S3_BUCKET_NAME": "bucket",
            "AWS_REGION": "eu-north-1",
            "JWT_JWKS_URL": self.url,
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": AUDIENCE,
        }
        return load(given | environ)


@contextlib.contextmanager
def providing() -> Iterator[Provider]:
    """A provider until the end of the block."""
    provider = Provider()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.asked += 1
            provider.may_answer.wait(30)
            status, headers, body = provider.answer()
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # the signature is the library's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    provider.url = f"http://127.0.0.1:{server.server_port}/.well-known/jwks.json"
    with answering(server):
        try:
            yield provider
        finally:
            provider.may_answer.set()
