"""People sign in with a real browser at a real provider, and store a picture that is theirs.

The front end's code is that of docs/sign-in.md. In Google's place stands oidc-provider, in GitHub's a server that
answers as GitHub documents it.
"""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from image_upload.app import create_app
from image_upload.database.migration import migrate
from image_upload.settings import load
from local.ports import claim_port
from local.service import local_environ, running
from tests.auth.sign_in_servers import CLIENT, CLIENT_SECRET, SignInServer, signing_in
from tests.browser.conftest import SECRET, driven
from tests.browser.driving import Browser
from tests.browser.storage import Storage
from tests.database.databases import Place, empty, settings_with
from tests.npm import tool

pytestmark = pytest.mark.needs("chromium", "node", "localstack")

SignIn = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def signing_browser(chromium: str, workshop: Path) -> Iterator[Browser]:
    with driven("sign-in.mjs", chromium, workshop) as browser:
        yield browser


@contextlib.contextmanager
def openid_provider(workshop: Path, redirect_uri: str) -> Iterator[str]:
    """oidc-provider with one client; its issuer."""
    with (
        (workshop / "provider.log").open("a", encoding="utf-8") as stderr,
        subprocess.Popen(
            [tool("node", "node"), "provider.mjs", redirect_uri],
            cwd=workshop,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout
        issuer = process.stdout.readline().strip()
        assert issuer, (workshop / "provider.log").read_text(encoding="utf-8")[-2000:]
        yield issuer
        process.communicate(timeout=10)


@dataclass(frozen=True)
class Stage:
    """A service with both ways in, what stands behind it, and its front end."""

    browser: Browser
    service: str
    origin: str
    github: SignInServer
    place: Place

    def sign_in(self, provider: str, login: str = "ann", **spec: Any) -> dict[str, Any]:
        """A user's browser, from the click to the end of the session."""
        outcome = self.browser.run(
            {
                "page": f"{self.origin}/sign-in.html#service={self.service}",
                "callback": f"{self.origin}/callback.html",
                "provider": provider,
                "login": login,
                **spec,
            }
        )
        assert outcome["crashes"] == []
        return outcome


@pytest.fixture
def stage(signing_browser: Browser, workshop: Path, origin: str, storage: Storage, tmp_path: Path) -> Iterator[Stage]:
    place = empty("sqlite", lambda: pytest.fail("no server is needed"), tmp_path)
    migrate(settings_with(place.url))
    listening = claim_port("127.0.0.1", 0, "PORT")
    service = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with (
        openid_provider(workshop, f"{service}/auth/oauth/google/callback") as issuer,
        signing_in() as github,
    ):
        github.redirect_bases.append(service)
        github.asks_first = True
        environ = {
            "AUTH_REQUIRED": "true",
            "JWT_SECRET": SECRET,
            "CORS_ALLOW_ORIGINS": origin,
            "FRONTEND_CALLBACK_URL": f"{origin}/callback.html",
            "DATABASE_URL": place.url,
            "GOOGLE_ISSUER": issuer,
            "GOOGLE_CLIENT_ID": "browser-tests",
            "GOOGLE_CLIENT_SECRET": "a+secret%with&signs",
            "GITHUB_URL": github.url,
            "GITHUB_API_URL": f"{github.url}/api",
            "GITHUB_CLIENT_ID": CLIENT,
            "GITHUB_CLIENT_SECRET": CLIENT_SECRET,
        }
        with running(create_app(load(local_environ({}, storage.environ) | environ)), listening) as url:
            yield Stage(signing_browser, url, origin, github, place)


@pytest.mark.parametrize("provider", ["google", "github"])
def test_from_the_click_to_a_picture_that_is_theirs(stage: Stage, storage: Storage, jpeg: bytes, provider: str) -> None:
    found = stage.sign_in(provider, picture=list(jpeg))
    assert "error" not in found, found
    user = found["user"]
    assert (found["me"], user["email"]) == (user, "ann@example.com")
    assert found["key"].startswith(f"profiles/{user['user_id']}/")
    assert (found["stored"], found["read"]) == (200, 200)
    assert storage.client.get_object(Bucket="uppy-uploads", Key=found["key"])["Body"].read() == jpeg
    assert found["after"] == "grant-refused", "who has signed out cannot go on"
    assert stage.place.sql("SELECT provider FROM oauth_accounts") == [(provider,)]
    # Nothing stays behind in the browser, and nothing that is worth something was ever in an address.
    assert found["left"] == f"{stage.origin}/callback.html"
    assert [cookie["name"] for cookie in found["cookies"] if cookie["name"] == "sign-in"] == []
    code = found["arrived"].partition("?code=")[2]
    assert code.startswith("upc1.")
    sent = [(request["url"], request["referrer"]) for request in found["requests"]]
    assert [pair for pair in sent for secret in found["secrets"] if secret in "".join(pair)] == []
    assert [referrer for _, referrer in sent if code in referrer] == []


def test_one_person_with_two_providers_is_one_user(stage: Stage, jpeg: bytes) -> None:
    at_both = [stage.sign_in(provider, picture=list(jpeg)) for provider in ("google", "github")]
    assert len({found["user"]["user_id"] for found in at_both}) == 1
    other = stage.sign_in("google", "bob", picture=list(jpeg))
    assert other["user"]["user_id"] != at_both[0]["user"]["user_id"]


def test_who_declines_is_back_at_the_front_end_with_a_code_to_explain(stage: Stage, jpeg: bytes) -> None:
    stage.github.declines = "access_denied"
    found = stage.sign_in("github", picture=list(jpeg))
    assert found["error"] == "sign-in-denied"
    assert found["arrived"] == f"{stage.origin}/callback.html?error=sign-in-denied"


def test_a_second_person_cannot_see_the_picture(stage: Stage, jpeg: bytes) -> None:
    key = stage.sign_in("google", "ann", picture=list(jpeg))["key"]
    assert stage.sign_in("google", "ann", read=key)["read"] == 200
    assert stage.sign_in("google", "bob", read=key)["read"] == 404
