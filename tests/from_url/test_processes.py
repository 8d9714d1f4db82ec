"""Imports by a service in a process of its own: its memory, and its end in the middle of one."""

import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from local.embedded_s3 import EmbeddedS3, embedded_s3
from local.seaweedfs import find_weed, seaweedfs
from tests.faults.process import ServiceProcess, service_process
from tests.faults.watching import peak_rss_bytes
from tests.from_url import origins
from tests.from_url.origins import Origin, wait_until

# Two servers start for each.
pytestmark = pytest.mark.full

MIB = 1 << 20
GIB = 1 << 30
BUFFER_BYTES = 32 * MIB
# A thirty-second of the long file.
SLACK_BYTES = 32 * MIB
# Shared cores.
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedS3]:
    """A store that keeps files on disk, where there is one."""
    if find_weed() is None:
        with embedded_s3() as server:
            yield server
    else:
        with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
            yield server


@pytest.fixture
def service(s3: EmbeddedS3, origin: Origin) -> Iterator[ServiceProcess]:
    with service_process(s3.environ, FROM_URL_PRIVATE_HOSTS=origin.host, BUFFER_BYTES=str(BUFFER_BYTES)) as process:
        yield process


def imported(web: httpx.Client, service: ServiceProcess, url: str, **fields: Any) -> httpx.Response:
    return web.post(f"{service.url}/uploads/from-url", json={"url": url, "purpose": "file", **fields})


def finished(web: httpx.Client, service: ServiceProcess, response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 202, response.text
    found: dict[str, Any] = {}

    def is_over() -> bool:
        found.update(web.get(service.url + response.headers["location"]).json())
        return found["state"] in ("done", "failed")

    wait_until(is_over, PATIENCE_S)
    return found


def test_a_long_file_needs_no_more_memory_than_a_short_one(
    service: ServiceProcess, origin: Origin, web: httpx.Client
) -> None:
    warm = finished(web, service, imported(web, service, origin.serve("/a", origins.pattern(64 * MIB)), wait=0))
    assert warm["state"] == "done", warm
    before = peak_rss_bytes(service.pid)
    job = finished(web, service, imported(web, service, origin.serve("/b", origins.pattern(GIB)), wait=0))
    grown = peak_rss_bytes(service.pid) - before
    assert (job["state"], job["result"]["size"]) == ("done", GIB)
    assert grown < SLACK_BYTES, f"{grown / MIB:.1f} MiB"
    digest = hashlib.sha256()
    with httpx.stream("GET", web.get(f"{service.url}/images/{job['key']}").json()["url"], timeout=PATIENCE_S) as back:
        for piece in back.iter_raw():
            digest.update(piece)
    assert digest.hexdigest() == origins.sha256_of(GIB)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_ends_in_the_middle_leaves_no_object(
    s3: EmbeddedS3, origin: Origin, web: httpx.Client, how: signal.Signals
) -> None:
    url = origin.serve("/a", origins.held(bytes(20 * MIB), bytes(MIB), threading.Event(), "video/mp4"))
    environ = {"FROM_URL_PRIVATE_HOSTS": origin.host, "BUFFER_BYTES": str(BUFFER_BYTES)}
    with service_process(s3.environ, **environ) as service:
        response = imported(web, service, url, wait=0.5)
        assert response.status_code == 202, response.text
        path = response.headers["location"]
        wait_until(lambda: web.get(service.url + path).json()["progress"]["sent_bytes"] >= 16 * MIB, PATIENCE_S)
        os.kill(service.pid, how)
    with service_process(s3.environ) as another:
        job = web.get(another.url + path).json()
        listed = web.get(f"{another.url}/api/v1/s3/files", params={"prefix": "files/anonymous/"}).json()
    assert [each for each in listed["files"] if each["size"] >= 20 * MIB and each["size"] < 64 * MIB] == []
    if how is signal.SIGTERM:
        assert (job["state"], job["error"]["code"], job["key"]) == ("failed", "interrupted", None)
    else:
        # It fails by itself once it has been silent for JOB_SILENT_S.
        assert job["state"] == "running"
