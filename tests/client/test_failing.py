"""What goes wrong on the way: the client goes on by itself, or names the fault and its remedy."""

import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from image_upload.settings import load
from local.service import local_environ
from tests.browser.storage import Storage
from tests.client.conftest import AT_ONCE, Make, cors_rule, token_of
from tests.client.driving import Browser, eventually
from tests.client.proxy import Proxy
from tests.client.test_sending import digest_of
from tests.conftest import serving

pytestmark = pytest.mark.needs("chromium", "node", "ceph")

MIB = 1024 * 1024
# Three parts, the last one shorter.
PARTS = "file(20 * 2 ** 20)"
SEND_PARTS = f"window.sent = {PARTS}; window.upload = queue.add(sent); return outcome(upload)"
# A hundred times as fast, with what the client waits for.
HURRIED = AT_ONCE + "const timer = setTimeout; window.setTimeout = (call, ms) => timer(call, ms / 100);"


def puts(s3: Proxy, number: int) -> list[int | None]:
    """The statuses that the attempts to send a part got."""
    return [seen.status for seen in s3.requests(rf"^PUT .*partNumber={number}&")]


def problem_of(found: dict[str, Any], code: str) -> dict[str, Any]:
    """The problem of a failed upload, which must have this code, and say what to do."""
    assert found["state"] == "failed", found
    problem: dict[str, Any] = found["problem"]
    assert problem["code"] == code, problem
    assert problem["detail"]
    assert problem["message"] == f"{code}: {problem['detail']}"
    assert problem.get("remedy") or problem["status"], problem
    return problem


@pytest.mark.parametrize(
    "how", [{"status": 500}, {"status": 503}, {"status": 429}, {}], ids=["500", "503", "429", "reset"]
)
def test_a_part_that_fails_is_sent_again_alone(made: Make, s3: Proxy, storage: Storage, how: dict[str, Any]) -> None:
    s3.spoil("^PUT .*partNumber=2&", after=MIB, times=2, **how)
    tab = made(accepts=["multipart"])
    found = tab.run(SEND_PARTS)
    assert digest_of(storage, found) == tab.run("return sha256(sent)")
    assert puts(s3, 2) == [how.get("status")] * 2 + [200]
    assert (puts(s3, 1), puts(s3, 3)) == ([200], [200])


@pytest.mark.parametrize("strategy", ["put", "post", "proxy"])
def test_a_request_for_a_whole_file_that_breaks_is_sent_again(
    made: Make, s3: Proxy, service: Proxy, storage: Storage, strategy: str
) -> None:
    (service if strategy == "proxy" else s3).spoil("^PUT|^POST /uppy|^POST /upload-with", after=100_000)
    tab = made(accepts=[strategy])
    found = tab.run(f"window.sent = file({MIB}); return outcome(queue.add(sent))")
    assert digest_of(storage, found) == tab.run("return sha256(sent)")


def test_a_part_that_stands_still_is_cut_and_sent_again(made: Make, s3: Proxy, storage: Storage) -> None:
    s3.spoil("^PUT .*partNumber=2&", after=MIB, hold=True, status=200)
    tab = made(HURRIED, accepts=["multipart"])
    found = tab.run(SEND_PARTS)
    assert digest_of(storage, found) == tab.run("return sha256(sent)")
    assert puts(s3, 2)[-1] == 200
    assert len(puts(s3, 2)) > 1


