import hashlib
import http.client
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from image_upload.aws.endpoints import locate
from image_upload.aws.sigv4 import Credentials, Signer
from tests.conftest import Mint, Start, problem
from tests.form_proxy.stores import OK, ScriptedStore, answer, form, scripted_store

PLAIN = "/upload-with-presigned"
RETRY = "/upload-with-presigned-retry"
FILE = 'name="file"; filename="cat.jpg"\r\nContent-Type: image/jpeg'
URL = 'name="uploadUrl"'


def signed_for(
    endpoint_url: str,
    bucket: str = "local-uploads",
    *,
    age_s: int = 0,
    key: str = "uploads/a.jpg",
    content_type: str = "image/jpeg",
) -> str:
    return Signer(locate(bucket, "us-east-1", endpoint_url), Credentials("local", "local-secret")).presign(
        "PUT",
        key,
        now=datetime.now(UTC) - timedelta(seconds=age_s),
        expires_s=300,
        headers={"Content-Type": content_type},
    )


def post(web: httpx.Client, url: str, *parts: tuple[str, bytes]) -> httpx.Response:
    body, headers = form(*parts)
    return web.post(url, content=body, headers=headers)


@pytest.mark.parametrize("path", [PLAIN, RETRY])
@pytest.mark.parametrize("file_first", [True, False])
def test_a_form_is_stored_byte_for_byte(
    service: str, web: httpx.Client, mint: Mint, jpeg: bytes, path: str, file_first: bool
) -> None:
    plan = mint()
    parts = [(FILE, jpeg), (URL, plan["presignedUrl"].encode())]
    response = post(web, service + path, *(parts if file_first else parts[::-1]))
    assert response.status_code == 200, response.text
    said = response.json()
    assert said.pop("message")
    assert said.pop("elapsed_ms") >= 0
    attempts = {"attempts": 1, "last_failure": None} if path == RETRY else {}
    assert said == {"success": True, "status": 200, "file_size": len(jpeg), "filename": "cat.jpg", **attempts}
    read = web.get(web.get(f"{service}/images/{plan['objectKey']}").json()["url"])
    assert read.content == jpeg
    assert read.headers["content-type"] == "image/jpeg"


