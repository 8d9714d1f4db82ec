"""`POST /uploads/from-url` of a real service, from a real server on loopback, into a real S3."""

import gzip
import hashlib
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from image_upload.from_url import importer
from image_upload.outbound import download
from local.embedded_s3 import EmbeddedS3
from tests.conftest import problem, serving, settings_for
from tests.contract.store import Store
from tests.from_url import origins
from tests.from_url.conftest import Import
from tests.from_url.origins import Origin, wait_until

MIB = 1024 * 1024


@pytest.fixture
def nothing_stays(store: Store) -> Iterator[None]:
    """What is in the bucket after the test was in it before."""
    before, begun = _keys(store), _unfinished(store)
    yield
    wait_until(lambda: _unfinished(store) <= begun)
    assert _keys(store) == before


def _unfinished(store: Store) -> set[str]:
    return {each["UploadId"] for each in store.s3.list_multipart_uploads(Bucket=store.bucket).get("Uploads", [])}


def _keys(store: Store) -> set[str]:
    pages = store.s3.get_paginator("list_objects_v2").paginate(Bucket=store.bucket)
    return {
        each["Key"]
        for page in pages
        for each in page.get("Contents", [])
        if not each["Key"].startswith(("jobs/", "rejected/"))
    }


def job_of(web: httpx.Client, base: str, response: httpx.Response, within_s: float = 30.0) -> dict[str, Any]:
    """The job of an answer with 202, once it has ended."""
    assert response.status_code == 202, response.text
    url = base + response.headers["location"]
    found: dict[str, Any] = {}

    def is_over() -> bool:
        found.update(web.get(url).json())
        return found["state"] in ("done", "failed")

    wait_until(is_over, within_s)
    return found


# --- what is stored -------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [origins.file, origins.chunked])
@pytest.mark.parametrize("size", [1, pytest.param(8 * MIB, marks=pytest.mark.full), 8 * MIB + 1, 9_999_999])
def test_a_file_is_stored_byte_for_byte(ask: Import, origin: Origin, store: Store, size: int, answer: Any) -> None:
    data = b"".join(origins.pieces(size))
    response = ask(origin.serve("/a/%EA%B3%A0%EC%96%91%EC%9D%B4.jpg?sig=1", answer(data)), metadata={})
    assert response.status_code == 201, response.text
    made = response.json()
    assert made["objectKey"].startswith("uploads/")
    assert made["objectKey"].endswith(".jpg")
    assert (made["size"], made["contentType"], made["cdnUrl"]) == (size, "image/jpeg", None)
    assert response.headers["location"] == made["url"] == f"/images/{made['objectKey']}"
    assert store.read(made["objectKey"]) == data
    described = httpx.get(
        f"{response.request.url.scheme}://{response.request.url.netloc.decode()}{made['url']}/metadata"
    )
    assert described.json()["metadata"]["original_filename"] == "고양이.jpg"
    ((_, headers),) = origin.asked
    assert headers.keys() == {"host", "user-agent", "accept", "accept-encoding", "connection"}
    assert headers["accept-encoding"] == "identity"


def test_the_purpose_decides_the_key_and_the_type(ask: Import, origin: Origin, store: Store) -> None:
    url = origin.serve("/paper", origins.file(b"%PDF-1.7", "application/pdf"))
    made = ask(url, purpose="document", filename="논문.pdf").json()
    assert made["objectKey"].startswith("documents/anonymous/")
    assert made["objectKey"].endswith(".pdf")
    assert store.s3.head_object(Bucket=store.bucket, Key=made["objectKey"])["ContentType"] == "application/pdf"


def test_a_name_in_the_url_that_does_not_fit_the_type_is_left_out(ask: Import, origin: Origin, jpeg: bytes) -> None:
    made = ask(origin.serve("/show.php", origins.file(jpeg))).json()
    assert made["objectKey"].endswith(".jpg")


@pytest.mark.parametrize("declared", ["", "application/octet-stream", "binary/octet-stream"])
def test_where_the_server_knows_no_type_the_name_tells_it(
    ask: Import, origin: Origin, jpeg: bytes, declared: str
) -> None:
    made = ask(origin.serve("/a.jpg", origins.file(jpeg, declared)))
    assert made.json()["contentType"] == "image/jpeg", made.text


@pytest.mark.usefixtures("nothing_stays")
def test_where_neither_tells_the_type_it_is_no_picture(ask: Import, origin: Origin, jpeg: bytes) -> None:
    problem(ask(origin.serve("/a", origins.file(jpeg, ""))), 400, "unsupported-file-type")


def test_a_name_from_the_client_has_to_fit(ask: Import, origin: Origin, jpeg: bytes) -> None:
    url = origin.serve("/a", origins.file(jpeg))
    problem(ask(url, filename="a.pdf"), 400, "unsupported-file-type")
    problem(ask(url, filename="a/b.jpg"), 400, "invalid-filename")


