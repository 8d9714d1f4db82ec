"""Who gets a place and disk for a form, and what is refused before anything of it is kept."""

import asyncio
import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from image_upload.errors import ClientTooSlow, TooManyUploads
from image_upload.limits import CLIENT_BUSY_MIN_BYTES_PER_S
from image_upload.web.min_rate import ConcurrencyLimit, enforce_min_rate
from tests.faults.conftest import service_before
from tests.faults.hostile import HostileStore, raw, resetting, storing
from tests.faults.sending import PLAIN, RETRY, WAYS, Client, Way, form, post, signed
from tests.faults.watching import eventually

MIB = 1 << 20
CONTENT = secrets.token_bytes(2 * MIB)
# More than the buffers between service and store take.
LARGE = CONTENT * 6
SPOOLED = [way for way in WAYS if not way.streamed]
STORE = "/api/v1/s3/upload"


@pytest.fixture(scope="module")
def narrow(hostile: HostileStore) -> Iterator[str]:
    """Two places an address, three MiB of disk; behind a proxy that says where requests come from."""
    yield from service_before(
        hostile.endpoint_url, UPLOADS_PER_ADDRESS="2", SPOOL_BYTES=str(3 * MIB), TRUSTED_PROXIES="127.0.0.1"
    )


# --- places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "same", "other"),
    [("198.51.100.1", "198.51.100.1", "198.51.100.2"), ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")],
    ids=["IPv4", "IPv6 by /64"],
)
def test_one_address_takes_no_more_than_its_share(
    store: HostileStore, narrow: str, first: str, same: str, other: str
) -> None:
    parts = WAYS[0].parts(signed(store.endpoint_url), CONTENT)
    body, content_type = form(parts)

    def attempt(address: str) -> tuple[int, str | None, str | None]:
        store.play(storing)
        answer = post(narrow, PLAIN, parts, X_Forwarded_For=address)
        return answer.status, answer.code, answer.headers.get("retry-after")

    with contextlib.ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(Client(narrow))
            client.begin(PLAIN, content_type, Content_Length=str(len(body)), X_Forwarded_For=first)
            client.send(body[:100])
        eventually(lambda: attempt(same) == (503, "too-many-uploads", "2"), "the share has no end")
        assert attempt(other)[0] == 200
    eventually(lambda: attempt(same)[0] == 200, "the places are not given back")


def test_the_last_slots_are_for_signed_in_users() -> None:
    slots = ConcurrencyLimit(share=2, most=4, for_users=1)
    with contextlib.ExitStack() as held:
        for name in "abc":
            held.enter_context(slots.slot(name, signed_in=False))
        assert slots.are_scarce
        with pytest.raises(TooManyUploads), slots.slot("d", signed_in=False):
            pass
        with slots.slot("user d", signed_in=True), pytest.raises(TooManyUploads), slots.slot("user e", signed_in=True):
            pass
    assert not slots.are_scarce


@pytest.mark.parametrize("busy", [False, True])
def test_clients_have_to_be_faster_while_slots_are_scarce(busy: bool) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(6):
            await asyncio.sleep(0.05)  # a slow client: the time is what is tested
            yield bytes(CLIENT_BUSY_MIN_BYTES_PER_S // 80)  # a quarter of what is wanted then

    async def run() -> int:
        return sum([len(chunk) async for chunk in enforce_min_rate(slow(), lambda: busy, idle_s=0.2)])

    if busy:
        with pytest.raises(ClientTooSlow):
            asyncio.run(run())
    else:
        assert asyncio.run(run()) > 0


# --- the URL --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PLAIN, RETRY])
@pytest.mark.parametrize("announced", [True, False], ids=["with a length", "chunked"])
@pytest.mark.parametrize(("url", "status"), [(b"https://example.com/a?b=c", 403), (b"nonsense", 400)])
def test_a_bad_url_is_refused_before_the_file_is_read(
    store: HostileStore, narrow: str, path: str, announced: bool, url: bytes, status: int
) -> None:
    body, content_type = form([('name="uploadUrl"', url), ('name="file"; filename="cat.jpg"', CONTENT)])
    head = body[: body.index(CONTENT) + 1000]
    with Client(narrow) as client:
        if announced:
            client.begin(path, content_type, Content_Length=str(len(body)))
            client.send(head)
        else:
            client.begin(path, content_type, Transfer_Encoding="chunked")
            client.send(b"%x\r\n%b\r\n" % (len(head), head))
        # The rest never comes.
        assert client.answer().status == status
    assert store.exchanges == []


# --- disk -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", SPOOLED, ids=str)
def test_files_that_wait_share_one_budget_of_disk(store: HostileStore, narrow: str, way: Way) -> None:
    url = signed(store.endpoint_url)
    answer = post(narrow, way.path, way.parts(url, CONTENT * 2))
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "too-many-uploads", "2")
    for _ in range(3):  # what has gone has left its room
        store.play(storing)
        assert post(narrow, way.path, way.parts(url, CONTENT)).status == 200


def test_a_file_that_streams_goes_on_without_a_copy_where_there_is_no_room(store: HostileStore, narrow: str) -> None:
    way = next(way for way in WAYS if way.streamed and way.retrying)
    url = signed(store.endpoint_url)
    store.play(storing)
    assert post(narrow, way.path, way.parts(url, LARGE)).status == 200
    store.play(resetting(4 * MIB), storing)
    assert post(narrow, way.path, way.parts(url, LARGE)).code == "upstream-unavailable"


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_without_a_temporary_directory_files_stream_and_others_are_told_to_wait(
    store: HostileStore, check_target: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: Way
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    store.play(storing)
    answer = post(check_target, way.path, way.parts(signed(store.endpoint_url), CONTENT))
    if way.streamed:
        assert answer.status == 200, answer.document
    else:
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "too-many-uploads", "2")


def test_storing_without_a_temporary_directory_says_so_too(
    store: HostileStore, check_target: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    store.play(*[lambda exchange: exchange.say(raw(500))] * 9)
    answer = post(check_target, STORE, [('name="file"; filename="cat.jpg"', CONTENT), ("name=folder", b"x")])
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "too-many-uploads", "2")
    assert store.exchanges == []
