"""Uploads that stop and go on: paused, cancelled, after a reload, in two tabs."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.browser.storage import Storage
from tests.client.conftest import AT_ONCE, Make
from tests.client.driving import Browser, eventually
from tests.client.proxy import Fault, Proxy
from tests.client.test_failing import MIB, PARTS, puts
from tests.client.test_sending import digest_of

pytestmark = pytest.mark.needs("chromium", "node", "ceph")

PART_BYTES = 8 * MIB
NO_LOCKS = AT_ONCE + "Object.defineProperty(Navigator.prototype, 'locks', { value: undefined });"


def held_part(s3: Proxy, number: int, **how: Any) -> Fault:
    """A part whose last bytes do not arrive before the test lets them; with a `status` it never gets to S3."""
    return s3.spoil(f"^PUT .*partNumber={number}&", after=MIB, hold=True, **how)


def gone(service: Proxy, storage: Storage) -> None:
    """Wait until the service was told to abort; then S3 must have no open upload."""
    eventually(lambda: [seen for seen in service.requests("^DELETE") if seen.status == 204])
    assert storage.open_uploads() == []


@pytest.fixture
def large(tmp_path: Path) -> Path:
    file = tmp_path / "large file.bin"
    file.write_bytes(os.urandom(100 * MIB))
    return file


CHOSEN = "window.upload = (await queue.addAll(document.querySelector('input').files))[0]"


def test_after_a_reload_only_what_is_missing_is_sent(made: Make, s3: Proxy, storage: Storage, large: Path) -> None:
    held = [held_part(s3, number, status=500) for number in (7, 8, 9, 10)]
    tab = made()
    tab.choose(large)
    tab.run(CHOSEN)
    assert all(each.reached.wait(20) for each in held)
    tab.until(f"Object.values(localStorage).some((each) => JSON.parse(each).sent === {6 * PART_BYTES})")
    tab.reload()
    s3.heal()

    made.again(tab)
    (pending,) = tab.run("return queue.unfinished()")
    assert (pending["name"], pending["size"]) == (large.name, 100 * MIB)
    assert pending["sentBytes"] == 6 * PART_BYTES
    tab.choose(large)
    tab.run(CHOSEN)
    assert tab.run("return queue.unfinished()") == []
    found = tab.run("return outcome(upload)")
    assert found["resumed"] is True
    assert digest_of(storage, found) == tab.run("return sha256(upload.file)")
    assert sum(seen.bytes for seen in s3.requests("^PUT")) == (100 - 6 * 8) * MIB
    assert tab.run("return queue.unfinished()") == []


def test_what_is_not_wanted_any_more_is_aborted_in_s3(made: Make, s3: Proxy, storage: Storage, service: Proxy) -> None:
    held = held_part(s3, 3)
    tab = made(accepts=["multipart"])
    tab.run(f"queue.add({PARTS})")
    assert held.reached.wait(10)
    tab.reload()
    made.again(tab)
    assert len(storage.open_uploads()) == 1
    tab.run("queue.forget(queue.unfinished()[0])")
    gone(service, storage)
    assert tab.run("return queue.unfinished()") == []


def test_another_user_is_not_offered_it(made: Make, s3: Proxy) -> None:
    held = held_part(s3, 3)
    tab = made(accepts=["multipart"], user="ann")
    tab.run(f"queue.add({PARTS})")
    assert held.reached.wait(10)
    tab.reload()
    made.again(tab, accepts=["multipart"], user="bob")
    assert tab.run("return queue.unfinished()") == []
    made.again(tab, accepts=["multipart"], user="ann")
    assert len(tab.run("return queue.unfinished()")) == 1


def test_a_paused_upload_goes_on_with_what_is_missing(made: Make, s3: Proxy, storage: Storage) -> None:
    held = held_part(s3, 3, status=500)
    tab = made(accepts=["multipart"])
    tab.run(f"window.sent = {PARTS}; window.upload = queue.add(sent)")
    assert held.reached.wait(10)
    eventually(lambda: puts(s3, 1) == puts(s3, 2) == [200])
    tab.run("queue.pause()")
    assert tab.run("return upload.state") == "paused"
    held.released.set()
    tab.run("queue.resume()")
    found = tab.run("return outcome(upload)")
    assert digest_of(storage, found) == tab.run("return sha256(sent)")
    assert (len(puts(s3, 1)), len(puts(s3, 2)), len(puts(s3, 3))) == (1, 1, 2)


# A page that has not run for two seconds finds its clock two hours later. 30 seconds are over before that.
ASLEEP_S = 4
SLEPT = (
    AT_ONCE
    + """
