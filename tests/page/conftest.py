"""The page in a real browser, in front of a strict S3."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from image_upload.settings import load
from local.embedded_s3 import CORS_RULE
from local.service import WIRED, local_environ
from tests.browser.conftest import driven
from tests.browser.driving import Browser
from tests.conftest import serving
from tests.contract.conftest import as_param, running
from tests.contract.store import Store, opened
from tests.npm import chromium_program, installed
from tests.page.pictures import pictures as drawn

HERE = Path(__file__).resolve().parent
SECRET = "a-secret-of-more-than-thirty-two-bytes"


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium = chromium_program()
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(HERE / "browse.mjs", folder)
    (folder / "node_modules").symlink_to(installed(HERE, "page"))
    with driven("browse.mjs", chromium, folder) as browser:
        yield browser


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The paths of pictures that look like something."""
    return drawn(tmp_path_factory.mktemp("pictures"))


@dataclass(frozen=True)
class Visit:
    """The page of one service, in a fresh browser each time."""

    browser: Browser
    service: str
    store: Store

    def run(self, scenario: str, *, expects: tuple[str, ...] = (), **spec: Any) -> dict[str, Any]:
        """The outcome of a scenario of browse.mjs. The page logged only what is `expected`, and asked no other host."""
        found = self.browser.run({"scenario": scenario, "page": f"{self.service}/", **spec})
        assert found["crashes"] == []
        assert [line for line in found["log"] if not any(each in line for each in expects)] == []
        ours = (f"{self.service}/", f"{self.store.endpoint_url}/", "data:", "blob:")
        assert [each for each in found["requests"] if not each.partition(" ")[2].startswith(ours)] == []
        return found


@contextlib.contextmanager
def visiting(browser: Browser, store: Store, **environ: str) -> Iterator[Visit]:
    with serving(load(WIRED | local_environ({"JWT_SECRET": SECRET}, store.environ) | environ)) as url:
        yield Visit(browser, url, store)


@pytest.fixture(
    scope="session", params=[pytest.param("seaweedfs", marks=pytest.mark.needs("seaweedfs")), as_param("ceph")]
)
def any_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A bucket on SeaweedFS, then on Ceph, which browsers may use."""
    yield from _store(request.param)


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[Store]:
    """The same, on SeaweedFS alone."""
    yield from _store("seaweedfs")


def _store(name: str) -> Iterator[Store]:
    with (
        running(name) as server,
        opened(name, server.endpoint_url, server.access_key, server.secret_key, "page") as store,
    ):
        store.s3.put_bucket_cors(Bucket=store.bucket, CORSConfiguration={"CORSRules": [CORS_RULE]})
        yield store


@pytest.fixture
def visit(browser: Browser, seaweedfs: Store) -> Iterator[Visit]:
    """The page as `make dev` serves it, with an empty bucket."""
    for each in seaweedfs.s3.list_objects_v2(Bucket=seaweedfs.bucket).get("Contents", ()):
        seaweedfs.s3.delete_object(Bucket=seaweedfs.bucket, Key=each["Key"])
    with visiting(browser, seaweedfs) as visit:
        yield visit
