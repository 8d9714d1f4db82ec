"""Whatever a client does: nothing is stored that it did not send whole, and nothing of it stays."""

import functools
import hashlib
import secrets
import threading
from collections.abc import Callable

import pytest

from image_upload.form_proxy import proxy
from image_upload.web import min_rate
from tests.faults.conftest import HASTY_S
from tests.faults.hostile import HostileStore, storing
from tests.faults.sending import FILE, URL, WAYS, Client, Way, every_way, form, post, signed
from tests.faults.watching import eventually

MIB = 1 << 20
CONTENT = secrets.token_bytes(2 * MIB + 7)
IDLE_S = 0.3
STREAMED = [way for way in WAYS if way.streamed]

every_streamed_way = pytest.mark.parametrize("way", STREAMED, ids=str)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients must send 1,000 bytes a second, and something every 0.3 s."""
    monkeypatch.setattr(
        proxy, "enforce_min_rate", functools.partial(min_rate.enforce_min_rate, idle_s=IDLE_S, min_bytes_per_s=1000)
    )


def nothing_stored(store: HostileStore) -> None:
    eventually(lambda: all(exchange.connection.fileno() == -1 for exchange in store.exchanges), "a connection is left")
    assert store.stored == []


@every_way
@pytest.mark.parametrize("cut", [0, 100, MIB, 2 * MIB])
def test_a_file_that_is_cut_off_is_not_stored(store: HostileStore, check_target: str, way: Way, cut: int) -> None:
    store.play(storing, storing)
    body, content_type = form(way.parts(signed(store.endpoint_url), CONTENT))
    with Client(check_target) as client:
        client.begin(way.path, content_type, Content_Length=str(len(body)))
        client.send(body[:cut])
        if cut >= MIB and way.streamed:
            eventually(lambda: bool(store.exchanges), "the file does not pass")
    nothing_stored(store)
    assert len(store.exchanges) <= 1


@every_way
@pytest.mark.usefixtures("impatient")
def test_a_client_that_falls_silent_is_sent_away(store: HostileStore, check_target: str, way: Way) -> None:
    store.play(storing, storing)
    body, content_type = form(way.parts(signed(store.endpoint_url), CONTENT))
    with Client(check_target) as client:
        client.begin(way.path, content_type, Content_Length=str(len(body)))
        client.send(body[:MIB])
        answer = client.answer()
    assert (answer.status, answer.code) == (408, "client-too-slow")
    assert IDLE_S <= answer.elapsed_s < IDLE_S + 2
    nothing_stored(store)


@every_way
@pytest.mark.usefixtures("impatient")
def test_a_client_that_drips_is_sent_away(store: HostileStore, check_target: str, way: Way) -> None:
    store.play(storing, storing)
    body, content_type = form(way.parts(signed(store.endpoint_url), CONTENT))
    over = threading.Event()

    def drip() -> None:
        for at in range(len(body)):
            if over.wait(0.05):
                return
            client.send(body[at : at + 1])

    with Client(check_target) as client:
        client.begin(way.path, content_type, Content_Length=str(len(body)))
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            answer = client.answer()
        finally:
            over.set()
            thread.join()
    assert (answer.status, answer.code) == (408, "client-too-slow")
    assert IDLE_S <= answer.elapsed_s < IDLE_S + 2
    nothing_stored(store)


@every_way
def test_a_client_that_stops_costs_no_more_than_the_deadline(store: HostileStore, hasty: str, way: Way) -> None:
    store.play(storing, storing)
    body, content_type = form(way.parts(signed(store.endpoint_url), CONTENT))
    with Client(hasty) as client:
        client.begin(way.path, content_type, Content_Length=str(len(body)))
        client.send(body[:MIB])
        answer = client.answer()
    assert (answer.status, answer.code) == (504, "upload-timed-out")
    assert HASTY_S <= answer.elapsed_s < HASTY_S + 2
    nothing_stored(store)


@every_way
@pytest.mark.parametrize("more", [1, 1000])
@pytest.mark.usefixtures("impatient")
def test_a_body_shorter_than_it_says_is_not_stored(store: HostileStore, check_target: str, way: Way, more: int) -> None:
    store.play(storing, storing)
    body, content_type = form(way.parts(signed(store.endpoint_url), CONTENT))
    with Client(check_target) as client:
        client.begin(way.path, content_type, Content_Length=str(len(body) + more))
        client.send(body)
        answer = client.answer()
    # Broken, or still incomplete when the client's time is over.
    assert (answer.status, answer.code) in {(400, "malformed-form"), (408, "client-too-slow")}, answer.document
    assert answer.elapsed_s < IDLE_S + 2
    nothing_stored(store)


@every_way
# The line break behind the closing boundary may be missing; its hyphens may not.
@pytest.mark.parametrize("less", [3, 1000, MIB])
def test_a_body_longer_than_it_says_is_not_stored(store: HostileStore, check_target: str, way: Way, less: int) -> None:
    store.play(storing, storing)
    body, content_type = form(way.parts(signed(store.endpoint_url), CONTENT))
    with Client(check_target) as client:
        client.begin(way.path, content_type, Content_Length=str(len(body) - less))
        client.send(body[: len(body) - less])
        answer = client.answer()
    assert (answer.status, answer.code) == (400, "malformed-form"), answer.document
    nothing_stored(store)


@every_streamed_way
def test_a_file_without_a_good_end_is_not_stored(store: HostileStore, check_target: str, way: Way) -> None:
    """Every byte of the announced length came, and then, in place of the closing boundary, something else."""
    store.play(storing, storing)
    body, content_type = form(way.parts(signed(store.endpoint_url), CONTENT))
    end = body.index(CONTENT) + len(CONTENT)
    with Client(check_target) as client:
        client.begin(way.path, content_type, Content_Length=str(len(body)))
        client.send(body[:end])
        # What has come is passed on at once, but for the last chunk, which may be the begin of a boundary.
        passed_on = len(CONTENT) - MIB
        eventually(
            lambda: bool(store.exchanges) and store.exchanges[0].received_bytes >= passed_on, "the file does not pass"
        )
        assert post(check_target, way.path, []).status == 422
        client.send(b"x" * (len(body) - end))
        answer = client.answer()
    assert (answer.status, answer.code) == (400, "malformed-form"), answer.document
    nothing_stored(store)


@every_way
def test_a_form_without_a_length_is_stored(store: HostileStore, check_target: str, way: Way) -> None:
    store.play(storing)
    body, content_type = form(way.parts(signed(store.endpoint_url), CONTENT))
    with Client(check_target) as client:
        client.begin(way.path, content_type, Transfer_Encoding="chunked")
        for start in range(0, len(body), 100_000):
            piece = body[start : start + 100_000]
            client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        client.send(b"0\r\n\r\n")
        answer = client.answer()
    assert answer.status == 200, answer.document
    assert store.stored == [hashlib.sha256(CONTENT).hexdigest()]


@every_way
def test_chunks_that_end_early_are_not_stored(store: HostileStore, check_target: str, way: Way) -> None:
    store.play(storing)
    body, content_type = form(way.parts(signed(store.endpoint_url), CONTENT))
    with Client(check_target) as client:
        client.begin(way.path, content_type, Transfer_Encoding="chunked")
        client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (MIB, body[:MIB]))
        answer = client.answer()
    assert (answer.status, answer.code) == (400, "malformed-form")
    nothing_stored(store)


Parts = Callable[[Way, str], list[tuple[str, bytes]]]


def two_files(way: Way, url: str) -> list[tuple[str, bytes]]:
    parts = way.parts(url, CONTENT)
    return [*parts, (FILE, CONTENT)]


def two_urls(way: Way, url: str) -> list[tuple[str, bytes]]:
    return [*way.parts(url, CONTENT), (URL, url.encode())]


def many_parts_behind(way: Way, url: str) -> list[tuple[str, bytes]]:
    return [*way.parts(url, CONTENT), *((f'name="f{number}"', b"") for number in range(10_000))]


def many_parts_before(way: Way, url: str) -> list[tuple[str, bytes]]:
    return [*((f'name="f{number}"', b"") for number in range(10_000)), *way.parts(url, CONTENT)]


def large_part_header(way: Way, url: str) -> list[tuple[str, bytes]]:
    return [(f"{head}\r\nX-Large: {'x' * 65_536}", content) for head, content in way.parts(url, CONTENT)]


def large_header_behind(way: Way, url: str) -> list[tuple[str, bytes]]:
    return [*way.parts(url, CONTENT), (f'name="more"\r\nX-Large: {"x" * 65_536}', b"")]


@every_way
@pytest.mark.parametrize(
    "parts", [two_files, two_urls, many_parts_behind, many_parts_before, large_part_header, large_header_behind]
)
def test_a_form_out_of_bounds_is_refused_and_not_stored(
    store: HostileStore, check_target: str, way: Way, parts: Parts
) -> None:
    store.play(storing, storing)
    answer = post(check_target, way.path, parts(way, signed(store.endpoint_url)))
    assert (answer.status, answer.code) == (400, "malformed-form"), answer.document
    assert answer.elapsed_s < 5
    nothing_stored(store)


@every_way
def test_fields_behind_the_file_do_no_harm(store: HostileStore, check_target: str, way: Way) -> None:
    """A streamed file needs to be the last part; the plain route says so, the retry route has kept a copy."""
    store.play(storing, storing)
    parts = [*way.parts(signed(store.endpoint_url), CONTENT), ('name="more"', b"x" * 100)]
    answer = post(check_target, way.path, parts)
    if way.streamed and not way.retrying:
        assert (answer.status, answer.code) == (400, "malformed-form")
        nothing_stored(store)
    else:
        assert answer.status == 200, answer.document
        assert store.stored == [hashlib.sha256(CONTENT).hexdigest()]


@every_way
def test_a_boundary_of_ten_kilobytes_is_refused(store: HostileStore, check_target: str, way: Way) -> None:
    body, content_type = form(way.parts(signed(store.endpoint_url), CONTENT), boundary="b" * 10_240)
    with Client(check_target) as client:
        client.begin(way.path, content_type, Content_Length=str(len(body)))
        client.send(body)
        answer = client.answer()
    assert (answer.status, answer.code) == (400, "malformed-form")
    assert store.exchanges == []


@every_way
def test_request_headers_of_60_kilobytes_do_no_harm(store: HostileStore, check_target: str, way: Way) -> None:
    store.play(storing)
    answer = post(check_target, way.path, way.parts(signed(store.endpoint_url), CONTENT), X_Large="x" * 60_000)
    assert answer.status == 200
    assert store.stored == [hashlib.sha256(CONTENT).hexdigest()]
    assert "x-large" not in store.exchanges[0].headers


@every_way
@pytest.mark.parametrize("spaces", ["image/jpeg ", "  image/jpeg", "image/jpeg\t"])
def test_spaces_around_the_type_do_no_harm(store: HostileStore, check_target: str, way: Way, spaces: str) -> None:
    store.play(storing, storing)
    parts = [
        (head.replace("Content-Type: image/jpeg", f"Content-Type: {spaces}"), content)
        for head, content in way.parts(signed(store.endpoint_url), CONTENT)
    ]
    answer = post(check_target, way.path, parts)
    assert answer.status in {200, 400}, answer.document
    assert len(store.stored) == (answer.status == 200)
    if answer.status == 200:
        assert store.exchanges[0].headers["content-type"] == "image/jpeg"
