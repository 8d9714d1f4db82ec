"""A client that reads its answers keeps its connection, and one that asks for several answers at once gets them all."""

import asyncio
import http.client
import itertools
import re
import select
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from image_upload.limits import HEAD_MAX_BYTES, PIPELINED_MAX
from image_upload.web import server as web_server
from image_upload.web.http_protocol import BoundedHttpProtocol
from tests.faults.test_connections import PATIENT_S, Heard, connected, read_all, running, talk
from tests.faults.watching import eventually

CHUNKED = b"Transfer-Encoding: chunked"


async def counting(scope: Any, receive: Any, send: Any) -> None:
    """An app that answers with the length of the body. `/early` does not read it, and `/silent` says 204 or 304."""
    if scope["type"] != "http":
        return
    length, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    status = {"/204": 204, "/304": 304}.get(scope["path"], 200)
    body = b"%d" % length if status == 200 else b""
    headers = [(b"content-length", b"%d" % len(body))] if body else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def counter() -> Iterator[str]:
    """Its URL."""
    with running(counting, lifespan="off") as (url, _, _):
        yield url


def request(method: bytes, path: bytes, body: bytes, *fields: bytes) -> bytes:
    if CHUNKED in fields:
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    elif method == b"POST":
        fields += (b"Content-Length: %d" % len(body),)
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, path), b"Host: x", *fields, b"", body])


class Answers:
    """The answers on a connection, one after another."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rb")

    def next(self) -> tuple[int, bytes, bool]:
        """Status, body, and whether the connection ends behind it."""
        status = int(self._file.readline().split()[1])
        fields = dict(line.lower().rstrip().split(b": ", 1) for line in iter(self._file.readline, b"\r\n"))
        body = self._file.read(int(fields.get(b"content-length", b"0")))
        return status, body, fields.get(b"connection") == b"close"


@pytest.mark.parametrize("apart", [False, pytest.param(True, marks=pytest.mark.full)], ids=["at-once", "head-first"])
@pytest.mark.parametrize("field", [b"X: x", CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("length", [pytest.param(0, marks=pytest.mark.full), 1, 100_000])
def test_five_hundred_requests_one_after_another_keep_their_connection(
    counter: str, length: int, field: bytes, apart: bool
) -> None:
    with connected(counter) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = Answers(connection)
        whole = request(b"POST", b"/", bytes(length), field)
        head_bytes = whole.index(b"\r\n\r\n") + 4
        for number in range(500):
            if number % 10 == 0:
                connection.sendall(request(b"GET", b"/", b""))
                assert answers.next() == (200, b"0", False)
            if apart:
                connection.sendall(whole[:head_bytes])
                connection.sendall(whole[head_bytes:])
            else:
                connection.sendall(whole)
            assert answers.next() == (200, b"%d" % length, False)


def test_a_short_body_that_was_not_waited_for_keeps_the_connection_and_a_long_one_says_that_it_does_not(
    counter: str,
) -> None:
    with connected(counter) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = Answers(connection)
        for _ in range(100):
            whole = request(b"POST", b"/early", bytes(1000))
            connection.sendall(whole[:-1000])
            assert answers.next() == (200, b"0", False)
            connection.sendall(whole[-1000:])
        connection.sendall(request(b"POST", b"/early", bytes(1_000_000))[:1000])
        assert answers.next() == (200, b"0", True)


KINDS = [(b"GET", 0, b"X: x"), (b"POST", 0, b"X: x"), (b"POST", 1, CHUNKED), (b"POST", 30, b"X: x")]


def mixed(number: int) -> Iterator[tuple[bytes, int, bytes]]:
    """So many requests: method, length of the body, and a field."""
    return itertools.islice(itertools.cycle(KINDS), number)


@pytest.mark.parametrize("number", [PIPELINED_MAX + 1, 2000])
@pytest.mark.parametrize("piece_bytes", [None, 37, 4099], ids=["at-once", "37", "4099"])
def test_requests_that_are_sent_at_once_are_all_answered_in_order(
    counter: str, number: int, piece_bytes: int | None
) -> None:
    each = [request(method, b"/", bytes(length), field) for method, length, field in mixed(number)]
    whole = b"".join([*each, request(b"GET", b"/", b"", b"Connection: close")])
    step = piece_bytes or len(whole)
    heard = talk(counter, *(whole[at : at + step] for at in range(0, len(whole), step)))
    bodies = [int(body) for body in re.findall(rb"\r\n\r\n(\d+)", heard.text)]
    assert bodies == [*(length for _, length, _ in mixed(number)), 0]


MOST_BYTES = 50_000_000


def test_no_more_requests_wait_than_may_and_the_socket_is_not_read_meanwhile() -> None:
    """Here more of them than the buffers of two sockets hold."""
    under_way, go_on = asyncio.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    longest = 0

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        nonlocal longest
        if scope["type"] != "http":
            return
        (protocol,) = server.server_state.connections
        assert isinstance(protocol, BoundedHttpProtocol)
        longest = max(longest, len(protocol.pipeline))
        if not under_way.is_set():
            loops.append(asyncio.get_running_loop())
            under_way.set()
            # As a route that streams does: it listens for the client's end, and so asks for more to be read.
            await receive()
            listening = asyncio.create_task(receive())
            await go_on.wait()
            listening.cancel()
        await counting(scope, receive, send)

    one = request(b"GET", b"/early", b"", b"X: " + b"x" * 1000)
    sent = 0
    with running(waiting, lifespan="off") as (url, server, _), connected(url) as connection:
        connection.setblocking(False)
        # Until nothing can be sent for a while.
        while sent < MOST_BYTES and select.select([], [connection], [], 0.5)[1]:
            sent += connection.send(one * 100)
        assert sent < MOST_BYTES, "the socket is read without end"
        eventually(under_way.is_set, "the first request does not begin")
        loops[0].call_soon_threadsafe(go_on.set)
        connection.settimeout(PATIENT_S)
        answers = Answers(connection)
        for _ in range(sent // len(one)):
            assert answers.next() == (200, b"0", False)
    assert longest <= PIPELINED_MAX + 1


def test_a_body_that_is_announced_behind_other_requests_is_read_by_its_own_app(counter: str) -> None:
    whole = request(b"GET", b"/", b"") * PIPELINED_MAX + request(b"POST", b"/", bytes(1_000_000))
    heard = talk(counter, whole + request(b"POST", b"/", bytes(10), b"Connection: close"))
    assert re.findall(rb"\r\n\r\n(\d+)", heard.text) == [b"0"] * PIPELINED_MAX + [b"1000000", b"10"]


def test_the_requests_before_a_broken_one_are_answered(counter: str) -> None:
    broken = [b"nonsense\r\n\r\n", b"GET /" + b"a" * HEAD_MAX_BYTES, b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 200]
    for each in broken:
        heard = talk(counter, request(b"GET", b"/", b"") * 3 + each)
        assert heard.statuses[:3] == [200] * 3


def test_a_slow_answer_behind_an_early_one_is_not_taken_for_an_idle_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of a body comes with the next request, which takes longer than a connection may be idle."""
    monkeypatch.setattr(web_server, "KEEP_ALIVE_S", 0.1)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") == "/":
            await asyncio.sleep(0.5)  # the request is under way meanwhile
        await counting(scope, receive, send)

    with running(slow, lifespan="off") as (url, _, _), connected(url) as connection:
        early = request(b"POST", b"/early", bytes(10))
        connection.sendall(early[:-10])
        answers = Answers(connection)
        assert answers.next()[0] == 200
        connection.sendall(early[-10:] + request(b"GET", b"/", b""))
        assert answers.next() == (200, b"0", False)


