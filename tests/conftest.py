"""Shared parts of the tests: an S3 in this process, services on loopback, clients."""

import contextlib
import io
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from image_upload.app import create_app
from image_upload.settings import Settings, load
from local.embedded_s3 import EmbeddedS3, embedded_s3, make_bucket
from local.ports import claim_port
from local.service import local_environ, running
from tests.aws_cli import aws_cli as run_aws_cli
from tests.contract.servers import UnsupportedError
from tests.database.databases import POSTGRES, Place, empty, migrated
from tests.database.postgres import Postgres
from tests.database.postgres import postgres as run_postgres
from tests.needs import unavailable

pytest_plugins = ["tests.tiers"]

Start = Callable[..., str]


@pytest.fixture(scope="session")
def s3() -> Iterator[EmbeddedS3]:
    with embedded_s3() as server:
        yield server


@pytest.fixture(scope="module")
def own_bucket(s3: EmbeddedS3) -> dict[str, str]:
    """The setting of a bucket of this module alone: to list a folder, moto looks at every key of its bucket."""
    name = f"own-{secrets.token_hex(8)}"
    make_bucket(s3.endpoint_url, name)
    return {"AWS_S3_BUCKET": name}


def settings_for(s3: EmbeddedS3, **environ: str) -> Settings:
    """Settings of a local run with this S3; keyword arguments are further environment variables."""
    return load(local_environ({}, s3.environ) | environ)


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[str]:
    with running(create_app(settings), claim_port("127.0.0.1", 0, "PORT")) as url:
        yield url


@pytest.fixture(scope="session")
def service(s3: EmbeddedS3) -> Iterator[str]:
    """The base URL of a service as `make dev` runs it."""
    with serving(settings_for(s3)) as url:
        yield url


@pytest.fixture
def start(s3: EmbeddedS3) -> Iterator[Start]:
    """Start a service with further environment variables; returns its base URL."""
    with contextlib.ExitStack() as stack:
        yield lambda **environ: stack.enter_context(serving(settings_for(s3, **environ)))


@pytest.fixture(scope="session")
def web() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture(scope="session")
def aws_cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the AWS CLI as `aws`."""
    folder = tmp_path_factory.mktemp("aws-cli")
    with run_aws_cli(folder):
        yield folder


Mint = Callable[..., dict[str, Any]]


@pytest.fixture
def mint(service: str, web: httpx.Client, jpeg: bytes) -> Mint:
    """Mint an upload of the jpeg; keyword arguments replace fields of the request."""

    def post(**fields: Any) -> dict[str, Any]:
        spec = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": len(jpeg), **fields}
        response = web.post(f"{service}/uploads", json=spec)
        assert response.status_code == 200, response.text
        plan: dict[str, Any] = response.json()
        return plan

    return post


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a response, which must have this status and code."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), (
        response.text
    )
    document: dict[str, Any] = response.json()
    assert document["code"] == code, document
    assert document["status"] == status
    assert document["type"] == f"/errors/{code}"
    assert document["title"]
    assert document["detail"].endswith("."), "a detail is a sentence"
    assert document["request_id"] == response.headers["x-request-id"]
    assert response.content.endswith(b"}\n"), "a shell's prompt stands on its own line"
    return document


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The PostgreSQL of this run, or of this worker of it."""
    yield from _postgres()


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL of one test, which may stop it."""
    yield from _postgres()


def _postgres() -> Iterator[Postgres]:
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(run_postgres())
        except UnsupportedError as error:
            unavailable("postgres", error)
        yield server


@pytest.fixture(params=["sqlite", POSTGRES])
def unmigrated(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A database without tables, of each kind in turn."""
    return empty(request.param, lambda: request.getfixturevalue("postgres"), tmp_path)


@pytest.fixture
def place(unmigrated: Place) -> Place:
    """A migrated database, of each kind in turn."""
    return migrated(unmigrated)
