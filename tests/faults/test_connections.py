"""What a client may do to a connection before and after a route has seen its request."""

import asyncio
import contextlib
import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from image_upload.app import create_app
from image_upload.limits import HEAD_FIELDS_MAX, HEAD_MAX_BYTES, MIB, UPLOADS_AT_ONCE
from image_upload.s3.bucket import Bucket
from image_upload.web import http_protocol, routing
from image_upload.web.server import Configuration, Server
from local.embedded_s3 import EmbeddedS3
from local.ports import claim_port
from tests.conftest import Start, settings_for
from tests.faults.sending import PLAIN, Client, form
from tests.faults.watching import eventually

PATIENT_S = 20.0
HASTY_S = 0.3
HOST = b"Host: x\r\n"
SPEC = json.dumps({"filename": "cat.jpg", "contentType": "image/jpeg", "size": 10}).encode()
CHUNKED = b"POST /uploads HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


class Heard(NamedTuple):
    """What came back on a connection until its end."""

    text: bytes
    sent_all: bool

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", self.text)]

    @property
    def document(self) -> Any:
        return json.loads(self.text.rpartition(b"\r\n\r\n")[2])


def talk(service: str, *pieces: bytes) -> Heard:
    """Send all, then read to the end: as plain clients do."""
    with connected(service) as connection:
        sent_all = True
        try:
            for piece in pieces:
                connection.sendall(piece)
        except OSError:
            sent_all = False
        return Heard(read_all(connection), sent_all)


def connected(service: str) -> socket.socket:
    parts = urlsplit(service)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENT_S)


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def post(*fields: bytes, path: bytes = b"/uploads", body: bytes = SPEC) -> bytes:
    head = [b"POST %b HTTP/1.1" % path, b"Host: x", b"Content-Type: application/json", *fields]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])


@contextlib.contextmanager
def running(app: Any, **options: Any) -> Iterator[tuple[str, Server, threading.Thread]]:
    """An app on the server of a deployment, which waits for its requests as long as they take."""
    server = Server(Configuration(app, **options))
    with claim_port("127.0.0.1", 0, "PORT") as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", server, thread
        finally:
            server.should_exit = True
            thread.join(PATIENT_S)
            assert not thread.is_alive(), "the server does not end"


# --- heads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET /errors HTTP/1.1\r\n" + HOST + b"X: " + b"a" * HEAD_MAX_BYTES],
        [b"GET /errors HTTP/1.1\r\n" + HOST, *[b"X: " + b"a" * 1000 + b"\r\n"] * 200],
        [b"GET /errors HTTP/1.1\r\n" + HOST + b"X: a\r\n" * (HEAD_FIELDS_MAX + 1)],
        [b"GET /" + b"a" * HEAD_MAX_BYTES],
        [b"\r\n" * HEAD_MAX_BYTES],
        [CHUNKED, b"2\r\n{}\r\n0\r\nX: " + b"a" * 4 * HEAD_MAX_BYTES],
        [CHUNKED, b"0\r\n", *[b"X: " + b"a" * 1000 + b"\r\n"] * 1000],
        [CHUNKED, b"2;" + b"a" * 4 * HEAD_MAX_BYTES],
    ],
    ids=["field", "fields", "count", "request-line", "blank-lines", "trailer", "trailers", "chunk-extension"],
)
def test_a_head_or_framing_without_end_is_refused(service: str, pieces: list[bytes]) -> None:
    heard = talk(service, *pieces)
    assert heard.statuses == [431]
    assert heard.document["code"] == "head-too-large"
    assert b"connection: close" in heard.text


def test_a_head_at_the_limit_is_answered(service: str) -> None:
    begin, end = b"GET /errors/not-found HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: ", b"\r\n\r\n"
    assert talk(service, begin + b"a" * (HEAD_MAX_BYTES - len(begin) - len(end)) + end).statuses == [200]


def test_a_field_of_a_trailer_reaches_no_route(start: Start) -> None:
    """Here a token that is none, which would be refused."""
    trailer = b"0\r\nAuthorization: Bearer x\r\n\r\n"
    heard = talk(start(), CHUNKED + b"%x\r\n%b\r\n" % (len(SPEC), SPEC) + trailer + post(b"Connection: close"))
    assert heard.statuses == [200, 200]


@pytest.mark.parametrize("line", [b"CONNECT a:443 HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n", b"\x16\x03\x01\x00\x05"])
def test_what_is_not_http_1_is_refused_in_words(service: str, line: bytes) -> None:
    heard = talk(service, line + HOST + b"\r\n")
    assert (heard.statuses, heard.document["code"]) == ([400], "malformed-request")


