"""The client in a real browser, in front of the service and Ceph, with a proxy before each."""

import contextlib
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import jwt
import pytest
from botocore.config import Config

from image_upload.settings import load
from local.service import local_environ
from tests.browser.storage import BUCKET, REGION, Storage
from tests.client.driving import Browser, Tab, options
from tests.client.proxy import Proxy, proxied
from tests.conftest import serving
from tests.contract.conftest import running
from tests.npm import NPM_SECONDS, chromium_program, installed, tool
from tests.pages import served

HERE = Path(__file__).resolve().parent
CLIENT = HERE.parent.parent / "client"
SECRET = "a-secret-of-more-than-thirty-two-bytes"
END_SECONDS = 10
# Waits of the client take no time: its pauses are random up to a limit.
AT_ONCE = "Math.random = () => 0;"


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages; in `dist` the client, and the page of each test."""
    folder = tmp_path_factory.mktemp("client")
    dist = folder / "dist"
    shutil.copytree(CLIENT, dist)
    for source in ("drive.mjs", "page-react.jsx"):
        shutil.copy(HERE / source, folder)
    for page in ("page.html", "page-react.html"):
        shutil.copy(HERE / page, dist)
    ten_lines, _, component, _ = documented()
    (dist / "documented.js").write_text(ten_lines.replace("https://uploads.example.com/client.js", "./upload.js"))
    (folder / "documented-react.jsx").write_text(component)
    (folder / "node_modules").symlink_to(installed(HERE, "client"))
    options = ["--bundle", "--jsx=automatic", "--outfile=dist/page-react.js"]
    options.append("--alias:image-upload-client/react=./dist/react.js")
    esbuild = folder / "node_modules" / ".bin" / "esbuild"
    subprocess.run([esbuild, "page-react.jsx", *options], cwd=folder, check=True, timeout=NPM_SECONDS)
    return folder


def documented() -> list[str]:
    """The code of docs/client.md."""
    text = (HERE.parent.parent / "docs" / "client.md").read_text(encoding="utf-8")
    return re.findall(r"^```jsx?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def origin(workshop: Path) -> Iterator[str]:
    """The origin of the pages."""
    with served(workshop / "dist") as url:
        yield url


@pytest.fixture(scope="session")
def browser(workshop: Path) -> Iterator[Browser]:
    """One Chromium for all tests."""
    chromium = chromium_program()
    errors = workshop / "drive.log"
    with (
        errors.open("w", encoding="utf-8") as stderr,
        subprocess.Popen(
            [tool("node", "node"), "drive.mjs"],
            cwd=workshop,
            env=os.environ | {"CHROMIUM": chromium},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
            # Ctrl-C is for us; the script ends when its stdin does, however we end.
            start_new_session=True,
        ) as process,
    ):
        yield Browser(process, errors)
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def cors_rule(origin: str, **fields: list[str]) -> dict[str, Any]:
    """A CORS rule of the bucket that lets pages of this origin send files."""
    methods = ["PUT", "POST", "GET", "HEAD", "DELETE"]
    return {"AllowedOrigins": [origin], "AllowedMethods": methods, "AllowedHeaders": ["*"], **fields}


@contextlib.contextmanager
def stored_on(server_name: str, origin: str) -> Iterator[Storage]:
    """A bucket that takes files of this origin's pages, on a strict server."""
    with running(server_name) as server:
        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint_url,
            region_name=REGION,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        with contextlib.closing(client):
            client.create_bucket(Bucket=BUCKET)
            storage = Storage(server_name, server, client)
            storage.allow([cors_rule(origin, ExposeHeaders=["ETag"])])
            yield storage


@pytest.fixture(scope="session")
def storage(origin: str) -> Iterator[Storage]:
    """The bucket."""
    with stored_on("ceph", origin) as storage:
        yield storage


@pytest.fixture(scope="session")
def s3_proxy(storage: Storage) -> Iterator[Proxy]:
    with proxied(storage.server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def service_proxy(storage: Storage, s3_proxy: Proxy, origin: str) -> Iterator[Proxy]:
    environ = {
        "AUTH_REQUIRED": "true",
        "JWT_SECRET": SECRET,
        "CORS_ALLOW_ORIGINS": origin,
        "S3_PUBLIC_ENDPOINT_URL": s3_proxy.url,
        "VERIFY": "publish",
    }
    settings = load(local_environ({}, storage.environ) | environ)
    with serving(settings) as url, proxied(url) as proxy:
        yield proxy


@pytest.fixture
def s3(s3_proxy: Proxy, storage: Storage) -> Iterator[Proxy]:
    """The proxy before S3, as new; afterwards no open upload is left to the next test."""
    s3_proxy.heal()
    yield s3_proxy
    s3_proxy.heal()
    storage.abort_all()


@pytest.fixture
def service(service_proxy: Proxy) -> Iterator[Proxy]:
    """The proxy before the service, as new."""
    service_proxy.heal()
    yield service_proxy
    service_proxy.heal()


Open = Callable[..., Tab]


@pytest.fixture
def open_tab(browser: Browser, origin: str) -> Iterator[Open]:
    """Open tabs of one profile: `init` is run before the page. No test leaves an error on a page."""
    browser.send("begin")
    names = iter("abcdefgh")

    def open_one(init: str = AT_ONCE, page: str = "page.html", url: str | None = None) -> Tab:
        tab = Tab(browser, next(names))
        browser.send("open", tab=tab.name, url=url or f"{origin}/{page}", init=init)
        if url is None:
            tab.until("window.isReady")
        return tab

    yield open_one
    ended = browser.send("end")
    assert ended["crashes"] == [], ended["log"]


class Make:
    """Make a tab with `queue`; keyword arguments are its options. Without a `purpose` among them files have `file`."""

    def __init__(self, open_tab: Open, service: str, token: str) -> None:
        self._open_tab = open_tab
        self._options = {"service": service, "token": token, "purpose": "file"}

    def __call__(self, init: str = AT_ONCE, **given: Any) -> Tab:
        tab = self._open_tab(init)
        self.again(tab, **given)
        return tab

    def again(self, tab: Tab, **given: Any) -> None:
        """After a reload."""
        tab.run(f"window.queue = uploads({options(**{**self._options, **given})})")


@pytest.fixture
def made(open_tab: Open, service: Proxy, s3: Proxy, token: str) -> Make:
    return Make(open_tab, service.url, token)


def token_of(user: str, lives_s: int = 600) -> str:
    return jwt.encode({"sub": user, "exp": int(time.time()) + lives_s}, SECRET, algorithm="HS256")


@pytest.fixture
def token() -> str:
    """The token of a user of one test."""
    return token_of(f"user-{uuid.uuid4().hex[:12]}")