def test_the_sha256_is_compared(ask: Import, origin: Origin, jpeg: bytes) -> None:
    url = origin.serve("/a.jpg", origins.file(jpeg))
    assert ask(url, sha256=hashlib.sha256(jpeg).hexdigest()).status_code == 201


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize("size", [5, 9 * MIB])
def test_other_bytes_than_those_of_the_sha256_are_not_kept(ask: Import, origin: Origin, size: int) -> None:
    url = origin.serve("/a.jpg", origins.chunked(bytes(size)))
    assert problem(ask(url, sha256="0" * 64), 409, "upload-rejected")["fault"] == "checksum"
    problem(ask(url, sha256="0"), 422, "validation-failed")


# --- what is followed -----------------------------------------------------------------------------


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_without_the_cookie_that_it_sets(
    ask: Import, origin: Origin, jpeg: bytes, code: int
) -> None:
    origin.serve("/there/b.jpg", origins.file(jpeg))
    made = ask(origin.serve("/a", origins.redirect("/there/b.jpg", code)))
    assert made.status_code == 201, made.text
    again = ask(origin.url("/there/b.jpg"))
    assert again.status_code == 201
    assert [path for path, _ in origin.asked] == ["/a", "/there/b.jpg", "/there/b.jpg"]
    assert not [headers for _, headers in origin.asked if headers.keys() & {"cookie", "authorization", "referer"}]


def test_as_many_redirects_as_may_be_are_followed_and_no_more(ask: Import, origin: Origin, jpeg: bytes) -> None:
    origin.serve("/0", origins.file(jpeg))
    for number in range(1, 7):
        origin.serve(f"/{number}", origins.redirect(origin.url(f"/{number - 1}")))
    assert ask(origin.url("/5")).status_code == 201
    problem(ask(origin.url("/6")), 400, "source-refused")


@pytest.mark.usefixtures("nothing_stays")
def test_a_loop_ends(ask: Import, origin: Origin) -> None:
    problem(ask(origin.serve("/loop", origins.redirect("/loop"))), 400, "source-refused")
    assert len(origin.asked) == 6


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize(
    ("to", "status", "code"),
    [
        ("http://127.0.0.1:{silent}/", 403, "source-url-refused"),
        ("//127.0.0.1:{silent}/", 403, "source-url-refused"),
        ("http://localhost/", 403, "source-url-refused"),
        ("http://169.254.169.254/latest/meta-data/", 403, "source-url-refused"),
        ("http://[::1]/", 403, "source-url-refused"),
        ("http://[::ffff:169.254.169.254]/", 403, "source-url-refused"),
        ("http://0x7f.1/", 403, "source-url-refused"),
        ("http://2130706433/", 403, "source-url-refused"),
        ("http://user:password@127.0.0.1/", 403, "source-url-refused"),
        ("file:///etc/passwd", 400, "source-url-invalid"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", 400, "source-url-invalid"),
        ("http://[", 400, "source-refused"),
        ("http://" + "a" * 9000, 400, "source-url-invalid"),
    ],
)
def test_a_redirect_leads_nowhere_that_the_url_itself_may_not(
    ask: Import, origin: Origin, to: str, status: int, code: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        to = to.format(silent=silent.getsockname()[1])
        problem(ask(origin.serve("/a", origins.redirect(to))), status, code)
        with pytest.raises(BlockingIOError):
            silent.accept()


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize("answered", [204, 206, 301, 400, 401, 403, 404, 410, 429])
def test_what_the_server_refuses_is_the_clients_fault_and_its_words_are_not_repeated(
    ask: Import, origin: Origin, answered: int
) -> None:
    body = b"" if answered == 204 else b"the origin's own words"
    said = ask(origin.serve("/a?X-Amz-Signature=secret", origins.status(answered, body)) + "?X-Amz-Signature=secret")
    assert problem(said, 400, "source-refused")["upstream_status"] == answered
    assert "own words" not in said.text
    assert "secret" not in said.text


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize("answered", [500, 502, 503, 599])
def test_what_the_server_fails_at_may_be_tried_again(ask: Import, origin: Origin, answered: int) -> None:
    said = problem(ask(origin.serve("/a", origins.status(answered))), 502, "source-unavailable")
    assert said["upstream_status"] == answered


@pytest.mark.usefixtures("nothing_stays")
def test_a_page_is_no_picture(ask: Import, origin: Origin) -> None:
    page = origins.file(b"<html>Sign in</html>", "text/html; charset=utf-8")
    said = problem(ask(origin.serve("/a.jpg", page)), 400, "unsupported-file-type")
    assert "text/html" in said["detail"]
    assert origin.sent_bytes <= len(b"<html>Sign in</html>")


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "GZIP", "identity, gzip", "zstd"])
def test_a_compressed_body_is_not_taken(ask: Import, origin: Origin, encoding: str) -> None:
    bomb = gzip.compress(bytes(10 * MIB))
    answer = origins.file(bomb, "image/jpeg", Content_Encoding=encoding)
    problem(ask(origin.serve("/a.jpg", answer)), 400, "source-refused")


