"""Whatever a store does: the right answer, in time, and never `stored` for a file that is not."""

import hashlib
import secrets
import socket
import threading
from dataclasses import dataclass

import pytest

from local.embedded_s3 import EmbeddedS3
from tests.conftest import serving, settings_for
from tests.faults.conftest import HASTY_S, PATIENT_S
from tests.faults.hostile import (
    Act,
    Exchange,
    HostileStore,
    answering,
    answering_early,
    answering_early_and_resetting,
    denied_document,
    hostile_store,
    raw,
    resetting,
    stalling,
    stalling_after,
    storing,
    storing_then_resetting,
    talking,
)
from tests.faults.sending import (
    MAX_RETRIES,
    RETRY,
    THEIRS,
    WAYS,
    Answer,
    Client,
    Outcome,
    Way,
    every_way,
    form,
    post,
    signed,
)
from tests.faults.watching import eventually

MIB = 1 << 20
# Goes whole into the buffers between service and store.
SMALL = secrets.token_bytes(MIB + 7)
# Does not, by far.
LARGE = secrets.token_bytes(10 * MIB + 7)

QUICK_S = 5.0
RETRIES = 1


@dataclass(frozen=True)
class Fault:
    """What the store does to the first connection. The next one finds a good store, unless `always`."""

    act: Act
    plain: tuple[int, str | None]
    """The answer of the plain route."""
    again: bool = True
    """Whether the retry route tries again."""
    content: bytes = SMALL
    stores: bool = False


UNAVAILABLE = (502, "upstream-unavailable")
UNKNOWN = (502, "outcome-unknown")
STORED = (200, None)
DENIED = raw(403, body=denied_document())
ENDLESS_HEAD = b"HTTP/1.1 %d Whatever\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS_CHUNK = b"10000\r\n" + bytes(0x10000) + b"\r\n"

