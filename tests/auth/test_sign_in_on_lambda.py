"""Signing in through `upload.handler`, and what is different in production."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from image_upload.settings import Settings, SettingsError, load
from tests.auth.sign_in_servers import SignInServer, signing_in
from tests.auth.visiting import FRONT_END, SECRET, environ
from tests.database.databases import Place, empty, migrated

# It goes again where test_sign_in goes, through the handler.
pytestmark = pytest.mark.full

ROOT = Path(__file__).parents[2]
BASE = {"S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
PRODUCTION = {
    **BASE,
    "ENVIRONMENT": "production",
    "JWT_SECRET": SECRET,
    "DATABASE_URL": "postgresql://me:open-sesame@127.0.0.1:9/nobody",
    "GITHUB_CLIENT_ID": "our-client",
    "GITHUB_CLIENT_SECRET": "our-client-secret",
    "SESSION_SECRET": "another-secret-of-more-than-32-bytes",
    "OAUTH_REDIRECT_BASE_URL": "https://uploads.example.com",
    "FRONTEND_CALLBACK_URL": "https://app.example.com/auth/callback",
}

_PROGRAM = """
import json, sys, upload
class Context:
    aws_request_id = "r-1"
    def get_remaining_time_in_millis(self): return 30_000
for line in sys.stdin:
    print(json.dumps(upload.handler(json.loads(line), Context())), flush=True)
print(json.dumps([name for name in sys.modules if name.partition(".")[0] in ("authlib", "sqlalchemy", "httpx")]))
"""


class Function:
    """`upload.handler` in a process of its own, called with what a Function URL sends."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            env={"PATH": "", "AWS_LAMBDA_FUNCTION_NAME": "f", **environ},
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.cookies: dict[str, str] = {}

    def call(self, method: str, path: str, query: str = "", body: str = "", **headers: str) -> dict[str, Any]:
        event = {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {"host": "evil.example", "x-forwarded-proto": "https", **headers},
            "cookies": [f"{name}={value}" for name, value in self.cookies.items()],
            "requestContext": {"http": {"method": method, "path": path, "sourceIp": "192.0.2.7"}},
            "body": body,
            "isBase64Encoded": False,
        }
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(event) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.end()
        answer: dict[str, Any] = json.loads(line)
        for cookie in answer.get("cookies", ()):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
            if "Max-Age=0" in cookie:
                del self.cookies[name]
        return answer

    def end(self) -> tuple[str, str]:
        """What it printed last, and its log."""
        out, err = self.process.communicate(timeout=60)
        return out, err


@pytest.fixture
def provider() -> Iterator[SignInServer]:
    with signing_in() as running:
        yield running


@pytest.fixture
def sqlite(tmp_path: Path) -> Place:
    return migrated(empty("sqlite", lambda: pytest.fail("no server is needed"), tmp_path))


@pytest.mark.parametrize("name", ["google", pytest.param("github", marks=pytest.mark.full)])
def test_the_whole_way_goes_through_the_handler(provider: SignInServer, sqlite: Place, name: str) -> None:
    here = "http://127.0.0.1:1"
    provider.redirect_bases.append(here)
    given = {**BASE, "ENVIRONMENT": "test", **environ(provider, sqlite.url, OAUTH_REDIRECT_BASE_URL=here)}
    function = Function(given)
    begun = function.call("GET", f"/auth/oauth/{name}")
    assert begun["statusCode"] == 302, begun
    assert "set-cookie" not in begun["headers"], "Lambda sends cookies only from `cookies`"
    agreed = httpx.get(begun["headers"]["location"], trust_env=False).headers["location"]
    assert agreed.startswith(f"{here}/auth/oauth/{name}/callback?")
    back = function.call("GET", f"/auth/oauth/{name}/callback", agreed.partition("?")[2])
    assert function.cookies == {}
    page, _, said = back["headers"]["location"].partition("?")
    assert (back["statusCode"], page) == (302, FRONT_END)
    code = parse_qs(said)["code"][0]
    body = json.dumps({"grant_type": "authorization_code", "code": code})
    answer = function.call("POST", "/auth/token", body=body, **{"content-type": "application/json"})
    tokens = json.loads(answer["body"])
    assert answer["headers"]["cache-control"] == "no-store"
    me = function.call("GET", "/auth/me", authorization=f"Bearer {tokens['access_token']}")
    assert json.loads(me["body"]) == tokens["user"]
    _, log = function.end()
    query = parse_qs(urlsplit(agreed).query)
    for secret in (query["code"][0], query["state"][0], code, tokens["access_token"], tokens["refresh_token"]):
        assert secret not in log
    assert '"message":"signed in"' in log


