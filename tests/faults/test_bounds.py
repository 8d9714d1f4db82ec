"""What uploads may cost: memory, places, disk."""

import contextlib
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_upload.limits import UPLOADS_AT_ONCE, UPLOADS_FOR_USERS
from local.embedded_s3 import EmbeddedS3
from tests.faults.hostile import PATIENCE_S, Act, Exchange, HostileStore, hostile_store, raw, storing
from tests.faults.process import ServiceProcess, service_process
from tests.faults.sending import WAYS, Answer, Client, Way, form, post, signed
from tests.faults.watching import eventually, held, peak_rss_bytes

pytestmark = pytest.mark.full

MIB = 1 << 20
BLOCK = secrets.token_bytes(MIB)
SMALL = secrets.token_bytes(MIB + 7)
STREAMED = [way for way in WAYS if way.streamed]

every_streamed_way = pytest.mark.parametrize("way", STREAMED, ids=str)


@pytest.fixture
def discarding() -> Iterator[HostileStore]:
    with hostile_store() as store:
        yield store


@pytest.fixture
def alone(discarding: HostileStore, tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service that has stored a small file each way already; its temporary files go to `tmp_path`."""
    environ = EmbeddedS3(discarding.endpoint_url).environ
    with service_process(environ, PROXY_ALLOWED_BUCKETS="theirs", TMPDIR=str(tmp_path)) as service:
        for way in WAYS:
            discarding.play(storing)
            assert post(service.url, way.path, way.parts(signed(discarding.endpoint_url), SMALL)).status == 200
        yield service


class LargeUpload:
    """A form with a file of so many mebibytes, which is nowhere whole."""

    def __init__(self, service: str, way: Way, url: str, size_mib: int) -> None:
        whole, content_type = form(way.parts(url, b"<file>"))
        self._before, self._after = whole.split(b"<file>")
        self._blocks = size_mib
        self.client = Client(service)
        length = len(self._before) + size_mib * MIB + len(self._after)
        self.client.begin(way.path, content_type, Content_Length=str(length))
        self.sent_blocks = 0

    def run(self) -> Answer:
        with self.client as client:
            client.send(self._before)
            for _ in range(self._blocks):
                client.send(BLOCK)
                self.sent_blocks += 1
            client.send(self._after)
            return client.answer()


@every_streamed_way
def test_a_large_file_passes_in_little_memory(
    discarding: HostileStore, alone: ServiceProcess, way: Way, tmp_path: Path
) -> None:
    discarding.play(storing)
    before, files = peak_rss_bytes(alone.pid), held(alone.pid)
    answer = LargeUpload(alone.url, way, signed(discarding.endpoint_url), 256).run()
    assert (answer.status, answer.document.get("file_size")) == (200, 256 * MIB), answer.document
    assert discarding.exchanges[0].received_bytes == 256 * MIB
    assert peak_rss_bytes(alone.pid) - before < 64 * MIB
    eventually(lambda: held(alone.pid) <= files, "something is left open")
    assert list(tmp_path.iterdir()) == []


def reading_late(go_on: threading.Event) -> Act:
    def act(exchange: Exchange) -> None:
        exchange.read_body(MIB)
        go_on.wait(PATIENCE_S)
        exchange.store(raw(200))

    return act


@every_streamed_way
def test_a_slow_store_slows_the_client_down(discarding: HostileStore, alone: ServiceProcess, way: Way) -> None:
    go_on = threading.Event()
    discarding.play(reading_late(go_on))
    before = peak_rss_bytes(alone.pid)
    upload = LargeUpload(alone.url, way, signed(discarding.endpoint_url), 128)
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(upload.run()))
    thread.start()
    try:
        eventually(lambda: bool(discarding.exchanges) and discarding.exchanges[0].received_bytes >= MIB, "no begin")
        seen: list[int] = []

        def stands_still() -> bool:
            seen.append(upload.sent_blocks)
            return len(seen) > 30 and len(set(seen[-30:])) == 1

        eventually(stands_still, "the client goes on")
        # What the sockets' buffers hold on both sides, and half a mebibyte of the service's own.
        assert upload.sent_blocks < 32
        assert peak_rss_bytes(alone.pid) - before < 32 * MIB
    finally:
        go_on.set()
        thread.join()
    assert [answer.status for answer in answers] == [200]
    assert discarding.exchanges[0].received_bytes == 128 * MIB


def test_when_all_places_are_taken_the_next_one_is_told_to_wait(store: HostileStore, check_target: str) -> None:
    way = WAYS[0]
    url = signed(store.endpoint_url)
    body, content_type = form(way.parts(url, SMALL))

    def attempt() -> Answer:
        store.play(storing)
        return post(check_target, way.path, way.parts(url, SMALL))

    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(check_target)) for _ in range(UPLOADS_AT_ONCE - UPLOADS_FOR_USERS)]
        for client in clients:
            client.begin(way.path, content_type, Content_Length=str(len(body)))
            client.send(body[:100])
        eventually(lambda: attempt().status == 503, "there is still a place")
        refused = attempt()
        assert (refused.status, refused.code) == (503, "too-many-uploads")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.elapsed_s < 1
        # One place becomes free by an upload that ends, one by a client that goes away.
        store.play(storing)
        clients[0].send(body[100:])
        assert clients[0].answer().status == 200
        eventually(lambda: attempt().status == 200, "no place became free")
        assert attempt().status == 200
    eventually(lambda: attempt().status == 200, "the places are not given back")


def test_a_client_that_goes_away_gives_its_place_back(store: HostileStore, check_target: str) -> None:
    way = WAYS[0]
    body, content_type = form(way.parts(signed(store.endpoint_url), SMALL))
    for _ in range(UPLOADS_AT_ONCE + 10):
        with Client(check_target) as client:
            client.begin(way.path, content_type, Content_Length=str(len(body)))
            client.send(body[:100])
    store.play(storing)
    eventually(lambda: post(check_target, way.path, []).status == 422, "the places are not given back")
    assert post(check_target, way.path, way.parts(signed(store.endpoint_url), SMALL)).status == 200