def test_a_connection_outlives_the_idle_time_of_a_load_balancer() -> None:
    """AWS's have 60 s: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html."""
    with running(counting, lifespan="off") as (_, server, _):
        assert server.config.timeout_keep_alive > 60


# --- clients --------------------------------------------------------------------------------------


def test_python_s_client_keeps_its_connection(counter: str) -> None:
    client = http.client.HTTPConnection(counter.removeprefix("http://"), timeout=PATIENT_S)
    sockets = set()
    for method, path, body, status in (
        ("GET", "/", None, 200),
        ("HEAD", "/", None, 200),
        ("POST", "/", b"x" * 100_000, 200),
        ("POST", "/", iter([b"x", b"y"]), 200),
        ("GET", "/204", None, 204),
        ("GET", "/304", None, 304),
        ("DELETE", "/", None, 200),
    ):
        client.request(method, path, body)
        answer = client.getresponse()
        assert answer.status == status
        answer.read()
        assert client.sock is not None, f"closed after {method} {path}"
        sockets.add(client.sock.getsockname())
    assert len(sockets) == 1
    client.request("GET", "/", headers={"Connection": "close"})
    answer = client.getresponse()
    assert answer.getheader("connection") == "close"
    assert answer.read() == b"0"
    assert client.sock is None


def test_httpx_keeps_its_connection(counter: str) -> None:
    with httpx.Client(trust_env=False, timeout=PATIENT_S) as client:
        streams = {
            id(answer.extensions["network_stream"].get_extra_info("socket"))
            for answer in (
                *(client.post(counter, content=bytes(size)) for size in (0, 1, 100_000)),
                client.post(counter, content=iter([b"x", b"y"])),
                client.head(counter),
                client.get(f"{counter}/204"),
                client.get(counter),
            )
        }
    assert len(streams) == 1


@pytest.mark.parametrize("expects", [(), ("-H", "Expect: 100-continue")], ids=["", "expect"])
def test_curl_keeps_its_connection(counter: str, expects: tuple[str, ...]) -> None:
    asked = ["--noproxy", "*", "-sS", "-m", "20", *expects, "-d", "x" * 1000, "-w", "%{num_connects} "]
    command = ["curl", *asked, counter, "--next", *asked, counter, "--next", *asked, "-H", "Connection: close", counter]
    ran = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (ran.stdout, ran.stderr) == ("10001 10000 10000 ", "")


def test_a_client_that_expects_100_gets_it_and_keeps_its_connection(counter: str) -> None:
    with connected(counter) as connection:
        for _ in range(50):
            whole = request(b"POST", b"/", bytes(100_000), b"Expect: 100-continue")
            connection.sendall(whole[:-100_000])
            answers = Answers(connection)
            assert answers.next()[0] == 100
            connection.sendall(whole[-100_000:])
            assert answers.next() == (200, b"100000", False)


def test_http_1_0_ends_its_connection(counter: str) -> None:
    with connected(counter) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert Heard(read_all(connection), sent_all=True).text.endswith(b"\r\n\r\n0")