def test_in_production_the_cookie_is_for_this_host_and_https_and_the_settings_say_where_to_go() -> None:
    function = Function(PRODUCTION)
    begun = function.call("GET", "/auth/oauth/github", **{"x-forwarded-host": "evil.example"})
    location = httpx.URL(begun["headers"]["location"])
    assert (location.host, location.params["code_challenge_method"]) == ("github.com", "S256")
    assert location.params["redirect_uri"] == "https://uploads.example.com/auth/oauth/github/callback"
    (cookie,) = begun["cookies"]
    name, *attributes = cookie.split("; ")
    assert name.startswith("__Host-sign-in=")
    assert set(attributes) == {"HttpOnly", "Max-Age=600", "Path=/", "SameSite=lax", "Secure"}
    back = function.call("GET", "/auth/oauth/github/callback", "code=x&state=y")
    assert back["headers"]["location"] == "https://app.example.com/auth/callback?error=sign-in-expired"
    function.end()


def test_in_production_there_is_no_token_for_tests() -> None:
    function = Function(PRODUCTION)
    answers = [function.call("POST", path, "email=a@example.com") for path in ("/auth/oauth/test-token", "/auth/xyz")]
    assert [answer["statusCode"] for answer in answers] == [404, 404]
    documents = [json.loads(answer["body"]) for answer in answers]
    assert documents[0] == documents[1]
    assert documents[0]["code"] == "not-found"
    page = json.loads(function.call("GET", "/openapi.json")["body"])
    assert "/auth/token" in page["paths"]
    assert "/auth/oauth/test-token" not in page["paths"]
    function.end()


def test_other_routes_import_nothing_of_signing_in() -> None:
    function = Function(PRODUCTION)
    assert function.call("GET", "/errors")["statusCode"] == 200
    assert function.call("GET", "/images/x")["statusCode"] == 401
    loaded, _ = function.end()
    assert json.loads(loaded) == []


# --- settings -------------------------------------------------------------------------------------


def test_a_production_that_lacks_what_signing_in_needs_does_not_start() -> None:
    needed = ("SESSION_SECRET", "OAUTH_REDIRECT_BASE_URL", "FRONTEND_CALLBACK_URL", "JWT_SECRET")
    given = {name: value for name, value in PRODUCTION.items() if name not in needed}
    with pytest.raises(SettingsError) as refused:
        load(given)
    said = str(refused.value)
    assert "4 settings are" in said
    assert all(f"{name}: missing" in said for name in needed)
    without = {name: value for name, value in given.items() if not name.startswith("GITHUB_")}
    settings = load(without | {"JWT_SECRET": SECRET})
    assert settings.sign_in.session_secret is None, "a service without sign-in needs none of them"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SESSION_SECRET", "short"),
        ("GITHUB_CLIENT_SECRET", ""),
        ("GITHUB_CLIENT_ID", ""),
        ("GOOGLE_CLIENT_SECRET", "without an id"),
        ("OAUTH_REDIRECT_BASE_URL", "http://uploads.example.com"),
        ("OAUTH_REDIRECT_BASE_URL", "https://uploads.example.com?x=y"),
        ("OAUTH_REDIRECT_BASE_URL", "uploads.example.com"),
        ("FRONTEND_CALLBACK_URL", "http://localhost:5173/auth/callback"),
        ("FRONTEND_CALLBACK_URL", "javascript:alert(1)"),
        ("FRONTEND_CALLBACK_URL", "https://app.example.com/#/callback"),
        ("FRONTEND_CALLBACK_URL", "https://me@app.example.com/"),
        ("GOOGLE_ISSUER", "http://127.0.0.1:3000"),
        ("GITHUB_URL", "http://127.0.0.1:3000"),
        ("GITHUB_API_URL", "ftp://api.github.com"),
        ("ACCESS_TOKEN_MINUTES", "0"),
        ("ACCESS_TOKEN_MINUTES", "1441"),
        ("REFRESH_TOKEN_DAYS", "366"),
        ("JWT_EXPIRE_MINUTES", "-1"),
    ],
)
def test_what_would_weaken_signing_in_stops_the_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name.replace("CLIENT_ID", "CLIENT_SECRET")) as refused:
        load(PRODUCTION | {name: value})
    assert "our-client-secret" not in str(refused.value)


def test_outside_production_plain_http_is_for_this_machine_only() -> None:
    given = {**BASE, "ENVIRONMENT": "development"}
    settings: Settings = load(given | {"GOOGLE_ISSUER": "http://localhost:3000"})
    assert settings.sign_in.frontend_callback_url == FRONT_END
    for name in ("GOOGLE_ISSUER", "GITHUB_URL", "GITHUB_API_URL", "OAUTH_REDIRECT_BASE_URL", "FRONTEND_CALLBACK_URL"):
        with pytest.raises(SettingsError, match=name):
            load(given | {name: "http://internal.example"})