def test_a_refused_part_is_signed_again_alone_and_once(made: Make, s3: Proxy, service: Proxy, storage: Storage) -> None:
    expired = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
    s3.spoil("^PUT .*partNumber=2&", status=403, body=expired)
    tab = made(accepts=["multipart"])
    assert digest_of(storage, tab.run(SEND_PARTS)) == tab.run("return sha256(sent)")
    assert (puts(s3, 1), puts(s3, 2), puts(s3, 3)) == ([200], [403, 200], [200])
    (signed,) = service.requests("^POST /uploads/[^/]+/parts")
    assert signed.bytes == len('{"partNumbers":[2]}')

    s3.spoil("^PUT .*partNumber=2&", times=9, status=403, body=expired)
    problem = problem_of(tab.run("return outcome(queue.add(file(20 * 2 ** 20, 'other.bin')))"), "s3-refused")
    assert problem["detail"] == "S3 answered 403 AccessDenied Request has expired"
    assert puts(s3, 2).count(403) == 3


def test_a_refused_put_gets_another_url_once(made: Make, s3: Proxy, service: Proxy, storage: Storage) -> None:
    s3.spoil("^PUT", status=403)
    tab = made(accepts=["put"])
    found = tab.run("window.sent = file(1000); return outcome(queue.add(sent))")
    assert digest_of(storage, found) == tab.run("return sha256(sent)")
    assert len(service.requests("^POST /uploads$")) == 2
    s3.spoil("^PUT", times=9, status=403)
    problem_of(tab.run("return outcome(queue.add(file(1000)))"), "s3-refused")
    assert len(service.requests("^POST /uploads$")) == 4


def test_a_url_that_expires_on_its_way_is_replaced(made: Make, s3: Proxy, storage: Storage, origin: str) -> None:
    environ = {"CORS_ALLOW_ORIGINS": origin, "S3_PUBLIC_ENDPOINT_URL": s3.url, "UPLOAD_URL_EXPIRES_SECONDS": "4"}
    held = s3.spoil("^PUT", after=0, hold=True)
    with serving(load(local_environ({}, storage.environ) | environ)) as url:
        tab = made(service=url, token=None, accepts=["put"])
        tab.run("window.sent = file(1000); window.upload = queue.add(sent)")
        assert held.reached.wait(10)
        ends = time.monotonic() + 5.5
        eventually(lambda: time.monotonic() > ends)
        held.released.set()
        found = tab.run("return outcome(upload)")
    assert digest_of(storage, found) == tab.run("return sha256(sent)")
    assert [seen.status for seen in s3.requests("^PUT")] == [403, 200]


def test_an_answer_of_s3_that_stays_500_is_told(made: Make, s3: Proxy) -> None:
    s3.spoil(
        "^PUT", times=99, status=500, body="<Error><Code>InternalError</Code><Message>We failed.</Message></Error>"
    )
    found = made(accepts=["put"]).run("return outcome(queue.add(file(1000)))")
    assert problem_of(found, "s3-refused")["again"] is True
    assert len(s3.requests("^PUT")) == 10


def test_bytes_that_change_on_their_way_are_sent_again(made: Make, s3: Proxy, service: Proxy) -> None:
    s3.spoil("^PUT", status=400, body="<Error><Code>BadDigest</Code><Message>The digest differs.</Message></Error>")
    assert made(accepts=["put"]).run("return outcome(queue.add(file(1000)))")["state"] == "stored"
    assert len(service.requests("^POST /uploads$")) == 1


@pytest.mark.parametrize(
    "how", [{"status": 503}, {"status": 502, "body": "<html>Bad gateway</html>"}, {}], ids=["503", "html", "reset"]
)
@pytest.mark.parametrize("route", ["GET /purposes", "POST /uploads$", "POST /images"])
def test_a_service_that_fails_for_a_moment_is_asked_again(
    made: Make, service: Proxy, route: str, how: dict[str, Any]
) -> None:
    service.spoil(f"^{route}", times=2, **how)
    assert made().run("return outcome(queue.add(file(1000)))")["state"] == "stored"
    assert len(service.requests(f"^{route}")) == 3


def test_the_service_decides_how_long_to_wait(made: Make, service: Proxy) -> None:
    limited = '{"code": "too-many-requests", "detail": "Too many requests."}'
    service.spoil("^POST /uploads$", status=429, headers={"Retry-After": "1"}, body=limited)
    tab = made()
    started = time.monotonic()
    assert tab.run("return outcome(queue.add(file(1000)))")["state"] == "stored"
    assert time.monotonic() - started >= 1


