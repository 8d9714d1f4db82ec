"""The Next.js example: it builds, a user signs in, uploads, sees the picture, and deletes it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from standardwebhooks import Webhook

from image_upload.app import create_app
from image_upload.settings import load
from local.ports import claim_port, free_ports
from local.processes import await_ready, get, running
from local.service import local_environ
from local.service import running as run_service
from tests.browser.storage import Storage
from tests.client.conftest import Open, stored_on
from tests.npm import installed, tool

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/nextjs"
JWT_SECRET = "a-secret-of-more-than-thirty-two-bytes"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

in_a_browser = pytest.mark.needs("chromium", "node", "seaweedfs")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built by `next build` in a process whose proxy leads nowhere."""
    modules = installed(EXAMPLE, "nextjs", beside=ROOT / "client")
    folder = tmp_path_factory.mktemp("nextjs") / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", ".next", ".env.local"))
    # No links to folders: the bundler follows none out of its root.
    shutil.copytree(modules, folder / "node_modules", symlinks=True, copy_function=_linked)
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    build = [tool("node", "npx"), "next", "build"]
    done = subprocess.run(
        build, cwd=folder, env=_environ() | nowhere, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another file system
        shutil.copy2(source, target)


def _environ(**environ: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "NEXT_TELEMETRY_DISABLED": "1", **environ}


class Site(NamedTuple):
    """The example, as a user meets it, and what it has logged."""

    url: str
    log: Path


@pytest.fixture(scope="module")
def site(built: Path) -> Iterator[tuple[Site, Storage]]:
    """The example beside a service that knows its secrets, and the bucket of both."""
    port, service_port = free_ports(2)
    url = f"http://127.0.0.1:{port}"
    log = built / "next.log"
    with stored_on("seaweedfs", url) as storage:
        given = {
            "AUTH_REQUIRED": "true",
            "CORS_ALLOW_ORIGINS": url,
            "JWT_SECRET": JWT_SECRET,
            "VERIFY": "publish",
            "WEBHOOK_SECRET": WEBHOOK_SECRET,
            "WEBHOOK_URL": f"{url}/hooks/uploads",
        }
        settings = load(local_environ({}, storage.environ) | given)
        environ = _environ(
            UPLOAD_SERVICE_URL=f"http://127.0.0.1:{service_port}",
            UPLOAD_JWT_SECRET=JWT_SECRET,
            UPLOAD_WEBHOOK_SECRET=WEBHOOK_SECRET,
            SESSION_SECRET="a-session-secret-of-more-than-32-bytes",
        )
        start = [tool("node", "npx"), "next", "start", "--hostname", "127.0.0.1", "--port", str(port)]
        with (
            run_service(create_app(settings), claim_port("127.0.0.1", service_port, "PORT")),
            contextlib.chdir(built),
            running(start, environ, log) as process,
        ):
            await_ready(lambda: bool(get(port, "/")), [process], built)
            yield Site(url, log), storage


SIGN_IN = "document.querySelector('[name=name]').value = 'mina'; document.querySelector('form').requestSubmit()"


@in_a_browser
@pytest.mark.full
def test_a_user_signs_in_uploads_sees_the_picture_and_deletes_it(
    site: tuple[Site, Storage], open_tab: Open, tmp_path: Path
) -> None:
    example, storage = site
    tab = open_tab(init="", url=example.url)
    tab.run(SIGN_IN)
    tab.until("document.querySelector('input[type=file]')")
    picture = tmp_path / "바다.jpg"
    shutil.copy(ROOT / "examples/photo.jpg", picture)
    tab.choose(picture)
    tab.until("document.querySelector('.gallery img')?.naturalWidth")
    assert "1 file stored." in tab.run("return document.querySelector('[role=status]').textContent")
    assert tab.run("return document.querySelector('.gallery a').textContent") == "바다.jpg"
    (key,) = storage.keys("uploads/")
    tab.until("document.querySelector('.gallery small')?.textContent === 'confirmed by webhook'")
    assert f"stored {key}, " in example.log.read_text(encoding="utf-8")
    assert "with a receipt" in example.log.read_text(encoding="utf-8")
    tab.run("document.querySelector('.gallery button').click()")
    tab.until("!document.querySelector('.gallery li')")
    assert storage.keys("uploads/") == []


@in_a_browser
@pytest.mark.full
def test_an_event_that_the_service_did_not_sign_is_refused(site: tuple[Site, Storage], web: httpx.Client) -> None:
    example, _ = site
    body = '{"id":"1","type":"upload.stored","data":{"key":"uploads/forged.jpg","size":1,"type":"image/jpeg"}}'
    now = datetime.now(UTC)
    for secret in (WEBHOOK_SECRET, "whsec_b3RoZXItc2VjcmV0LW9mLTI0LWJ5dGVzIQ=="):
        signature = Webhook(secret).sign("1", now, body)
        headers = {"webhook-id": "1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
        answer = web.post(f"{example.url}/hooks/uploads", content=body, headers=headers)
        assert answer.status_code == (204 if secret == WEBHOOK_SECRET else 400), answer.text


def test_readme_shows_the_component_of_the_example() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    component = (EXAMPLE / "app/uploader.tsx").read_text(encoding="utf-8")
    assert f"```tsx\n{component}```" in readme
