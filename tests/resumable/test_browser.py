"""tus-js-client and Uppy in Chromium, on a page of another origin, by the code of docs/resumable.md."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from tests.contract.conftest import SECRET, running, service_on
from tests.contract.store import opened
from tests.npm import NPM_SECONDS, chromium_program, tool
from tests.pages import served
from tests.resumable.clients import WITHIN_S
from tests.resumable.speaking import TUS, Tus, stored
from tests.resumable.test_clients import documented

pytestmark = pytest.mark.needs("chromium", "node", "seaweedfs")

MIB = 1 << 20


@pytest.fixture(scope="module")
def page(packages: Path) -> Iterator[str]:
    """The front end's page."""
    for name, code in zip(("tus", "uppy"), documented("js"), strict=True):
        (packages / f"documented-{name}.mjs").write_text(code, encoding="utf-8")
    subprocess.run([tool("node", "node"), "build.mjs"], cwd=packages, check=True, timeout=NPM_SECONDS)
    with served(packages / "dist") as url:
        yield url


@pytest.fixture(scope="module")
def service(page: str) -> Iterator[str]:
    with (
        running("seaweedfs") as server,
        opened("seaweedfs", server.endpoint_url, server.access_key, server.secret_key, "browser") as store,
        service_on(store, CORS_ALLOW_ORIGINS=page, AUTH_REQUIRED="true") as url,
    ):
        yield url


def sent(packages: Path, page: str, service: str, **spec: Any) -> tuple[dict[str, Any], bytes]:
    """The outcome of an upload in the browser, and what became of it."""
    token = jwt.encode({"sub": "browser", "exp": 2**33}, SECRET, algorithm="HS256")
    spec |= {"page": page, "service": service, "token": token}
    chromium = chromium_program()
    done = subprocess.run(
        [tool("node", "node"), "browse.mjs", json.dumps(spec)],
        cwd=packages,
        env=os.environ | {"CHROMIUM": chromium},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    assert "error" not in outcome, outcome
    with httpx.Client(timeout=30, trust_env=False) as web:
        client = Tus(web, service, {**TUS, "Authorization": f"Bearer {token}"})
        content = stored(client, urlsplit(outcome["url"]).path)
    assert hashlib.sha256(content).hexdigest() == outcome["sha256"]
    return outcome, content


@pytest.mark.parametrize("client", ["documented", "parallel", "uppy"])
def test_a_file_goes_from_the_browser_in_appends(packages: Path, page: str, service: str, client: str) -> None:
    size = 9 * MIB + 7
    outcome, content = sent(packages, page, service, client=client, size=size)
    assert len(content) == size
    appends = [status for method, status in outcome["requests"] if method == "PATCH"]
    assert appends == [204] * 3


def test_after_a_reload_the_upload_goes_on_where_it_was(packages: Path, page: str, service: str) -> None:
    outcome, _ = sent(packages, page, service, client="documented", size=21 * MIB, stopAtBytes=9 * MIB)
    methods = [method for method, _ in outcome["requests"]]
    assert methods.count("POST") == 1, "the upload that was begun"
    assert methods.count("HEAD") == 1
    assert methods.count("PATCH") < 7, "what was stored is not sent again"
