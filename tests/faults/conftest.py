"""Services in front of a hostile store, in this process; nothing that a test opened may stay open."""

from collections.abc import Iterator

import pytest

from image_upload.form_proxy import sender
from image_upload.limits import UPLOADS_AT_ONCE
from image_upload.outbound import retry
from image_upload.settings import load
from local.embedded_s3 import EmbeddedS3
from local.service import local_environ
from tests.conftest import serving
from tests.faults.hostile import HostileStore, hostile_store, storing
from tests.faults.sending import THEIRS, WAYS, post, signed
from tests.faults.watching import eventually, held

# Long enough for everything that ends by itself.
PATIENT_S = 10.0
# For what ends only because the service's time is over.
HASTY_S = 0.4


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (retry, sender):
        monkeypatch.setattr(module, "BACKOFF_FIRST_S", 0.02)


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileStore]:
    with hostile_store() as store:
        yield store


def service_before(endpoint_url: str, **environ: str) -> Iterator[str]:
    """A service that has sent before, so that what it keeps for ever is open already."""
    wanted = local_environ({}, EmbeddedS3(endpoint_url).environ) | {"PROXY_ALLOWED_BUCKETS": THEIRS} | environ
    with serving(load(wanted)) as url:
        yield url


@pytest.fixture(scope="module")
def check_target(hostile: HostileStore) -> Iterator[str]:
    yield from service_before(
        hostile.endpoint_url, TIMEOUT_SECONDS=str(PATIENT_S), UPLOADS_PER_ADDRESS=str(UPLOADS_AT_ONCE)
    )


@pytest.fixture(scope="module")
def hasty(hostile: HostileStore) -> Iterator[str]:
    yield from service_before(hostile.endpoint_url, TIMEOUT_SECONDS=str(HASTY_S))


@pytest.fixture(scope="module")
def warm(hostile: HostileStore, check_target: str, hasty: str) -> None:
    """Every way was gone once."""
    for way in WAYS:
        hostile.play(storing)
        assert post(check_target, way.path, way.parts(signed(hostile.endpoint_url), bytes(1 << 20))).status == 200
    hostile.play()
    # What its first request builds may take longer than it has.
    assert post(hasty, WAYS[0].path, []).status in {422, 504}


@pytest.fixture
def store(hostile: HostileStore, warm: None) -> Iterator[HostileStore]:
    """The store; afterwards no socket and no temporary file may be open that was not open before."""
    hostile.play()
    before = held()
    yield hostile
    # While the store still holds its own ends: it is the service that has to let go.
    eventually(lambda: held() - hostile.sockets() <= before, "the service keeps something open")
    hostile.end()
    eventually(lambda: held() <= before, "something is left open")