# --- upgrades -------------------------------------------------------------------------------------

H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")


def test_a_wish_for_another_protocol_is_ignored_and_the_body_is_read(service: str) -> None:
    heard = talk(service, post(*H2C) * 3 + post(b"Connection: close, Upgrade", b"Upgrade: h2c"))
    assert heard.statuses == [200] * 4


def test_a_body_behind_an_upgrade_may_come_in_pieces(service: str) -> None:
    whole = post(b"Connection: Upgrade, close", b"Upgrade: h2c")
    with connected(service) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(whole)):
            connection.sendall(whole[at : at + 1])
        assert Heard(read_all(connection), sent_all=True).statuses == [200]


def test_a_websocket_is_answered_like_any_other_request(service: str) -> None:
    asked = b"GET /%b HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert talk(service, asked % b"errors").statuses == [200]
    assert talk(service, asked % b"ws").statuses == [404]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_curl_that_asks_for_http_2_posts(service: str) -> None:
    features = subprocess.run(["curl", "--version"], capture_output=True, check=True, text=True).stdout
    if "HTTP2" not in features:
        pytest.skip("this curl knows no HTTP/2")
    asked = ["-H", "Content-Type: application/json", "-d", SPEC.decode(), f"{service}/uploads"]
    ran = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "--http2", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", *asked],
        capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert (ran.stdout, ran.stderr) == ("200 1.1", "")


# --- time -----------------------------------------------------------------------------------------


@pytest.fixture
def hasty_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", HASTY_S)


@pytest.mark.usefixtures("hasty_heads")
def test_a_connection_that_says_nothing_is_closed(start: Start) -> None:
    assert talk(start()).text == b""