@pytest.mark.usefixtures("nothing_stays")
def test_a_length_above_the_limit_is_refused_before_a_byte_is_read(ask: Import, origin: Origin) -> None:
    def answer(request: origins.Handler) -> None:
        request.head(200, Content_Type="image/jpeg", Content_Length=10**18)
        while not request.origin.over.is_set():
            request.body(bytes(64 * 1024))

    said = problem(ask(origin.serve("/a.jpg", answer)), 400, "file-too-large")
    assert said["max_bytes"] == 10 * MIB
    wait_until(lambda: origin.broken == 1)
    assert origin.sent_bytes < 16 * MIB


@pytest.mark.usefixtures("nothing_stays")
def test_a_body_without_an_end_is_cut_off_at_the_limit(ask: Import, origin: Origin) -> None:
    said = problem(ask(origin.serve("/a.jpg", origins.endless())), 400, "file-too-large")
    assert said["max_bytes"] == 10 * MIB
    wait_until(lambda: origin.broken == 1)


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize("sent", [5, 9 * MIB])
def test_a_body_that_is_shorter_than_announced_is_not_stored(ask: Import, origin: Origin, sent: int) -> None:
    def answer(request: origins.Handler) -> None:
        request.head(200, Content_Type="image/jpeg", Content_Length=sent + 1)
        request.body(bytes(sent))

    problem(ask(origin.serve("/a.jpg", answer)), 502, "source-unavailable")


def test_of_a_body_that_is_longer_than_announced_the_announced_bytes_are_stored(
    ask: Import, origin: Origin, store: Store
) -> None:
    def answer(request: origins.Handler) -> None:
        request.head(200, Content_Type="image/jpeg", Content_Length=5)
        request.body(b"12345678")

    assert store.read(ask(origin.serve("/a.jpg", answer)).json()["objectKey"]) == b"12345"


@pytest.mark.usefixtures("nothing_stays")
def test_nothing_is_no_file(ask: Import, origin: Origin) -> None:
    problem(ask(origin.serve("/a.jpg", origins.file(b""))), 400, "empty-file")
    problem(ask(origin.serve("/b.jpg", origins.chunked(b""))), 400, "empty-file")


@pytest.mark.usefixtures("nothing_stays")
def test_a_body_that_drips_is_given_up(ask: Import, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SOURCE_IDLE_S", 0.5)
    problem(ask(origin.serve("/a.jpg", origins.dripping())), 504, "source-timed-out")
    wait_until(lambda: origin.broken == 1)


@pytest.mark.usefixtures("nothing_stays")
def test_a_server_that_says_nothing_is_given_up(ask: Import, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SOURCE_HEAD_S", 0.5)
    problem(ask(origin.serve("/a.jpg", origins.silence)), 504, "source-timed-out")


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\0\1\2\3",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"+PONG\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 103 Early\r\n\r\n" * 100 + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1",
        b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_answer_is_none(ask: Import, origin: Origin, said: bytes) -> None:
    problem(ask(origin.serve("/a.jpg", lambda request: request.body(said))), 502, "source-unavailable")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": "https://www.example.com/" + "a" * 9000}, "validation-failed"),
        ({"url": 5}, "validation-failed"),
        ({}, "validation-failed"),
        ({"url": "https://www.example.com/", "wait": -1}, "validation-failed"),
        ({"url": "https://www.example.com/", "wait": 61}, "validation-failed"),
        ({"url": "https://www.example.com/", "wait": "5"}, "validation-failed"),
        ({"url": "https://www.example.com/", "purpose": "none"}, "validation-failed"),
        ({"url": "https://www.example.com/", "metadata": {"a": 5}}, "validation-failed"),
    ],
)
def test_a_bad_request_is_refused(importing: str, web: httpx.Client, fields: dict[str, Any], code: str) -> None:
    problem(web.post(f"{importing}/uploads/from-url", json=fields), 422, code)


def test_where_imports_are_off_the_answer_says_so(start: Any, web: httpx.Client) -> None:
    url = start(FROM_URL="false")
    said = web.post(f"{url}/uploads/from-url", json={"url": "https://www.example.com/a.jpg"})
    problem(said, 403, "source-url-refused")


def test_the_bucket_of_the_service_is_no_source(ask: Import, store: Store) -> None:
    """The service itself may connect to it; what a user names may not."""
    problem(ask(f"{store.endpoint_url}/{store.bucket}/uploads/a.jpg"), 403, "source-url-refused")