def test_a_wait_of_hours_is_told_and_not_waited_for(made: Make, service: Proxy) -> None:
    quota = '{"code": "quota-exceeded", "detail": "The quota of today is used up."}'
    service.spoil("^POST /uploads$", status=429, headers={"Retry-After": "7200"}, body=quota)
    problem = problem_of(made().run("return outcome(queue.add(file(1000)))"), "quota-exceeded")
    assert (problem["retryAfter"], problem["again"], problem["detail"]) == (
        7200,
        False,
        "The quota of today is used up.",
    )


def test_a_token_that_ends_in_the_middle_is_renewed_once(made: Make, service: Proxy, storage: Storage) -> None:
    tokens = [token_of("renewed", lives_s=-60), token_of("renewed")]
    tab = made(accepts=["multipart"], token=f"(() => {tokens!r}[window.asked = (window.asked ?? -1) + 1])")
    assert digest_of(storage, tab.run(SEND_PARTS)) == tab.run("return sha256(sent)")
    assert tab.run("return asked") == 1
    assert [seen.status for seen in service.requests("^GET /purposes")] == [401, 200]


def test_an_expired_sign_in_is_named_and_what_was_sent_stays(
    made: Make, service: Proxy, s3: Proxy, storage: Storage
) -> None:
    out = '{"code": "token-invalid", "detail": "The token has expired."}'
    service.spoil("^POST /uploads/[^/]+/complete", times=2, status=401, body=out)
    tab = made(accepts=["multipart"], token=f"(() => {token_of('signed-out')!r})")
    problem = problem_of(tab.run(SEND_PARTS), "signed-out")
    assert (problem["detail"], problem["status"]) == ("The token has expired.", 401)
    assert "Sign in" in problem["remedy"]
    found = tab.run("upload.retry(); return outcome(upload)")
    assert digest_of(storage, found) == tab.run("return sha256(sent)")
    assert len(s3.requests("^PUT")) == 3


def test_a_token_function_that_throws_is_named(made: Make, service: Proxy) -> None:
    tab = made(token="(() => { throw new Error('no session') })")
    problem = problem_of(tab.run("return outcome(queue.add(file(1000)))"), "token-failed")
    assert "no session" in problem["detail"]
    assert service.requests("") == []


@pytest.mark.parametrize("status", [200, 404])
def test_an_answer_that_is_not_the_service_s_is_named(made: Make, service: Proxy, status: int) -> None:
    service.spoil(
        "^POST /uploads$", times=9, status=status, headers={"Content-Type": "text/html"}, body="<html>Hello</html>"
    )
    problem_of(made().run("return outcome(queue.add(file(1000)))"), "not-the-service")


def test_a_service_that_is_down_is_a_fault_of_the_network(made: Make) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        tab = made(service=f"http://127.0.0.1:{free.getsockname()[1]}")
        assert problem_of(tab.run("return outcome(queue.add(file(1000)))"), "network")["again"] is True


def test_a_service_that_does_not_allow_the_page_is_named(made: Make, storage: Storage) -> None:
    tab = made(service=storage.server.endpoint_url)  # a server that answers, but not to this page
    problem = problem_of(tab.run("return outcome(queue.add(file(1000)))"), "cors")
    assert "CORS_ALLOW_ORIGINS" in problem["remedy"]


def test_a_bucket_that_does_not_allow_the_page_is_named(made: Make, storage: Storage, origin: str, s3: Proxy) -> None:
    storage.allow([cors_rule("https://elsewhere.example")])
    try:
        found = made(accepts=["put"]).run("return outcome(queue.add(file(1000)))")
    finally:
        storage.allow([cors_rule(origin, ExposeHeaders=["ETag"])])
    problem = problem_of(found, "cors")
    assert s3.url.removeprefix("http://") in problem["detail"]
    assert "CORS rules of the bucket" in problem["remedy"]


