"""Uppy's pages in a real browser, the service, and the strict S3 servers behind it."""

import contextlib
import json
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
from tests.browser.driving import Browser, Outcome, Uppy
from tests.browser.storage import BUCKET, REGION, Storage
from tests.conftest import serving
from tests.contract.conftest import as_param, chosen_servers, running
from tests.npm import NPM_SECONDS, chromium_program, installed, tool
from tests.pages import served

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent.parent / "docs"
SECRET = "a-secret-of-more-than-thirty-two-bytes"

END_SECONDS = 10


def documented(language: str, document: str = "uppy.md") -> list[str]:
    """The fenced blocks of a document in one language."""
    text = (DOCS / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def chromium() -> str:
    return chromium_program()


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sources, the packages, and the two pages built into `dist`."""
    node = tool("node", "node")
    folder = tmp_path_factory.mktemp("uppy")
    for source in HERE.glob("*.mjs"):
        shutil.copy(source, folder)
    for major, code in zip((5, 6), documented("js")[:2], strict=True):
        (folder / f"documented-v{major}.mjs").write_text(code, encoding="utf-8")
    (code,) = documented("js", "sign-in.md")
    (folder / "documented-sign-in.mjs").write_text(code, encoding="utf-8")
    (folder / "node_modules").symlink_to(installed(HERE, "uppy"))
    subprocess.run([node, "build.mjs", "dist"], cwd=folder, check=True, timeout=NPM_SECONDS)
    return folder


@pytest.fixture(scope="session")
def origin(workshop: Path) -> Iterator[str]:
    """The origin of the front end, which serves the pages and nothing else."""
    with served(workshop / "dist") as url:
        yield url


@pytest.fixture(scope="session")
def browser(chromium: str, workshop: Path) -> Iterator[Browser]:
    with driven("drive.mjs", chromium, workshop) as running_browser:
        yield running_browser


@contextlib.contextmanager
def driven(script: str, chromium: str, workshop: Path) -> Iterator[Browser]:
    """A Chromium under a script of this folder."""
    errors = workshop / f"{script}.log"
    with (
        errors.open("w", encoding="utf-8") as stderr,
        subprocess.Popen(
            [tool("node", "node"), script],
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


@pytest.fixture(scope="session")
def cors_rules(origin: str) -> list[dict[str, Any]]:
    """The bucket's CORS rules exactly as docs/uppy.md shows them, for this front end."""
    (block,) = documented("json")
    rules: list[dict[str, Any]] = json.loads(block.replace("https://app.example.com", origin))
    return rules


# moto checks nothing of what is tested here, so LocalStack is always among them.
SERVERS = [as_param(name) for name in ("localstack", *(each for each in chosen_servers() if each == "ceph"))]


@pytest.fixture(scope="session", params=SERVERS)
def storage(request: pytest.FixtureRequest, browser: Browser, cors_rules: list[dict[str, Any]]) -> Iterator[Storage]:
    """The bucket on each server in turn.

    LocalStack lets origins that it knows through by rules of its own. Our page's is none of them, so that on both
    servers it is the bucket's rules that count; `test_the_bucket_s_cors_rules_…` holds them to it.
    """
    name: str = request.param
    with running(name) as server:
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
            storage = Storage(name, server, client)
            storage.allow(cors_rules)
            yield storage


@pytest.fixture(scope="session")
def backend(storage: Storage, origin: str) -> Iterator[str]:
    """The service before that bucket, which asks for a token."""
    environ = {"AUTH_REQUIRED": "true", "JWT_SECRET": SECRET, "CORS_ALLOW_ORIGINS": origin}
    with serving(load(local_environ({}, storage.environ) | environ)) as url:
        yield url


@pytest.fixture
def user() -> str:
    """A user of one test, whose files have a prefix of their own."""
    return f"user-{uuid.uuid4().hex[:12]}"


def token_of(user: str, *, secret: str = SECRET, lives_s: int = 600) -> str:
    return jwt.encode({"sub": user, "exp": int(time.time()) + lives_s}, secret, algorithm="HS256")


@pytest.fixture(params=[5, 6], ids="v{}".format)
def uppy(request: pytest.FixtureRequest, browser: Browser, origin: str, backend: str, storage: Storage) -> Uppy:
    return Uppy(request.param, browser, f"{origin}/v{request.param}.html", backend, storage.server.endpoint_url)


Stored = Callable[..., str]


@pytest.fixture
def stored(storage: Storage, user: str) -> Stored:
    """Checks that the user's one object is the file, byte for byte, and that no upload is left; returns its key."""

    def check(outcome: Outcome, prefix: str | None = None) -> str:
        (key,) = storage.keys(prefix or f"files/{user}/")
        assert storage.sha256(key) == outcome.sha256
        assert storage.open_uploads() == []
        return key

    return check