@pytest.mark.usefixtures("hasty_heads")
@pytest.mark.parametrize("before", [b"", b"GET /errors/not-found HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["first", "later"])
def test_half_a_head_is_told_that_it_is_late(start: Start, before: bytes) -> None:
    heard = talk(start(), before + b"GET / HTTP/1.1\r\nHo")
    assert heard.statuses == ([200, 408] if before else [408])


@pytest.mark.usefixtures("hasty_heads")
def test_a_head_that_drips_is_told_that_it_is_late(start: Start) -> None:
    with connected(start()) as connection:
        over = threading.Event()

        def drip() -> None:
            while not over.wait(0.02):
                with contextlib.suppress(OSError):
                    connection.sendall(b"\r\n")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            heard = Heard(read_all(connection), sent_all=True)
        finally:
            over.set()
            thread.join()
    assert (heard.statuses, heard.document["code"]) == ([408], "client-too-slow")


def test_half_a_json_body_is_told_that_it_is_late_and_holds_no_end_up(
    s3: EmbeddedS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "BODY_TIMEOUT_S", HASTY_S)
    monkeypatch.setattr(http_protocol, "LINGER_ENDING_S", HASTY_S)
    with running(create_app(settings_for(s3))) as (url, server, thread), connected(url) as connection:
        connection.sendall(post()[:-10])
        eventually(lambda: bool(server.server_state.tasks), "the request does not begin")
        server.should_exit = True
        thread.join(PATIENT_S)
        assert not thread.is_alive(), "the server does not end"
        heard = Heard(read_all(connection), sent_all=True)
    assert (heard.statuses, heard.document["code"]) == ([408], "client-too-slow")


def test_the_rest_of_a_body_that_drips_behind_its_answer_ends(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "LINGER_S", HASTY_S)
    with connected(start()) as connection:
        connection.sendall(post(path=b"/nothing", body=b"x" * 1000)[:-900])
        eventually(lambda: connection.recv(1) == b"H", "no answer")
        over = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not over.wait(0.02):
                    connection.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with contextlib.suppress(ConnectionResetError):
                read_all(connection)
        finally:
            over.set()
            thread.join()


def test_a_client_that_does_not_read_its_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "ANSWER_STALL_S", HASTY_S)
    block = bytes(MIB)

    async def app(scope: Any, _: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _number in range(64):
                await send({"type": "http.response.body", "body": block, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    with running(app, lifespan="off") as (url, server, _), connected(url) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: server.server_state.total_requests == 0 and bool(server.server_state.connections), "none")
        eventually(lambda: not server.server_state.connections, "the connection stays", within_s=PATIENT_S)


# --- answers that do not wait for the body --------------------------------------------------------

CLIENTS = 200
LARGE = bytes(2 * MIB)


def all_at_once(service: str, request: bytes) -> set[tuple[tuple[int, ...], str, bool]]:
    """What so many clients hear, each of which sends all before it reads."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        heard = list(pool.map(lambda _: talk(service, request), range(CLIENTS)))
    return {(tuple(each.statuses), each.document["code"], each.sent_all) for each in heard}


@pytest.mark.parametrize(
    "expects", [(), pytest.param((b"Expect: 100-continue",), marks=pytest.mark.full)], ids=["", "expect"]
)
def test_every_client_that_sends_before_it_reads_gets_its_refusal(start: Start, expects: tuple[bytes, ...]) -> None:
    service = start(AUTH_REQUIRED="true")
    without_token = post(*expects, path=b"/api/v1/s3/upload", body=LARGE)
    assert all_at_once(service, without_token) == {((401,), "token-missing", True)}
    too_large = post(*expects, body=LARGE)
    assert all_at_once(service, too_large) == {((413,), "body-too-large", True)}


@pytest.mark.full
def test_every_client_for_whom_there_is_no_place_gets_its_refusal(start: Start) -> None:
    service = start()
    body, content_type = form([('name="file"; filename="cat.jpg"', LARGE)])
    request = (
        b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
        % (PLAIN.encode(), content_type.encode(), len(body))
    ) + body
    with contextlib.ExitStack() as stack:
        for _ in range(UPLOADS_AT_ONCE):
            client = stack.enter_context(Client(service))
            client.begin(PLAIN, content_type, Content_Length=str(len(body)))
            client.send(body[:100])
        eventually(lambda: talk(service, request).statuses == [503], "there is still a place", within_s=PATIENT_S)
        assert all_at_once(service, request) == {((503,), "too-many-uploads", True)}


def test_a_connection_is_kept_where_a_short_body_follows_its_answer(start: Start) -> None:
    refused = post(path=b"/nothing")
    with connected(start()) as connection:
        connection.sendall(refused[: -len(SPEC)])
        answer = b""
        while b"request_id" not in answer:
            answer += connection.recv(65_536)
        connection.sendall(SPEC + post(b"Connection: close"))
        assert Heard(read_all(connection), sent_all=True).statuses == [200]


# --- how many -------------------------------------------------------------------------------------


def test_a_new_connection_takes_the_place_of_the_one_that_is_idle_longest(
    s3: EmbeddedS3, caplog: pytest.LogCaptureFixture
) -> None:
    with running(create_app(settings_for(s3)), max_connections=4) as (url, server, _), contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connected(url)) for _ in range(4)]
        eventually(lambda: len(server.server_state.connections) == 4, "not all are accepted")
        with contextlib.suppress(ConnectionResetError):
            assert talk(url, post(b"Connection: close")).statuses == [200]
            assert silent[0].recv(1) == b""
    lines = [record for record in caplog.records if record.getMessage() == "connection limit reached"]
    assert len(lines) == 1


def test_where_every_connection_works_a_new_one_is_told_to_come_again(s3: EmbeddedS3) -> None:
    with running(create_app(settings_for(s3)), max_connections=4) as (url, server, _), contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connected(url)).sendall(post()[:-10])
        eventually(lambda: len(server.server_state.tasks) == 4, "not all work")
        with ThreadPoolExecutor(8) as pool:
            for heard in pool.map(lambda _: talk(url, post(body=LARGE)), range(8)):
                assert (heard.statuses, heard.document["code"]) == ([503], "too-many-connections")
                assert b"retry-after: 2\r\n" in heard.text


# --- health and paths -----------------------------------------------------------------------------


def test_health_under_load_asks_s3_once(s3: EmbeddedS3) -> None:
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async def ask() -> set[str]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        bucket = Bucket(settings_for(s3, AWS_S3_ENDPOINT_URL=f"http://127.0.0.1:{port}").storage)
        states = set(await asyncio.gather(*(bucket.state() for _ in range(50))))
        await bucket.aclose()
        server.close()
        return {str(state) for state in states}

    assert asyncio.run(ask()) == {"ok"}
    assert asked == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/uploads/", 200),
        ("POST", "/images/presigned-url/", 200),
        ("GET", "/errors/", 200),
        ("GET", "/s3/params/?filename=a.jpg&type=image/jpeg", 200),
        ("GET", "/uploads//", 404),
        ("GET", "/nothing/", 404),
        ("PUT", "/uploads/", 405),
    ],
)
def test_a_slash_at_the_end_of_a_path_makes_no_difference_and_no_redirect(
    service: str, web: httpx.Client, method: str, path: str, status: int
) -> None:
    fields = json.loads(SPEC) if path.startswith("/uploads") else {"content_type": "image/jpeg"}
    response = web.request(method, f"{service}{path}", json=fields if method == "POST" else None)
    assert response.status_code == status, response.text
    assert "location" not in response.headers
