"""A browser without a screen: it keeps cookies and follows redirects until it is at the front end."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from image_upload.outbound.client import tls_context
from tests.auth.sign_in_servers import CLIENT, CLIENT_SECRET, SignInServer

FRONT_END = "http://localhost:5173/auth/callback"
SECRET = "a-secret-of-more-than-thirty-two-bytes"


def environ(provider: SignInServer, database_url: str, **more: str) -> dict[str, str]:
    """Settings of a service with sign-in, in both ways."""
    return {
        "JWT_SECRET": SECRET,
        "DATABASE_URL": database_url,
        "GOOGLE_ISSUER": provider.url,
        "GOOGLE_CLIENT_ID": CLIENT,
        "GOOGLE_CLIENT_SECRET": CLIENT_SECRET,
        "GITHUB_URL": provider.url,
        "GITHUB_API_URL": f"{provider.url}/api",
        "GITHUB_CLIENT_ID": CLIENT,
        "GITHUB_CLIENT_SECRET": CLIENT_SECRET,
        **more,
    }


def binding() -> tuple[str, str]:
    """A verifier, and its challenge."""
    verifier = secrets.token_urlsafe(32)
    return verifier, base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


# Those of all visitors of a test, to be closed after it.
CLIENTS: list[httpx.Client] = []


def _client() -> httpx.Client:
    CLIENTS.append(httpx.Client(timeout=30, trust_env=False, verify=tls_context(verify=True)))
    return CLIENTS[-1]


def close_clients() -> None:
    while CLIENTS:
        CLIENTS.pop().close()


@dataclass
class Visitor:
    """One person's browser, at one service."""

    service: str
    web: httpx.Client = field(default_factory=_client)

    def get(self, url: str) -> httpx.Response:
        return self.web.get(url)

    def leave(self, name: str = "google", **query: str) -> str:
        """Begin to sign in; where the provider sends the browser back to, with everything in it."""
        begun = self.web.get(f"{self.service}/auth/oauth/{name}", params=query)
        assert begun.status_code == 302, begun.text
        agreed = self.web.get(begun.headers["location"])
        assert agreed.status_code == 302, agreed.text
        location: str = agreed.headers["location"]
        assert location.startswith(f"{self.service}/auth/oauth/{name}/callback?"), location
        return location

    def come_back(self, location: str) -> dict[str, str]:
        """What the front end's page gets to see."""
        back = self.web.get(location)
        assert back.status_code == 302, back.text
        page, _, query = back.headers["location"].partition("?")
        assert page == FRONT_END
        return {name: values[0] for name, values in parse_qs(query).items()}

    def sign_in(self, name: str = "google", **query: str) -> dict[str, str]:
        return self.come_back(self.leave(name, **query))

    def post(self, path: str, **body: str) -> httpx.Response:
        return self.web.post(f"{self.service}{path}", json=body)

    def tokens(self, name: str = "google") -> dict[str, Any]:
        """The whole way, to the front end's tokens."""
        verifier, challenge = binding()
        said = self.sign_in(name, code_challenge=challenge)
        assert said.keys() == {"code"}, said
        answer = self.redeem(said["code"], verifier)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def redeem(self, code: str, verifier: str | None = None) -> httpx.Response:
        more = {} if verifier is None else {"code_verifier": verifier}
        return self.post("/auth/token", grant_type="authorization_code", code=code, **more)

    def renew(self, refresh_token: str) -> httpx.Response:
        return self.post("/auth/token", grant_type="refresh_token", refresh_token=refresh_token)

    def me(self, token: str) -> httpx.Response:
        return self.web.get(f"{self.service}/auth/me", headers={"Authorization": f"Bearer {token}"})


def with_query(location: str, **changed: str | None) -> str:
    """A URL with other parameters; one given as None is left out."""
    parts = urlsplit(location)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | changed
    kept = {name: value for name, value in query.items() if value is not None}
    return str(httpx.URL(location).copy_with(query=None).copy_merge_params(kept))
