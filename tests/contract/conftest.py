"""The service in front of S3 servers: the two that run every test, and others where they add a proof.

    @pytest.mark.also_on("localstack", "moto")  here the others differ, keep the promise alone, or are AWS's own

S3_SERVERS names other ones, which run every test.
"""

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from _pytest.mark import ParameterSet

from image_upload.settings import load
from local.embedded_s3 import ACCESS_KEY, BUCKET, SECRET_KEY, EmbeddedS3
from local.seaweedfs import find_weed
from local.service import local_environ
from tests.conftest import Start, serving
from tests.contract import servers
from tests.contract.gaps import GAPS
from tests.contract.plans import PUTS, Put, minted, spec
from tests.contract.store import Store, opened
from tests.needs import unavailable

STRICT = {"localstack": servers.localstack, "seaweedfs": servers.seaweedfs, "ceph": servers.ceph}
# The first tier's: a strict one that came with the test dependencies; where there is none, what takes its place.
FIRST_SERVER = "seaweedfs" if find_weed() else "moto"
# Two strict ones that have nothing in common. Of all promises they keep all but two.
EVERY_TEST = (FIRST_SERVER, "ceph")
# Every service here reads the tickets of the others.
SECRET = "a-secret-of-more-than-thirty-two-bytes"
CLOCK_WITHIN_S = 10.0
POLL_S = 0.05


def chosen_servers(also: Collection[str] = ()) -> list[str]:
    """The servers that run a test, in the order of the table of gaps: EVERY_TEST and these, or what S3_SERVERS names.

    Raises for a name that is none.
    """
    named = os.environ.get("S3_SERVERS")
    names = {name.strip() for name in named.split(",")} if named else {*EVERY_TEST, *also}
    if unknown := names - GAPS.keys():
        raise pytest.UsageError(f"{', '.join(sorted(unknown))} is no S3 server. There are: {', '.join(GAPS)}.")
    return [name for name in GAPS if name in names]


@contextlib.contextmanager
def running(name: str) -> Iterator[servers.S3Server]:
    """A strict server. On a machine that cannot have it the tests are skipped, but never in CI."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(STRICT[name]())
        except servers.UnsupportedError as error:
            unavailable(name, error)
        yield server


def as_param(name: str) -> ParameterSet:
    """A server as a parameter, with the mark that keeps it out of the first tier."""
    marks = () if name == FIRST_SERVER else pytest.mark.needs(name) if name in STRICT else pytest.mark.full
    return pytest.param(name, marks=marks)


# For tests that others run on moto already: a strict server in turn.
strict_store = pytest.mark.parametrize(
    "store", [as_param(name) for name in chosen_servers() if name in STRICT], indirect=True, scope="session"
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that has a store on each of its servers."""
    marks = metafunc.definition.iter_markers
    if "store" in metafunc.fixturenames and strict_store.mark not in marks("parametrize"):
        also = {name for mark in marks("also_on") for name in mark.args}
        params = [as_param(name) for name in chosen_servers(also)]
        metafunc.parametrize("store", params, indirect=True, scope="session")


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A bucket on each server in turn."""
    name: str = request.param
    if name == "moto":
        s3: EmbeddedS3 = request.getfixturevalue("s3")
        with opened(name, s3.endpoint_url, ACCESS_KEY, SECRET_KEY, BUCKET) as store:
            yield store
    else:
        with (
            running(name) as server,
            opened(name, server.endpoint_url, server.access_key, server.secret_key, "contract") as store,
        ):
            yield store


@contextlib.contextmanager
def service_on(store: Store, **environ: str) -> Iterator[str]:
    """A service in front of the store."""
    with serving(load(local_environ({"JWT_SECRET": SECRET}, store.environ) | environ)) as url:
        yield url


@pytest.fixture(scope="session")
def service(store: Store) -> Iterator[str]:
    with service_on(store) as url:
        yield url


@pytest.fixture
def start(store: Store) -> Iterator[Start]:
    with contextlib.ExitStack() as stack:
        yield lambda **environ: stack.enter_context(service_on(store, **environ))


@dataclass(frozen=True, slots=True)
class Ended:
    """Plans whose URLs have ended, as the service minted them."""

    puts: dict[str, Put]
    form: dict[str, Any]


@pytest.fixture(scope="session")
def ended(store: Store, web: httpx.Client) -> Ended:
    """Plans of a service whose URLs end after a second, all minted at once and waited for together."""
    with service_on(store, UPLOAD_URL_EXPIRES_SECONDS="1") as service:
        # The files family says an hour of its own.
        puts = {name: mint(web, service) for name, mint in PUTS.items() if name != "files"}
        form = minted(web, f"{service}/uploads", json=spec(accepts=["post"]))
    assert {form["expiresIn"], *(put.expires_in for put in puts.values())} == {1}
    # S3's clock is this machine's. It counts whole seconds.
    last = datetime.now(UTC) + timedelta(seconds=2)
    deadline = time.monotonic() + CLOCK_WITHIN_S
    while datetime.now(UTC) <= last:
        assert time.monotonic() < deadline, "the clock stands still"
        time.sleep(POLL_S)  # before the clock is read again
    return Ended(puts, form)
