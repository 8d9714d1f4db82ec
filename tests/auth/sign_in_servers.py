"""A provider on loopback that speaks OpenID Connect like Google and OAuth like GitHub, and can be made to lie.

It refuses what a real one refuses: another redirect URI, a code twice, a wrong verifier or client secret.
"""

import base64
import contextlib
import hashlib
import html
import json
import secrets
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from tests.auth import provider as keys
from tests.in_thread import answering

CLIENT = "our+client:1"
CLIENT_SECRET = "our-client-secret+%&"

Answer = tuple[int, dict[str, str], bytes]


def as_json(value: object, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


def to(url: str, **query: str) -> Answer:
    return 302, {"Location": f"{url}?{urlencode(query)}"}, b""


class SignInServer:
    """What it says of its user, and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.redirect_bases: list[str] = []
        self.person: dict[str, Any] = {"sub": "p-1", "email": "Ann@Example.com", "email_verified": True, "name": "Ann"}
        self.github_id = 7
        self.emails: Any = [{"email": "ann@example.com", "primary": True, "verified": True, "visibility": None}]
        # What it lies about: claims of the ID token, the token itself, members of discovery, whole answers by path.
        self.claims: dict[str, Any] = {}
        self.id_token: Callable[[dict[str, Any]], str] = lambda claims: keys._sealed(
            claims, keys.private_key("one", "RS256"), "RS256", {"kid": "one"}
        )
        self.discovery: dict[str, Any] = {}
        self.answers: dict[str, Callable[[], Answer]] = {}
        self.declines: str | None = None
        self.asks_first = False
        self.told: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._tokens: set[str] = set()

    def answer(self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: str) -> Answer:
        self.told.append(f"{method} {path}")
        if path in self.answers:
            return self.answers[path]()
        if path == "/.well-known/openid-configuration":
            return as_json(self._described())
        if path == "/jwks":
            return as_json({"keys": [keys.entry("one", "RS256")]})
        if path in ("/authorize", "/login/oauth/authorize"):
            return self._authorize(path, query)
        if path in ("/token", "/login/oauth/access_token"):
            return self._token(path, dict(parse_qs_one(body)), headers.get("authorization", ""))
        if headers.get("authorization", "").removeprefix("Bearer ") not in self._tokens:
            return as_json({"message": "Bad credentials"}, 401)
        if path == "/userinfo":
            return as_json(self.person)
        if path == "/api/user":
            return as_json({"id": self.github_id, "login": "ann", "name": None, "email": "not-mine@example.com"})
        if path == "/api/user/emails":
            return as_json(self.emails)
        return as_json({"message": "Not Found"}, 404)

    def _described(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "authorization_response_iss_parameter_supported": True,
            **self.discovery,
        }

    def _authorize(self, path: str, query: dict[str, str]) -> Answer:
        name = "google" if path == "/authorize" else "github"
        registered = [f"{base}/auth/oauth/{name}/callback" for base in self.redirect_bases]
        wanted = query["response_type"], query["client_id"], query["code_challenge_method"]
        if wanted != ("code", CLIENT, "S256") or query["redirect_uri"] not in registered or len(query["state"]) < 43:
            return as_json({"error": "invalid_request", **query}, 400)
        scope = "openid email profile" if name == "google" else "user:email"
        if query["scope"] != scope or (name == "google" and len(query["nonce"]) < 43):
            return as_json({"error": "invalid_scope", **query}, 400)
        if self.asks_first and "agreed" not in query:
            fields = "".join(
                f'<input type="hidden" name="{field}" value="{html.escape(value)}">' for field, value in query.items()
            )
            page = f'<!doctype html><form>{fields}<button name="agreed" value="yes">Authorize</button></form>'
            return 200, {"Content-Type": "text/html"}, page.encode()
        own = {"iss": self.url} if name == "google" else {}
        if self.declines:
            return to(query["redirect_uri"], error=self.declines, state=query["state"], **own)
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        return to(query["redirect_uri"], code=code, state=query["state"], **own)

    def _token(self, path: str, form: dict[str, str], authorization: str) -> Answer:
        refusal = 400 if path == "/token" else 200  # GitHub says no with a 200
        given: tuple[str | None, ...] = form.get("client_id"), form.get("client_secret")
        if self.discovery.get("token_endpoint_auth_methods_supported") == ["client_secret_basic"]:
            # RFC 6749 section 2.3.1.
            text = base64.b64decode(authorization.removeprefix("Basic ")).decode()
            given = tuple(unquote_plus(part) for part in text.split(":"))
        if given != (CLIENT, CLIENT_SECRET):
            return as_json({"error": "invalid_client"}, 401 if path == "/token" else 200)
        asked = self._codes.pop(form["code"], None)
        verifier = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode()
        if asked is None or asked["redirect_uri"] != form["redirect_uri"]:
            return as_json({"error": "invalid_grant", "error_description": form["code"]}, refusal)
        if asked["code_challenge"] != verifier.rstrip("="):
            return as_json({"error": "invalid_grant"}, refusal)
        token = f"provider-token-{secrets.token_urlsafe(16)}"
        self._tokens.add(token)
        answer = {"access_token": token, "token_type": "bearer", "scope": asked["scope"]}
        if path == "/token":
            now = int(time.time())
            claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
            claims |= self.person | self.claims
            answer["id_token"] = self.id_token({name: value for name, value in claims.items() if value is not None})
        return as_json(answer)


def parse_qs_one(text: str) -> Iterator[tuple[str, str]]:
    """Each parameter once; a repeated one is refused."""
    for name, values in parse_qs(text, keep_blank_values=True).items():
        assert len(values) == 1, f"{name} was sent {len(values)} times"
        yield name, values[0]


@contextlib.contextmanager
def signing_in() -> Iterator[SignInServer]:
    """The provider until the end of the block."""
    provider = SignInServer()
    # Made before there are requests: of several at once each would make another key.
    keys.private_key("one", "RS256")

    class Answers(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, said, content = provider.answer(
                self.command, parts.path, dict(parse_qs_one(parts.query)), headers, body
            )
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(content))} | said).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:  # the signature is the library's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    with answering(server):
        yield provider
