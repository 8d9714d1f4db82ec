"""The strategy `resumable`: tus 1.0, to the service, and to a server that does what the service's never does."""

import hashlib
import http.server
import json
from collections.abc import Iterator
from typing import ClassVar

import pytest

from tests.browser.storage import Storage
from tests.client.conftest import Make
from tests.client.driving import eventually
from tests.client.proxy import Proxy, proxied
from tests.client.test_failing import MIB, PARTS
from tests.client.test_sending import digest_of
from tests.in_thread import answering

pytestmark = pytest.mark.needs("chromium", "node", "ceph")

CHUNK = 256 * 1024
SIZE = 1_000_000
SHOWN = "Upload-Offset"


class Tus(http.server.BaseHTTPRequestHandler):
    """One upload of https://tus.io/protocols/resumable-upload, which keeps what has come of a broken request."""

    protocol_version = "HTTP/1.1"
    stored: ClassVar[bytearray] = bytearray()

    def log_message(self, format: str, *args: object) -> None:  # the base class's name
        pass

    def _answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "*, Authorization")
        self.send_header("Access-Control-Allow-Methods", "*")
        self.send_header("Access-Control-Expose-Headers", SHOWN)
        self.send_header("Content-Length", "0")
        self.send_header(SHOWN, str(len(self.stored)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def do_OPTIONS(self) -> None:
        self._answer(204)

    def do_HEAD(self) -> None:
        self._answer(200 if self.headers["Tus-Resumable"] == "1.0.0" else 412)

    def do_PATCH(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Type"] != "application/offset+octet-stream":
            self._answer(415)
        elif int(self.headers["Upload-Offset"]) != len(self.stored):
            self._answer(409)
        else:
            self.stored.extend(body)
            self._answer(204)

    def do_DELETE(self) -> None:
        self.stored.clear()
        self._answer(204)


@pytest.fixture
def tus() -> Iterator[Proxy]:
    """The proxy before a tus server."""
    Tus.stored.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tus)
    with answering(server), proxied(f"http://127.0.0.1:{server.server_port}") as proxy:
        yield proxy


def plan(service: Proxy, tus: Proxy) -> None:
    """Let the service answer with a plan of this strategy, and then with the facts of its file."""
    made = {"strategy": "resumable", "uploadUrl": f"{tus.url}/resumable/t", "chunkSize": CHUNK, "ticket": "t"}
    made |= {"objectKey": "files/a.bin", "size": SIZE, "headers": {}, "expiresIn": 86_400}
    service.spoil("^POST /uploads$", status=200, body=json.dumps(made))
    facts = {"state": "stored", "key": "files/a.bin", "size": SIZE}
    service.spoil("^POST /images/", status=200, body=json.dumps(facts))


def lines(tus: Proxy) -> list[tuple[str, int | None]]:
    return [(seen.line.partition(" ")[0], seen.status) for seen in tus.requests("")]


def test_a_file_is_appended_in_chunks(made: Make, service: Proxy, tus: Proxy) -> None:
    plan(service, tus)
    tab = made()
    found = tab.run(f"window.sent = file({SIZE}); return outcome(queue.add(sent))")
    assert (found["state"], found["sent"]) == ("stored", SIZE), found
    assert hashlib.sha256(Tus.stored).hexdigest() == tab.run("return sha256(sent)")
    assert lines(tus) == [("PATCH", 204)] * 4


@pytest.mark.parametrize("how", [{"after": 1000}, {"status": 503}, {"status": 409}], ids=["reset", "503", "409"])
def test_after_a_fault_the_server_is_asked_how_far_it_is(
    made: Make, service: Proxy, tus: Proxy, how: dict[str, int]
) -> None:
    plan(service, tus)
    tab = made()
    tus.spoil("^PATCH", **how)
    found = tab.run(f"window.sent = file({SIZE}); return outcome(queue.add(sent))")
    assert (found["state"], len(Tus.stored)) == ("stored", SIZE), found
    assert lines(tus) == [("PATCH", how.get("status")), ("HEAD", 200), *[("PATCH", 204)] * 4]


def test_after_a_reload_it_goes_on_at_the_offset(made: Make, service: Proxy, tus: Proxy) -> None:
    plan(service, tus)
    held = tus.spoil("^PATCH", skip=2, after=1000, hold=True)
    tab = made()
    tab.run(f"queue.add(file({SIZE}))")
    assert held.reached.wait(10)
    tab.reload()
    held.released.set()
    eventually(lambda: not tus.open)
    made.again(tab)
    found = tab.run(f"window.sent = file({SIZE}); return outcome(queue.add(sent))")
    assert (found["state"], found["resumed"]) == ("stored", True), found
    assert hashlib.sha256(Tus.stored).hexdigest() == tab.run("return sha256(sent)")
    # What had come of the third chunk is not sent again either.
    methods = [method for method, _ in lines(tus)]
    assert methods[:5] == ["PATCH", "PATCH", "PATCH", "HEAD", "PATCH"]
    assert len(methods) <= 6


def test_after_a_reload_the_service_lacks_less_than_8_mib(made: Make, service: Proxy, storage: Storage) -> None:
    held = service.spoil("^PATCH", after=17 * MIB, hold=True)
    tab = made(accepts=["resumable"])
    tab.run(f"queue.add({PARTS})")
    assert held.reached.wait(20)
    tab.reload()
    held.released.set()
    eventually(lambda: not service.open)
    made.again(tab, accepts=["resumable"])
    found = tab.run(f"window.sent = {PARTS}; return outcome(queue.add(sent))")
    assert found["resumed"] is True
    assert digest_of(storage, found) == tab.run("return sha256(sent)")
    assert sum(seen.bytes for seen in service.requests("^PATCH")) < (20 + 8) * MIB
    assert storage.open_uploads() == []


def test_cancelling_ends_it(made: Make, service: Proxy, tus: Proxy) -> None:
    plan(service, tus)
    held = tus.spoil("^PATCH", skip=1, after=1000, hold=True)
    tab = made()
    tab.run(f"window.upload = queue.add(file({SIZE}))")
    assert held.reached.wait(10)
    tab.run("upload.cancel()")
    held.released.set()
    eventually(lambda: ("DELETE", 204) in lines(tus))
    assert tab.run("return queue.unfinished()") == []
