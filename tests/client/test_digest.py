"""What a promised digest is worth, on a store that compares it."""

from collections.abc import Iterator

import pytest

from image_upload.settings import load
from local.service import local_environ
from tests.browser.storage import Storage
from tests.client.conftest import Make, stored_on
from tests.client.proxy import Proxy, proxied
from tests.client.test_sending import digest_of
from tests.conftest import serving

pytestmark = pytest.mark.needs("chromium", "node", "seaweedfs", "ceph")


@pytest.fixture
def strict(origin: str) -> Iterator[tuple[str, Storage, Proxy]]:
    """The address of a service, its bucket, and the proxy before that."""
    with stored_on("seaweedfs", origin) as storage, proxied(storage.server.endpoint_url) as proxy:
        environ = {"CORS_ALLOW_ORIGINS": origin, "S3_PUBLIC_ENDPOINT_URL": proxy.url}
        with serving(load(local_environ({}, storage.environ) | environ)) as url:
            yield url, storage, proxy


def test_bytes_that_are_changed_on_their_way_are_refused_and_sent_again(
    made: Make, strict: tuple[str, Storage, Proxy]
) -> None:
    url, storage, s3 = strict
    s3.spoil("^PUT", corrupt=True)
    tab = made(service=url, token=None)
    found = tab.run("window.sent = file(100_000); return outcome(queue.add(sent))")
    assert digest_of(storage, found) == tab.run("return sha256(sent)")
    assert [seen.status for seen in s3.requests("^PUT")] == [400, 200]