# --- what takes longer ----------------------------------------------------------------------------


def test_what_takes_longer_goes_on_as_a_job_with_progress(
    ask: Import, importing: str, origin: Origin, web: httpx.Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "JOB_WRITES_EVERY_S", 0.1)
    go_on = threading.Event()
    first, rest = bytes(24 * MIB), b"the end"
    url = origin.serve("/a.bin", origins.held(first, rest, go_on, "application/octet-stream"))
    response = ask(url, purpose="file", wait=0.2)
    assert response.status_code == 202, response.text
    said = response.json()
    assert response.headers["location"] == f"/jobs/{said['job_id']}"
    assert (said["task"], said["state"], said["result"]) == ("from-url", "running", None)
    seen: dict[str, Any] = {}

    def is_on_its_way() -> bool:
        seen.update(web.get(importing + response.headers["location"]).json())
        return bool(seen["progress"]["sent_bytes"] >= 16 * MIB)

    wait_until(is_on_its_way)
    assert seen["state"] == "running"
    assert seen["progress"]["total_bytes"] == 24 * MIB + 7
    go_on.set()
    job = job_of(web, importing, response)
    assert (job["state"], job["error"]) == ("done", None)
    assert job["key"] == job["result"]["objectKey"]
    assert job["progress"] == {"sent_bytes": 24 * MIB + 7, "total_bytes": 24 * MIB + 7}
    assert store.read(job["key"]) == first + rest


def test_a_job_at_once(ask: Import, importing: str, origin: Origin, web: httpx.Client, jpeg: bytes) -> None:
    job = job_of(web, importing, ask(origin.serve("/a.jpg", origins.file(jpeg)), wait=0))
    assert (job["state"], job["result"]["size"]) == ("done", len(jpeg))


@pytest.mark.usefixtures("nothing_stays")
def test_a_job_says_why_it_failed(ask: Import, importing: str, origin: Origin, web: httpx.Client) -> None:
    job = job_of(web, importing, ask(origin.serve("/a.jpg", origins.status(404)), wait=0))
    assert (job["state"], job["error"]["code"], job["result"]) == ("failed", "source-refused", None)
    assert "404" in job["error"]["detail"]
    assert job["finished_at"] is not None


@pytest.mark.usefixtures("nothing_stays")
def test_what_may_not_be_fetched_becomes_no_job(ask: Import) -> None:
    problem(ask("http://127.0.0.1/a.jpg?secret", wait=0), 403, "source-url-refused")


@pytest.mark.usefixtures("nothing_stays")
def test_a_client_that_goes_away_takes_its_import_along(importing: str, origin: Origin) -> None:
    url = origin.serve("/a.bin", origins.endless("application/octet-stream"))
    body = f'{{"url":"{url}","purpose":"file"}}'.encode()
    parts = urlsplit(importing)
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as client:
        client.sendall(
            b"POST /uploads/from-url HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        wait_until(lambda: origin.sent_bytes > 9 * MIB)
    wait_until(lambda: origin.broken == 1)


def test_a_user_imports_so_many_files_at_once(ask: Import, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "FROM_URL_AT_ONCE_PER_USER", 1)
    go_on = threading.Event()
    url = origin.serve("/slow.jpg", origins.held(b"", b"x", go_on))
    first = ask(url, wait=0)
    assert first.status_code == 202
    refused = ask(url)
    problem(refused, 503, "too-many-uploads")
    assert refused.headers["retry-after"] == "5"
    origin.over.set()


# --- what is verified -----------------------------------------------------------------------------


@pytest.fixture
def checking(s3: EmbeddedS3, store: Store, origin: Origin) -> Iterator[str]:
    """The base URL of a service that verifies what it publishes."""
    with serving(settings_for(s3, **store.environ, FROM_URL_PRIVATE_HOSTS=origin.host, VERIFY="publish")) as url:
        yield url


def test_a_picture_is_published_after_it_was_verified(
    checking: str, origin: Origin, web: httpx.Client, jpeg: bytes, store: Store
) -> None:
    url = origin.serve("/a.jpg", origins.file(jpeg))
    made = web.post(f"{checking}/uploads/from-url", json={"url": url, "purpose": "profile"})
    assert made.status_code == 201, made.text
    assert store.read(made.json()["objectKey"]) == jpeg


@pytest.mark.usefixtures("nothing_stays")
def test_what_only_claims_to_be_a_picture_is_not_published(checking: str, origin: Origin, web: httpx.Client) -> None:
    url = origin.serve("/a.jpg", origins.file(b"<script>alert(1)</script>"))
    said = web.post(f"{checking}/uploads/from-url", json={"url": url, "purpose": "profile"})
    problem(said, 409, "upload-rejected")
