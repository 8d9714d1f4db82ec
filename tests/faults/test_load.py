"""Two hundred uploads at once, kept going: none lost, none changed, memory flat.

LOAD_SECONDS says for how long new ones are begun: 4 in the tests, 60 for a real look.
"""

import http.client
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from image_upload.aws.sigv4 import Signer
from tests.contract.conftest import chosen_servers, running
from tests.contract.store import Store, opened
from tests.faults.process import ServiceProcess, service_process
from tests.faults.sending import WAYS, Client, form
from tests.faults.watching import eventually, held, peak_rss_bytes

pytestmark = pytest.mark.needs("localstack")

LOAD_SECONDS = float(os.environ.get("LOAD_SECONDS") or "4")
AT_ONCE = 200
FILE_BYTES = 5_000_000
# However long it is kept going: S3 under test keeps its objects in memory.
UPLOADS_MOST = 50_000
# Above what the service takes with one upload: 200 times what one upload holds, and no file.
GROWTH_MOST_BYTES = 320 * 1024 * 1024
KEPT_CONNECTIONS_MOST = 20
MARK = b"<the file>"
STREAMED = [way for way in WAYS if way.streamed]
EXPIRES_S = 3600
# Of one upload or download among all of them. A busy machine took 250 s.
ENDS_WITHIN_S = LOAD_SECONDS + 600


@pytest.fixture(scope="module")
def strict() -> Iterator[Store]:
    """Ceph where it is wanted, else LocalStack."""
    name = "ceph" if "ceph" in chosen_servers() else "localstack"
    with (
        running(name) as server,
        opened(name, server.endpoint_url, server.access_key, server.secret_key, "load") as store,
    ):
        yield store


@pytest.fixture
def service(strict: Store) -> Iterator[ServiceProcess]:
    with service_process(strict.environ, UPLOADS_PER_ADDRESS=str(AT_ONCE)) as process:
        yield process


@dataclass
class Load:
    """Uploads of one run. A file is told from all others by its first bytes; the rest is the same."""

    service: str
    store: Store
    until: float
    rest: bytes = field(default_factory=lambda: secrets.token_bytes(FILE_BYTES - 32))
    begun: int = 0
    faults: list[str] = field(default_factory=list)
    compared: int = 0
    elapsed_s: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._signer: Signer = self.store.signer()

    def work(self, number: int) -> None:
        """Upload, read back, compare, remove; again until the time is over."""
        done = 0
        while done == 0 or (time.monotonic() < self.until and self.begun < UPLOADS_MOST):
            done += 1
            with self.lock:
                self.begun += 1
            try:
                self._one(number, f"load/{number}-{done}.jpg")
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.faults.append(f"{number}-{done}: {error!r}")

    def _sign(self, method: str, key: str) -> str:
        headers = {"Content-Type": "image/jpeg"} if method == "PUT" else None
        return self._signer.presign(method, key, now=datetime.now(UTC), expires_s=EXPIRES_S, headers=headers)

    def _one(self, number: int, key: str) -> None:
        way = STREAMED[number % len(STREAMED)]
        first = secrets.token_bytes(32)
        whole, content_type = form(way.parts(self._sign("PUT", key), MARK))
        before, after = whole.split(MARK)
        with Client(self.service, timeout_s=ENDS_WITHIN_S) as client:
            client.begin(way.path, content_type, Content_Length=str(len(before) + FILE_BYTES + len(after)))
            client.send(before + first)
            client.send(self.rest)
            client.send(after)
            answer = client.answer()
        if (answer.status, answer.document.get("file_size")) != (200, FILE_BYTES):
            self.faults.append(f"{key}: {answer.status} {answer.document}")
            return
        if not self._is_stored(key, first):
            self.faults.append(f"{key}: stored otherwise than sent")
            return
        with self.lock:
            self.compared += 1
            self.elapsed_s.append(answer.elapsed_s)

    def _is_stored(self, key: str, first: bytes) -> bool:
        """Whether S3 gives the file out for the key, which it then forgets."""
        connection = http.client.HTTPConnection(self.store.endpoint_url.removeprefix("http://"), timeout=ENDS_WITHIN_S)
        try:
            connection.request("GET", self._sign("GET", key).removeprefix(self.store.endpoint_url))
            response = connection.getresponse()
            same, at = response.read(len(first)) == first, 0
            # Block by block: two hundred whole files are a gigabyte. Hashes of both take longer than all the rest.
            while block := response.read(1 << 18):
                same, at = same and block == self.rest[at : at + len(block)], at + len(block)
            connection.request("DELETE", self._sign("DELETE", key).removeprefix(self.store.endpoint_url))
            connection.getresponse().read()
        finally:
            connection.close()
        return same and at == len(self.rest)


def test_two_hundred_at_once_all_arrive(
    service: ServiceProcess, strict: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    warm = Load(service.url, strict, until=0)
    for number in range(len(STREAMED)):
        warm.work(number)
    assert warm.faults == []
    base, files = peak_rss_bytes(service.pid), held(service.pid)
    began = time.monotonic()
    load = Load(service.url, strict, until=began + LOAD_SECONDS)
    threads = [threading.Thread(target=load.work, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s, peak = time.monotonic() - began, peak_rss_bytes(service.pid)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{strict.name}: {load.compared} of {load.begun} uploads of {FILE_BYTES / 1e6:.0f} MB compared in "
            f"{took_s:.1f} s, {AT_ONCE} at once; slowest {max(load.elapsed_s, default=0):.1f} s; "
            f"peak memory of the service {peak >> 20} MiB, {base >> 20} MiB before\n"
        )
    assert load.faults == []
    assert load.compared == load.begun >= AT_ONCE
    assert peak - base < GROWTH_MOST_BYTES
    # What the service asks S3 itself goes over connections that are kept for the next question.
    eventually(lambda: len(held(service.pid) - files) <= KEPT_CONNECTIONS_MOST, "something is left open")