def test_a_file_above_the_spool_limit_is_stored(service: str, web: httpx.Client, mint: Mint) -> None:
    content = bytes(range(256)) * 4096 * 5
    plan = mint(size=len(content))
    assert post(web, service + PLAIN, (FILE, content), (URL, plan["presignedUrl"].encode())).status_code == 200
    assert web.get(web.get(f"{service}/images/{plan['objectKey']}").json()["url"]).content == content


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ([(URL, b"{url}")], 422, "validation-failed"),
        ([(FILE, b"x")], 422, "validation-failed"),
        ([('name="other"', b"x")], 422, "validation-failed"),
        ([('name="file"', b"x"), (URL, b"{url}")], 422, "validation-failed"),
        ([(FILE, b""), (URL, b"{url}")], 400, "empty-file"),
        ([(FILE, b"x"), (URL, b"")], 422, "validation-failed"),
        ([(FILE.replace("cat.jpg", ".."), b"x"), (URL, b"{url}")], 400, "invalid-filename"),
        ([(FILE.replace("cat", "c\x00t"), b"x"), (URL, b"{url}")], 400, "invalid-filename"),
        ([(FILE.replace("cat", "c\nt"), b"x"), (URL, b"{url}")], 400, "invalid-filename"),
        ([(FILE.replace("cat", "c" * 300), b"x"), (URL, b"{url}")], 400, "invalid-filename"),
        ([(FILE, b"x")] + [(f"name=f{number}", b"") for number in range(1000)], 400, "malformed-form"),
        ([(FILE, b"x"), (URL, b"{url}"), ("name=max_retries", b"-1")], 422, "validation-failed"),
        ([(FILE, b"x"), (URL, b"{url}"), ("name=max_retries", b"11")], 422, "validation-failed"),
        ([(FILE, b"x"), (URL, b"{url}"), ("name=max_retries", b"abc")], 422, "validation-failed"),
        ([(FILE, b"x"), (URL, b"{url}"), ("name=max_retries", b"1.5")], 422, "validation-failed"),
        ([(FILE, b"x"), (URL, b"{url}"), ("name=max_retries", "٣".encode())], 422, "validation-failed"),
        ([(FILE, b"x"), (URL, b"{expired}")], 400, "upload-url-expired"),
        ([(FILE, b"x"), (URL, b"{foreign}")], 403, "upload-target-refused"),
    ],
)
def test_a_bad_form_is_refused_and_nothing_is_sent(
    start: Start, web: httpx.Client, parts: list[tuple[str, bytes]], status: int, code: str
) -> None:
    with scripted_store([OK]) as store:
        service = start(AWS_S3_ENDPOINT_URL=store.endpoint_url)
        urls = {
            b"{url}": signed_for(store.endpoint_url),
            b"{expired}": signed_for(store.endpoint_url, age_s=301),
            b"{foreign}": signed_for(store.endpoint_url, bucket="someone-elses"),
        }
        filled = [(head, urls[content].encode() if content in urls else content) for head, content in parts]
        problem(post(web, service + RETRY, *filled), status, code)
        assert store.requests == []


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b'{"file": "x"}', "application/json", 415, "not-a-form"),
        (b"file=x&uploadUrl=y", "application/x-www-form-urlencoded", 415, "not-a-form"),
        (b"x", "", 415, "not-a-form"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 400, "malformed-form"),
        (b"--y--\r\n", "multipart/form-data; boundary=x", 400, "malformed-form"),
        (b"", "multipart/form-data; boundary=x", 400, "malformed-form"),
        (b"--x--\r\n", "multipart/form-data", 400, "malformed-form"),
    ],
)
def test_a_body_that_is_no_form_is_refused(
    service: str, web: httpx.Client, body: bytes, content_type: str, status: int, code: str
) -> None:
    problem(web.post(service + PLAIN, content=body, headers={"Content-Type": content_type}), status, code)


