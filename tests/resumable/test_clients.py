"""The clients of docs/resumable.md, as they are published, against the service and a strict S3."""

import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.embedded_s3 import EmbeddedS3
from local.service import local_environ
from tests.cli.test_serve import free_port, served, wait_for
from tests.contract import servers
from tests.contract.conftest import SECRET, as_param, chosen_servers, running, service_on
from tests.contract.store import opened
from tests.needs import unavailable
from tests.resumable.clients import WITHIN_S, sent_by_node
from tests.resumable.speaking import Tus, stored

# Clients are processes, and test_service proves what they ask for.
pytestmark = pytest.mark.full

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
TUSPY_VERSION = "1.1.0"
# Those that check signatures and conditional writes, and are started quickly enough.
STORES = [as_param(name) for name in chosen_servers() if name in ("seaweedfs", "ceph")]


@pytest.fixture(scope="module", params=STORES)
def service(request: pytest.FixtureRequest) -> Iterator[str]:
    name: str = request.param
    with (
        running(name) as server,
        opened(name, server.endpoint_url, server.access_key, server.secret_key, "resumable") as store,
        service_on(store) as url,
    ):
        yield url


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.bin"
    path.write_bytes(random.Random(17).randbytes(17 * MIB + 5))
    return path


def documented(language: str) -> list[str]:
    """The fenced blocks of docs/resumable.md in one language."""
    text = (ROOT / "docs/resumable.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.needs("node")
@pytest.mark.parametrize(
    "options",
    [
        {"chunkSize": 4 * MIB},
        {},  # the whole file in one request
        {"chunkSize": 4 * MIB, "uploadDataDuringCreation": True},
        {"chunkSize": 4 * MIB, "uploadLengthDeferred": True},
        {"chunkSize": 4 * MIB, "overridePatchMethod": True},
        {"chunkSize": 4 * MIB, "parallelUploads": 3},
        {"chunkSize": 4 * MIB, "protocol": "ietf-draft-05"},
    ],
    ids=lambda options: ",".join(options) or "none",
)
def test_tus_js_client_in_node(
    service: str, web: httpx.Client, packages: Path, picture: Path, options: dict[str, Any]
) -> None:
    is_tus = "protocol" not in options
    # The draft's client sends no metadata; the query names the purpose.
    endpoint = f"{service}/resumable" + ("" if is_tus else "?purpose=file")
    outcome = sent_by_node(packages, picture, {"endpoint": endpoint, **options})
    assert {status for _, status in outcome.statuses} <= {200, 201, 204}
    assert stored(Tus(web, service), outcome.location) == picture.read_bytes()


@pytest.mark.needs("tuspy")
def test_tuspy_with_checksums_by_the_documented_lines(service: str, web: httpx.Client, picture: Path) -> None:
    try:
        environment = servers.virtual_environment("tuspy", TUSPY_VERSION, f"tuspy=={TUSPY_VERSION}")
    except servers.UnsupportedError as error:
        unavailable("tuspy", error)
    (code,) = documented("python")
    program = f"{code}\nimport sys\nprint(upload_resumably(*sys.argv[1:]))\n"
    done = subprocess.run(
        [str(environment / "bin/python"), "-c", program, service, str(picture)],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    location = done.stdout.strip().removeprefix(service)
    assert stored(Tus(web, service), location) == picture.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="the blocks are for a shell")
@pytest.mark.parametrize("number", [0, 1], ids=["tus", "ietf"])
def test_curl_by_the_documented_lines(service: str, web: httpx.Client, number: int) -> None:
    block = documented("bash")[number].replace("http://localhost:8000", service)
    shell = ["bash", "-euo", "pipefail", "-c", block]
    said = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert said.returncode == 0, said.stderr
    found = re.search(r'"objectKey":"([^"]+)"', said.stdout)
    assert found, said.stdout
    url = web.get(f"{service}/images/{found[1]}").json()["url"]
    assert web.get(url).content == (ROOT / "examples/photo.jpg").read_bytes()
    if number == 0:
        assert "upload-offset: 5000" in said.stdout.lower()
        assert "stored: 204" in said.stdout


def test_an_upload_goes_on_in_the_next_served_process_after_the_first_was_killed(
    s3: EmbeddedS3, web: httpx.Client, tmp_path: Path, picture: Path
) -> None:
    """Each process is `python -m image_upload serve`. What the first one remembered is lost with it."""
    content, port = picture.read_bytes(), free_port()
    tus = Tus(web, f"http://127.0.0.1:{port}")
    environ = local_environ({"JWT_SECRET": SECRET}, s3.environ)
    with served(environ, tmp_path / "first", "--port", str(port)) as process:
        wait_for(tus.url, process, tmp_path / "first")
        location = tus.begin(len(content))
        for offset in (0, 4 * MIB):
            assert tus.append(location, offset, content[offset : offset + 4 * MIB]).status_code == 204
    with served(environ, tmp_path / "second", "--port", str(port)) as process:
        wait_for(tus.url, process, tmp_path / "second")
        assert tus.append(location, 4 * MIB, content[:MIB]).status_code == 409
        assert tus.append(location, 8 * MIB, content[8 * MIB :]).status_code == 204
        assert stored(tus, location) == content