FAULTS = {
    "reset before the head": Fault(lambda exchange: exchange.reset(), UNAVAILABLE, content=LARGE),
    "reset after the head": Fault(resetting(0), UNAVAILABLE, content=LARGE),
    "reset in mid-file": Fault(resetting(MIB), UNAVAILABLE, content=LARGE),
    "reset after the last byte": Fault(resetting(), UNKNOWN),
    "denied before reading": Fault(answering_early(DENIED), (400, "upstream-refused"), again=False, content=LARGE),
    "denied in mid-file": Fault(answering_early(DENIED, MIB), (400, "upstream-refused"), again=False, content=LARGE),
    "503 before reading": Fault(answering_early(raw(503)), UNAVAILABLE, content=LARGE),
    "200 before reading, then reset": Fault(answering_early_and_resetting(raw(200)), UNAVAILABLE, content=LARGE),
    "200 in mid-file, then reset": Fault(answering_early_and_resetting(raw(200), MIB), UNAVAILABLE, content=LARGE),
    "half a header, then the end": Fault(answering(b"HTTP/1.1 200 OK\r\nContent-Le"), UNKNOWN),
    "another protocol": Fault(answering(b"SSH-2.0-OpenSSH_9.2\r\n"), UNKNOWN),
    "503": Fault(answering(raw(503)), UNAVAILABLE),
    "500 with a document": Fault(answering(raw(500, body=denied_document())), UNAVAILABLE),
    "503 without a length": Fault(answering(b"HTTP/1.1 503 Slow Down\r\n\r\nwait"), UNAVAILABLE),
    "403": Fault(answering(DENIED), (400, "upstream-refused"), again=False),
    "301": Fault(answering(raw(301, "Location: /elsewhere")), (400, "upstream-redirected"), again=False),
    "307": Fault(answering(raw(307, "Location: /elsewhere")), (400, "upstream-redirected"), again=False),
    "200, then reset": Fault(storing_then_resetting, STORED, again=False, stores=True),
    "an endless 200": Fault(talking(ENDLESS_HEAD % 200, ENDLESS_CHUNK, stores=True), STORED, again=False, stores=True),
    "an endless 503": Fault(talking(ENDLESS_HEAD % 503, ENDLESS_CHUNK), UNAVAILABLE),
    "an endless head": Fault(talking(b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n" * 1000), UNKNOWN),
    "a 200 of a gigabyte": Fault(
        talking(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", bytes(MIB), stores=True),
        STORED,
        again=False,
        stores=True,
    ),
    "a 403 of a gigabyte": Fault(
        talking(b"HTTP/1.1 403 No\r\nContent-Length: 1073741824\r\n\r\n", denied_document() * 1000),
        (400, "upstream-refused"),
        again=False,
    ),
}


def expected(fault: Fault, way: Way) -> Outcome:
    if way.retrying and fault.again:
        return Outcome(200, None, 2, 2, 1)
    status, code = fault.plain
    # The plain route's success says nothing of attempts.
    attempts = None if code is None and not way.retrying else 1
    return Outcome(status, code, attempts, 1, int(fault.stores))


def seen(answer: Answer, store: HostileStore) -> Outcome:
    return Outcome(answer.status, answer.code, answer.attempts, len(store.exchanges), len(store.stored))


@every_way
@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_its_answer(store: HostileStore, check_target: str, name: str, way: Way) -> None:
    fault = FAULTS[name]
    store.play(fault.act, storing)
    answer = post(check_target, way.path, way.parts(signed(store.endpoint_url), fault.content, RETRIES))
    assert seen(answer, store) == expected(fault, way), answer.document
    assert answer.elapsed_s < QUICK_S
    if answer.status == 200:
        assert store.stored == [hashlib.sha256(fault.content).hexdigest()]
        assert answer.document["file_size"] == len(fault.content)
    # Of a gigabyte and of what has no end, only the beginning was taken.
    for exchange in store.exchanges:
        eventually(lambda exchange=exchange: exchange.connection.fileno() == -1, "a connection is left")  # type: ignore[misc]  # mypy infers no lambda's default
        assert exchange.said_bytes < 32 * MIB


every_stall = pytest.mark.parametrize(
    "act",
    [
        stalling,
        stalling_after(up_to_bytes=MIB),
        stalling_after(),
        stalling_after(b"HTTP/1.1 200 OK\r\nContent-Le"),
    ],
    ids=["never reads", "stalls in mid-file", "never answers", "half a header"],
)


@pytest.mark.parametrize("way", [way for way in WAYS if not way.retrying], ids=str)
@every_stall
def test_a_store_that_stalls_costs_no_more_than_the_deadline(
    store: HostileStore, hasty: str, act: Act, way: Way
) -> None:
    store.play(act, storing)
    answer = post(hasty, way.path, way.parts(signed(store.endpoint_url), LARGE))
    assert seen(answer, store) == Outcome(504, "upload-timed-out", 1, 1, 0), answer.document
    assert HASTY_S <= answer.elapsed_s < HASTY_S + 2


# Each waits for five seconds.
@pytest.mark.full
@pytest.mark.parametrize("way", [way for way in WAYS if way.retrying], ids=str)
@pytest.mark.parametrize("content", [SMALL[: MIB // 2], LARGE], ids=["short", "long"])
@every_stall
def test_an_attempt_that_stands_still_leaves_time_for_another(
    store: HostileStore, check_target: str, act: Act, content: bytes, way: Way
) -> None:
    store.play(act, storing)
    answer = post(check_target, way.path, way.parts(signed(store.endpoint_url), content, RETRIES))
    assert seen(answer, store) == Outcome(200, None, 2, 2, 1), answer.document
    assert store.stored == [hashlib.sha256(content).hexdigest()]
    assert answer.elapsed_s < PATIENT_S


@every_way
@pytest.mark.parametrize("content", [SMALL[: MIB // 2], LARGE], ids=["short", "long"])
def test_a_flood_of_interim_answers_is_cut(store: HostileStore, check_target: str, content: bytes, way: Way) -> None:
    store.play(talking(b"", b"HTTP/1.1 102 Wait\r\n\r\n" * 1000), storing)
    answer = post(check_target, way.path, way.parts(signed(store.endpoint_url), content, RETRIES))
    again = Outcome(200, None, 2, 2, 1)
    assert seen(answer, store) == (again if way.retrying else Outcome(502, "outcome-unknown", 1, 1, 0))
    assert answer.elapsed_s < QUICK_S
    assert store.exchanges[0].said_bytes < 32 * MIB


@every_way
@pytest.mark.parametrize("after_bytes", [0, MIB])
@pytest.mark.parametrize("content", [SMALL[: MIB // 2], LARGE], ids=["short", "long"])
def test_a_refusal_is_heard_although_the_connection_breaks(
    store: HostileStore, check_target: str, content: bytes, after_bytes: int, way: Way
) -> None:
    """The store says 403 and resets: what still leaves for it fails before the answer is read."""
    for _ in range(5):
        store.play(answering_early_and_resetting(DENIED, min(after_bytes, len(content) // 2)), storing)
        answer = post(check_target, way.path, way.parts(signed(store.endpoint_url), content, RETRIES))
        assert seen(answer, store) == Outcome(400, "upstream-refused", 1, 1, 0), answer.document
        assert (answer.document["upstream_status"], answer.document["upstream_code"]) == (403, "AccessDenied")


@every_way
def test_a_store_that_wants_to_be_asked_gets_no_byte_of_a_file_that_it_refuses(s3: EmbeddedS3, way: Way) -> None:
    def refusing(exchange: Exchange) -> None:
        exchange.read_head()
        assert exchange.headers["expect"] == "100-continue"
        exchange.say(DENIED)
        exchange.read_body()

    def asking(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.store(raw(200))

    def deaf(exchange: Exchange) -> None:
        exchange.read_head()
        if "expect" in exchange.headers:
            exchange.say(raw(417))
        else:
            exchange.store(raw(200))

    with hostile_store() as store:
        settings = settings_for(s3, AWS_S3_ENDPOINT_URL=store.endpoint_url, PROXY_ALLOWED_BUCKETS=THEIRS)
        with serving(settings) as service:
            for acts, outcome in (
                ((refusing,), Outcome(400, "upstream-refused", 1, 1, 0)),
                ((asking,), Outcome(200, None, 1 if way.retrying else None, 1, 1)),
                ((deaf, deaf), Outcome(200, None, 1 if way.retrying else None, 2, 1)),
                # Asked once, and never again.
                ((deaf,), Outcome(200, None, 1 if way.retrying else None, 1, 1)),
            ):
                store.play(*acts)
                answer = post(service, way.path, way.parts(signed(store.endpoint_url), LARGE, RETRIES))
                assert seen(answer, store) == outcome, answer.document
                assert outcome.status == 200 or store.exchanges[0].received_bytes == 0


@every_way
def test_a_closed_port_is_unavailable_storage(s3: EmbeddedS3, way: Way) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        endpoint = f"http://127.0.0.1:{gone.getsockname()[1]}"
    settings = settings_for(s3, AWS_S3_ENDPOINT_URL=endpoint, PROXY_ALLOWED_BUCKETS=THEIRS)
    with serving(settings) as service:
        answer = post(service, way.path, way.parts(signed(endpoint), SMALL, RETRIES))
    attempts = RETRIES + 1 if way.retrying else 1
    assert (answer.status, answer.code, answer.attempts) == (502, "upstream-unavailable", attempts)
    assert answer.elapsed_s < QUICK_S


@every_way
@pytest.mark.parametrize("retries", [0, 1, 3])
@pytest.mark.parametrize(
    "act", [answering(raw(503)), resetting(0), answering_early(raw(503))], ids=["503", "reset", "early 503"]
)
def test_there_are_never_more_attempts_than_asked_for(
    store: HostileStore, check_target: str, act: Act, retries: int, way: Way
) -> None:
    store.play(*[act] * 20)
    answer = post(check_target, way.path, way.parts(signed(store.endpoint_url), LARGE, retries))
    attempts = retries + 1 if way.retrying else 1
    assert seen(answer, store) == Outcome(502, "upstream-unavailable", attempts, attempts, 0)


@every_way
def test_the_pause_that_the_store_asks_for_is_kept(store: HostileStore, check_target: str, way: Way) -> None:
    store.play(answering(raw(503, "Retry-After: 1")), storing)
    answer = post(check_target, way.path, way.parts(signed(store.endpoint_url), SMALL, RETRIES))
    assert seen(answer, store) == expected(FAULTS["503"], way)
    if way.retrying:
        assert 1 <= answer.elapsed_s < QUICK_S
    else:
        assert answer.elapsed_s < 1


@every_way
def test_a_pause_beyond_the_deadline_is_not_begun(store: HostileStore, hasty: str, way: Way) -> None:
    store.play(answering(raw(503, "Retry-After: 20")), storing)
    answer = post(hasty, way.path, way.parts(signed(store.endpoint_url), SMALL, RETRIES))
    assert seen(answer, store) == Outcome(502, "upstream-unavailable", 1, 1, 0)


@pytest.mark.parametrize("way", [way for way in WAYS if way.streamed], ids=str)
@pytest.mark.parametrize("left_bytes", [1, 1000])
def test_success_before_the_last_bytes_is_no_success(
    store: HostileStore, check_target: str, way: Way, left_bytes: int
) -> None:
    """The store says 200 while the client still holds the end of the file."""
    say_it = threading.Event()
    # The service may hold back a little: a chunk, or what looks like the begin of a boundary.
    passed_on = len(LARGE) - MIB

    def claiming(exchange: Exchange) -> None:
        exchange.read_body(passed_on)
        say_it.wait(QUICK_S)
        exchange.say(raw(200))
        exchange.read_body()

    store.play(claiming, storing)
    body, content_type = form(way.parts(signed(store.endpoint_url), LARGE, RETRIES))
    end = body.index(LARGE) + len(LARGE) - left_bytes
    with Client(check_target) as client:
        client.begin(way.path, content_type, Content_Length=str(len(body)))
        client.send(body[:end])
        eventually(lambda: bool(store.exchanges) and store.exchanges[0].received_bytes >= passed_on, "it does not pass")
        # Once it has answered these, the service has read what lay in its sockets before.
        for _ in range(20):
            assert post(check_target, way.path, []).status == 422
        say_it.set()
        eventually(lambda: store.exchanges[0].said_bytes > 0, "the store said nothing")
        assert post(check_target, way.path, []).status == 422
        client.send(body[end:])
        answer = client.answer()
    if way.retrying:
        assert seen(answer, store) == Outcome(200, None, 2, 2, 1)
    else:
        assert seen(answer, store) == Outcome(502, "upstream-unavailable", 1, 1, 0), answer.document


@pytest.mark.parametrize("way", [way for way in WAYS if way.streamed], ids=str)
def test_a_connection_that_breaks_while_the_client_pauses_is_a_broken_one(
    store: HostileStore, check_target: str, way: Way
) -> None:
    store.play(resetting(1000), storing)
    body, content_type = form(way.parts(signed(store.endpoint_url), LARGE, RETRIES))
    with Client(check_target) as client:
        client.begin(way.path, content_type, Content_Length=str(len(body)))
        client.send(body[:MIB])
        eventually(lambda: bool(store.exchanges) and store.exchanges[0].connection.fileno() == -1, "no reset")
        for start in range(MIB, len(body), MIB):
            client.send(body[start : start + MIB])
        answer = client.answer()
    if way.retrying:
        assert seen(answer, store) == Outcome(200, None, 2, 2, 1)
    else:
        assert seen(answer, store) == Outcome(502, "upstream-unavailable", 1, 1, 0), answer.document


@pytest.mark.parametrize("way", [way for way in WAYS if way.streamed], ids=str)
def test_nonsense_from_a_store_that_does_not_read_is_seen_at_once(
    store: HostileStore, check_target: str, way: Way
) -> None:
    def babbling(exchange: Exchange) -> None:
        exchange.read_body(MIB)
        # Long enough for the service to wait for room.
        exchange.over.wait(0.3)
        exchange.say(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        exchange.stall()

    store.play(babbling, storing)
    answer = post(check_target, way.path, way.parts(signed(store.endpoint_url), LARGE, RETRIES))
    assert seen(answer, store) == expected(FAULTS["503"], way), answer.document
    assert answer.elapsed_s < QUICK_S


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("fails", [False, True])
def test_max_retries_behind_the_file_counts_as_well(
    store: HostileStore, check_target: str, retries: int, fails: bool
) -> None:
    store.play(*[answering(raw(503)) if fails else storing] * 20)
    parts = [*WAYS[0].parts(signed(store.endpoint_url), SMALL), (MAX_RETRIES, str(retries).encode())]
    answer = post(check_target, RETRY, parts)
    assert (answer.status, answer.code) == (UNAVAILABLE if fails else STORED), answer.document
    # The attempt that was broken off when the form turned out longer is none of the client's.
    assert answer.attempts is not None
    assert 1 <= answer.attempts <= retries + 1
    whole = [exchange for exchange in store.exchanges if exchange.announced_bytes == len(SMALL)]
    assert len(whole) == (retries + 1 if fails else 1)