def test_a_client_that_goes_away_in_the_middle_leaves_nothing_in_s3(start: Start, jpeg: bytes) -> None:
    with scripted_store([OK]) as store:
        service = start(AWS_S3_ENDPOINT_URL=store.endpoint_url)
        body, headers = form((URL, signed_for(store.endpoint_url).encode()), (FILE, jpeg))
        connection = http.client.HTTPConnection(service.removeprefix("http://"))
        connection.putrequest("POST", PLAIN)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(body[:-100])
        connection.close()
        # The service still answers others, and the store has seen nothing.
        with httpx.Client(trust_env=False) as web:
            assert web.get(f"{service}/errors/empty-file").status_code == 200
        assert store.requests == []


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A listener that must not be connected to."""
    with socket.create_server(("", 0)) as listener:
        listener.setblocking(False)
        yield listener
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize(
    "host",
    [
        "http://localhost:{port}", "http://127.0.0.1:{port}", "http://127.1:{port}", "http://2130706433:{port}",
        "http://0x7f000001:{port}", "http://0177.0.0.1:{port}", "http://[::1]:{port}", "http://[::ffff:127.0.0.1]:{port}",
        "http://[::ffff:7f00:1]:{port}", "http://0.0.0.0:{port}", "http://0:{port}", "https://localhost:{port}",
        "https://127.0.0.1:{port}", "http://169.254.169.254", "http://[fd00:ec2::254]",
        "https://s3.ap-northeast-2.amazonaws.com@127.0.0.1:{port}",
        "https://s3.ap-northeast-2.amazonaws.com@evil.example", "https://local-uploads.s3.amazonaws.com.evil.example",
        "https://local-uploads.s3.us-east-1.amazonaws.com:{port}", "http://local-uploads.s3.us-east-1.amazonaws.com",
        "https://someone-elses.s3.us-east-1.amazonaws.com", "http://localtest.me:{port}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("file_first", [True, False])
def test_no_byte_and_no_request_leaves_for_a_refused_target(
    service: str, web: httpx.Client, silent: socket.socket, host: str, file_first: bool
) -> None:
    own = signed_for("http://127.0.0.1:9")
    url = own.replace("http://127.0.0.1:9", host.format(port=silent.getsockname()[1]))
    parts = [(FILE, b"secret bytes"), (URL, url.encode())]
    response = post(web, service + PLAIN, *(parts if file_first else parts[::-1]))
    document = problem(response, 403, "upload-target-refused")
    assert "X-Amz" not in response.text
    assert document["detail"]


@pytest.mark.parametrize(
    "url",
    ["not a url", "file:///etc/passwd", "http://169.254.169.254/latest/", "https://a.s3.amazonaws.com/b", "//x/y?z"],
)
def test_what_is_no_presigned_url_is_refused(service: str, web: httpx.Client, url: str) -> None:
    response = post(web, service + PLAIN, (FILE, b"x"), (URL, url.encode()))
    problem(response, 400, "upload-url-invalid")


def send(start: Start, web: httpx.Client, store: ScriptedStore, path: str, *more: tuple[str, bytes]) -> httpx.Response:
    service = start(AWS_S3_ENDPOINT_URL=store.endpoint_url)
    return post(web, service + path, (FILE, b"12345"), (URL, signed_for(store.endpoint_url).encode()), *more)


AGAIN = answer(503, "Retry-After: 0")


def test_every_attempt_sends_the_whole_file_with_its_length_and_type(start: Start, web: httpx.Client) -> None:
    with scripted_store([AGAIN, answer(429, "Retry-After: 0"), answer(408, "Retry-After: 0"), OK]) as store:
        response = send(start, web, store, RETRY)
        assert response.status_code == 200, response.text
        assert response.json()["attempts"] == 4
        assert response.json()["last_failure"] == "408"
        assert [received.body for received in store.requests] == [b"12345"] * 4
        for received in store.requests:
            assert received.line.startswith("PUT /local-uploads/uploads/a.jpg?")
            assert received.headers["content-length"] == "5"
            assert received.headers["content-type"] == "image/jpeg"
            assert "transfer-encoding" not in received.headers


def test_max_retries_bounds_the_attempts(start: Start, web: httpx.Client) -> None:
    with scripted_store([AGAIN, AGAIN, OK]) as store:
        document = problem(send(start, web, store, RETRY, ("name=max_retries", b"1")), 502, "upstream-unavailable")
        assert (document["attempts"], document["upstream_status"]) == (2, 503)
        assert len(store.requests) == 2


def test_the_plain_route_tries_once(start: Start, web: httpx.Client) -> None:
    with scripted_store([AGAIN, OK]) as store:
        problem(send(start, web, store, PLAIN), 502, "upstream-unavailable")
        assert len(store.requests) == 1


def test_a_connection_that_breaks_is_tried_again(start: Start, web: httpx.Client) -> None:
    # It broke behind the last byte: the service looks whether the file is there, before it sends it again.
    with scripted_store([None, answer(404), OK]) as store:
        assert send(start, web, store, RETRY).json()["attempts"] == 2
        assert [received.line[:4] for received in store.requests] == ["PUT ", "HEAD", "PUT "]


def test_a_file_that_is_there_after_all_is_not_sent_again(start: Start, web: httpx.Client) -> None:
    now = format_datetime(datetime.now(UTC), usegmt=True)
    etag = hashlib.md5(b"12345", usedforsecurity=False).hexdigest()
    there = (
        f'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "{etag}"\r\nLast-Modified: {now}\r\nConnection: close\r\n\r\n'
    ).encode()
    with scripted_store([None, there]) as store:
        assert send(start, web, store, PLAIN).json()["success"] is True


@pytest.mark.parametrize("path", [PLAIN, RETRY])
def test_an_end_that_cannot_be_seen_is_reported_as_unknown(start: Start, web: httpx.Client, path: str) -> None:
    """The bucket has another owner: the service may send to it, but not look into it."""
    with scripted_store([None, None]) as store:
        service = start(AWS_S3_ENDPOINT_URL=store.endpoint_url, PROXY_ALLOWED_BUCKETS="theirs")
        url = signed_for(store.endpoint_url, bucket="theirs").encode()
        response = post(web, service + path, (FILE, b"12345"), (URL, url), ("name=max_retries", b"1"))
        attempts = 1 if path == PLAIN else 2
        assert problem(response, 502, "outcome-unknown")["attempts"] == attempts
        assert len(store.requests) == attempts


@pytest.mark.parametrize("status", [400, 403, 404, 409, 411, 412, 416])
def test_other_refusals_are_final(start: Start, web: httpx.Client, status: int) -> None:
    error = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
    with scripted_store([answer(status, body=error), OK]) as store:
        document = problem(send(start, web, store, RETRY), 400, "upstream-refused")
        assert (document["upstream_status"], document["upstream_code"], document["attempts"]) == (
            status,
            "AccessDenied",
            1,
        )
        assert len(store.requests) == 1


def test_a_refusal_that_could_be_temporary_is_named_after_the_last_attempt(start: Start, web: httpx.Client) -> None:
    with scripted_store([answer(429, "Retry-After: 0")] * 2) as store:
        document = problem(send(start, web, store, RETRY, ("name=max_retries", b"1")), 400, "upstream-refused")
        assert (document["upstream_status"], document["attempts"]) == (429, 2)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_never_followed(start: Start, web: httpx.Client, silent: socket.socket, status: int) -> None:
    port = silent.getsockname()[1]
    with scripted_store([answer(status, f"Location: http://127.0.0.1:{port}/steal")]) as store:
        document = problem(send(start, web, store, RETRY), 400, "upstream-redirected")
        assert document["upstream_status"] == status


def test_a_closed_port_is_bad_gateway(start: Start, web: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        endpoint = f"http://127.0.0.1:{gone.getsockname()[1]}"
    service = start(AWS_S3_ENDPOINT_URL=endpoint)
    response = post(web, service + PLAIN, (FILE, b"x"), (URL, signed_for(endpoint).encode()))
    assert problem(response, 502, "upstream-unavailable")["upstream_status"] is None


def test_the_whole_upload_is_bounded_in_time(start: Start, web: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        endpoint = f"http://127.0.0.1:{mute.getsockname()[1]}"
        service = start(AWS_S3_ENDPOINT_URL=endpoint, TIMEOUT_SECONDS="0.3")
        response = post(web, service + RETRY, (FILE, b"x"), (URL, signed_for(endpoint).encode()))
        assert problem(response, 504, "upload-timed-out")["attempts"] == 1


def test_a_slow_form_is_bounded_in_time(start: Start) -> None:
    service = start(TIMEOUT_SECONDS="0.3")
    connection = http.client.HTTPConnection(service.removeprefix("http://"), timeout=20)
    connection.putrequest("POST", PLAIN)
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"--x\r\n")
    assert connection.getresponse().status == 504
    connection.close()


def test_a_body_above_the_limit_is_refused_before_it_is_read(service: str) -> None:
    connection = http.client.HTTPConnection(service.removeprefix("http://"), timeout=20)
    connection.putrequest("POST", PLAIN)
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Content-Length", str(6 * 1024**3))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert b"body-too-large" in response.read()
    connection.close()


def test_the_error_of_s3_itself_reaches_the_client(service: str, web: httpx.Client, mint: Mint, jpeg: bytes) -> None:
    url = mint()["presignedUrl"].replace("/local-uploads/", "/local-uploads-gone/")
    document: dict[str, Any] = problem(
        post(web, service + PLAIN, (FILE, jpeg), (URL, url.encode())), 403, "upload-target-refused"
    )
    assert "bucket" in document["detail"]