const clock = Date.now, timer = setTimeout;
let last = clock(), later = 0;
Date.now = () => {
  const now = clock();
  if (now - last > 2000) later += 7_200_000;
  last = now;
  return now + later;
};
setInterval(Date.now, 50);
window.setTimeout = (call, ms) => timer(call, ms >= 30_000 ? 3000 : ms);
"""
)


@pytest.mark.parametrize("strategy", ["multipart", "put"])
def test_an_upload_goes_on_when_the_lid_of_a_laptop_is_opened_again(
    made: Make, browser: Browser, s3: Proxy, service: Proxy, storage: Storage, strategy: str
) -> None:
    in_parts = strategy == "multipart"
    # Of seven parts two are there, four are on their way, and the URL of the last one waits.
    held = s3.spoil("^PUT", skip=2 if in_parts else 0, times=4, after=MIB, hold=True)
    tab = made(SLEPT, accepts=[strategy])
    tab.run("window.sent = file(50 * 2 ** 20); window.upload = queue.add(sent)")
    eventually(lambda: held.times == (0 if in_parts else 3))
    there = [seen.line for seen in s3.requests("^PUT") if seen.status == 200]
    assert len(there) == (2 if in_parts else 0)
    signed = s3.requests("^PUT")[-1].line.partition("X-Amz-Date=")[2][:16]
    browser.send("suspend")
    try:
        ends = time.monotonic() + ASLEEP_S
        s3.cut()
        service.cut()
        held.times = 0
        held.released.set()
        s3.spoil(f"^PUT .*X-Amz-Date={signed}", times=99, status=403, body="<Error><Code>AccessDenied</Code></Error>")
        eventually(lambda: time.monotonic() > ends)
    finally:
        browser.send("wake")
    found = tab.run("return outcome(upload)")
    assert digest_of(storage, found) == tab.run("return sha256(sent)")
    stored = [seen.line for seen in s3.requests("^PUT") if seen.status == 200]
    assert len(stored) == (7 if in_parts else 1)
    assert stored[: len(there)] == there, "what had arrived is not sent again"
    assert 403 not in [seen.status for seen in s3.requests("^PUT")], "no URL is used after its end"


@pytest.mark.parametrize("route", ["GET /purposes", "POST /uploads$", "POST /images/"])
def test_what_is_paused_before_or_after_its_bytes_goes_on_there(
    made: Make, service: Proxy, s3: Proxy, storage: Storage, route: str
) -> None:
    held = service.spoil(f"^{route}", hold=True)
    tab = made(accepts=["multipart"])
    tab.run("window.sent = file(1000); window.upload = queue.add(sent)")
    assert held.reached.wait(10)
    tab.run("queue.pause()")
    held.released.set()
    eventually(lambda: not service.open)
    assert tab.run("return upload.state") == "paused"
    tab.run("queue.resume()")
    found = tab.run("return outcome(upload)")
    assert digest_of(storage, found) == tab.run("return sha256(sent)")
    assert len(service.requests("^POST /uploads$")) == len(s3.requests("^PUT")) == 1


@pytest.mark.parametrize("when", ["minting", "sending", "paused", "failed"])
def test_a_cancelled_upload_leaves_nothing_in_s3(
    made: Make, s3: Proxy, service: Proxy, storage: Storage, when: str
) -> None:
    if when == "minting":
        held = service.spoil("^POST /uploads$", hold=True)
    elif when == "failed":
        held = s3.spoil("^PUT .*partNumber=2&", times=9, status=403)
    else:
        held = held_part(s3, 2)
    tab = made(accepts=["multipart"])
    tab.run(f"window.upload = queue.add({PARTS})")
    assert held.reached.wait(10)
    if when == "paused":
        tab.run("upload.pause()")
    if when == "failed":
        tab.until("upload.state === 'failed'")
    tab.run("queue.remove(upload)")
    assert tab.run("return [upload.state, upload.problem.code, queue.items.length]") == ["cancelled", "cancelled", 0]
    held.released.set()
    gone(service, storage)
    assert tab.run("return queue.unfinished()") == []
    # What it has failed of stays what `done` says.
    assert tab.run("return upload.done.catch(({ code }) => code)") == (
        "s3-refused" if when == "failed" else "cancelled"
    )


def test_a_cancelled_put_stores_nothing_and_waiting_ones_take_its_place(made: Make, s3: Proxy) -> None:
    held = s3.spoil("^PUT", times=1, after=1000, hold=True)
    tab = made(requests=1, accepts=["put"])
    tab.run("queue.add(file(100_000, 'first.bin')); queue.add(file(1000, 'second.bin'))")
    assert held.reached.wait(10)
    assert tab.run("return queue.items[1].state") == "waiting"
    tab.run("queue.items[0].cancel()")
    assert tab.run("return outcome(queue.items[1])")["state"] == "stored"


@pytest.mark.parametrize("init", [AT_ONCE, NO_LOCKS], ids=["locks", "asking"])
def test_two_tabs_never_send_the_same_part(made: Make, s3: Proxy, storage: Storage, service: Proxy, init: str) -> None:
    held = held_part(s3, 3)
    first, second = made(init, accepts=["multipart"]), made(init, accepts=["multipart"])
    first.run(f"window.sent = {PARTS}; window.upload = queue.add(sent)")
    assert held.reached.wait(10)
    second.run(f"window.upload = queue.add({PARTS})")
    assert second.run("return new Promise((done) => setTimeout(() => done(upload.state), 400))") == "waiting"
    held.released.set()
    found = [tab.run("return outcome(upload)") for tab in (first, second)]
    assert digest_of(storage, found[0]) == digest_of(storage, found[1]) == first.run("return sha256(sent)")
    assert found[0]["result"]["key"] == found[1]["result"]["key"]
    assert [puts(s3, number) for number in (1, 2, 3)] == [[200]] * 3
    assert len(service.requests("^POST /uploads$")) == 1


@pytest.mark.parametrize("init", [AT_ONCE, NO_LOCKS], ids=["locks", "asking"])
def test_a_tab_goes_on_with_what_a_closed_one_leaves(made: Make, s3: Proxy, storage: Storage, init: str) -> None:
    held = held_part(s3, 3)
    first, second = made(init, accepts=["multipart"]), made(init, accepts=["multipart"])
    first.run(f"window.upload = queue.add({PARTS})")
    assert held.reached.wait(10)
    eventually(lambda: puts(s3, 1) == puts(s3, 2) == [200])
    second.run(f"window.sent = {PARTS}; window.upload = queue.add(sent)")
    first.close()
    found = second.run("return outcome(upload)")
    assert digest_of(storage, found) == second.run("return sha256(sent)")
    assert found["resumed"] is True
    assert (len(puts(s3, 1)), len(puts(s3, 2)), puts(s3, 3)[-1]) == (1, 1, 200)


def test_an_upload_that_s3_no_longer_has_begins_anew(made: Make, s3: Proxy, storage: Storage) -> None:
    held = held_part(s3, 3)
    tab = made(accepts=["multipart"])
    tab.run(f"window.sent = {PARTS}; window.upload = queue.add(sent)")
    assert held.reached.wait(10)
    tab.run("upload.pause()")
    storage.abort_all()
    held.released.set()
    tab.run("upload.resume()")
    found: dict[str, Any] = tab.run("return outcome(upload)")
    assert digest_of(storage, found) == tab.run("return sha256(sent)")


def test_the_same_file_may_be_stored_twice(made: Make) -> None:
    tab = made(accepts=["multipart"])
    code = "return (await outcome(queue.add(file(1000)))).result.key"
    assert tab.run(code) != tab.run(code)
