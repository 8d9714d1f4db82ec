"""The memory of `POST /api/v1/s3/upload`: one budget for all uploads, and nothing kept after failures."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from image_upload.limits import UPLOADS_AT_ONCE
from local.embedded_s3 import EmbeddedS3
from tests.faults.hostile import hostile_store
from tests.faults.process import ServiceProcess, service_process
from tests.faults.storing import PATIENCE_S, Forgetful, upload
from tests.faults.watching import eventually, peak_rss_bytes, rss_bytes

pytestmark = pytest.mark.full

MIB = 1 << 20
BUFFER_BYTES = 32 * MIB
# What an upload has beside its part: what lies in the server's own buffers, a socket's chunk, its objects.
BESIDE_BYTES = MIB // 2
SLACK_BYTES = 24 * MIB
AT_ONCE = 60
FILE_BYTES = 5_000_000
CONNECTIONS_MOST = 2_000


@pytest.fixture
def service() -> Iterator[ServiceProcess]:
    with hostile_store() as store:
        store.play(*[Forgetful().act] * CONNECTIONS_MOST)
        environ = EmbeddedS3(store.endpoint_url).environ
        with service_process(
            environ, BUFFER_BYTES=str(BUFFER_BYTES), UPLOADS_PER_ADDRESS=str(UPLOADS_AT_ONCE)
        ) as process:
            # Everything that the first upload imports is there.
            assert upload(process.url, 20 * MIB) == 200
            yield process


@pytest.mark.parametrize("size_bytes", [FILE_BYTES, 20 * MIB], ids=["one PUT each", "parts"])
def test_all_uploads_share_one_budget_and_all_of_them_end(service: ServiceProcess, size_bytes: int) -> None:
    before = peak_rss_bytes(service.pid)
    with ThreadPoolExecutor(AT_ONCE) as clients:
        answers = list(clients.map(lambda _: upload(service.url, size_bytes), range(AT_ONCE)))
    assert answers == [200] * AT_ONCE
    grown = peak_rss_bytes(service.pid) - before
    assert grown < BUFFER_BYTES + AT_ONCE * BESIDE_BYTES + SLACK_BYTES, f"{grown / MIB:.0f} MiB"
    eventually(
        lambda: rss_bytes(service.pid) < before + AT_ONCE * BESIDE_BYTES + SLACK_BYTES,
        f"{rss_bytes(service.pid) / MIB:.0f} MiB are kept",
    )


def test_uploads_that_are_broken_off_give_their_memory_back(service: ServiceProcess) -> None:
    before = peak_rss_bytes(service.pid)
    with ThreadPoolExecutor(40) as clients:
        # As much as the service reads without waiting for room: a client that waits cannot go away.
        list(clients.map(lambda _: upload(service.url, 50 * MIB, only_bytes=256 * 1024), range(40)))
        list(clients.map(lambda _: upload(service.url, 50 * MIB, only_bytes=20 * MIB), range(40)))
    eventually(lambda: rss_bytes(service.pid) < before + SLACK_BYTES, "memory is kept", PATIENCE_S)
    # Their room is free again too.
    assert upload(service.url, 20 * MIB) == 200