@pytest.mark.parametrize("strategy", ["put", "post", "multipart"])
def test_a_hidden_etag_is_not_missed(made: Make, storage: Storage, origin: str, strategy: str) -> None:
    storage.allow([cors_rule(origin)])
    try:
        assert made(accepts=[strategy]).run(SEND_PARTS)["state"] == "stored"
    finally:
        storage.allow([cors_rule(origin, ExposeHeaders=["ETag"])])


def test_a_page_without_a_connection_waits_for_it_and_loses_no_attempt(
    made: Make, s3: Proxy, browser: Browser, storage: Storage
) -> None:
    held = s3.spoil("^PUT .*partNumber=1&", after=MIB, hold=True)
    tab = made(accepts=["multipart"], requests=1)
    tab.run(f"window.sent = {PARTS}; window.upload = queue.add(sent)")
    assert held.reached.wait(10)
    browser.send("offline", on=True)
    held.released.set()
    tab.until("upload.state === 'offline'")
    s3.spoil("^PUT .*partNumber=2&", times=9, status=500)  # all attempts but one
    browser.send("offline", on=False)
    found = tab.run("return outcome(upload)")
    assert digest_of(storage, found) == tab.run("return sha256(sent)")
    assert puts(s3, 2) == [500] * 9 + [200]


@pytest.mark.parametrize(("how", "code"), [("changed", "file-changed"), ("deleted", "file-unreadable")])
@pytest.mark.parametrize("strategy", ["put", "multipart"])
def test_a_file_that_changes_while_it_is_read_is_named(
    made: Make, service: Proxy, tmp_path: Path, how: str, code: str, strategy: str
) -> None:
    file = tmp_path / "report.bin"
    file.write_bytes(os.urandom(70 * MIB))  # too large to be hashed, so that nothing has read it before
    minted = service.spoil("^POST /uploads$", hold=True)
    tab = made(accepts=[strategy])
    tab.choose(file)
    tab.run("window.upload = queue.addAll(document.querySelector('input').files)")
    assert minted.reached.wait(10)
    if how == "changed":
        file.write_bytes(b"something else")
    else:
        file.unlink()
    minted.released.set()
    problem_of(tab.run("return outcome(queue.items[0])"), code)


FORBIDDEN = (
    "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError') } });"
)
FULL = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') };"


@pytest.mark.parametrize("init", [FORBIDDEN, FULL], ids=["forbidden", "full"])
def test_an_upload_goes_on_without_a_place_to_note_it(made: Make, storage: Storage, init: str) -> None:
    tab = made(AT_ONCE + init, accepts=["multipart"])
    assert digest_of(storage, tab.run(SEND_PARTS)) == tab.run("return sha256(sent)")
    assert tab.run("return queue.unfinished()") == []


def test_a_service_without_tickets_gets_the_file_in_one_request(made: Make, service: Proxy, s3: Proxy) -> None:
    none = '{"code": "tickets-not-configured", "detail": "The service has no JWT_SECRET."}'
    service.spoil("^POST /uploads$", status=503, body=none)
    assert made().run("return outcome(queue.add(file(1000)))")["state"] == "stored"
    assert len(s3.requests("^PUT")) == 1


def test_a_rejected_file_has_the_service_s_words(made: Make, s3: Proxy) -> None:
    tab = made(purpose="upload")
    found = tab.run("return outcome(queue.add(new File(['<script>'], 'a.jpg', { type: 'image/jpeg' })))")
    problem = problem_of(found, "upload-rejected")
    assert (problem["status"], problem["fault"]) == (409, "disguised")
    assert "text/html" in problem["detail"]
    assert len(s3.requests("^PUT")) == 1
