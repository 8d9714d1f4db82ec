"""Files that go straight through: `uploadUrl` in front of a file of at least a mebibyte."""

import http.client
import json
import socket
import threading
from typing import Any

import httpx
import pytest

from tests.conftest import Mint, Start, problem
from tests.form_proxy.stores import OK, answer, form, scripted_store
from tests.form_proxy.test_routes import FILE, PLAIN, RETRY, URL, post, signed_for

MIB = 1024 * 1024
CONTENT = bytes(range(256)) * 4096 * 3
AGAIN = answer(503, "Retry-After: 0")


@pytest.mark.parametrize("path", [PLAIN, RETRY])
@pytest.mark.parametrize("size", [MIB - 1, MIB, MIB + 1, 5 * MIB])
def test_a_file_is_stored_byte_for_byte(service: str, web: httpx.Client, mint: Mint, path: str, size: int) -> None:
    content = (CONTENT * 2)[:size]
    plan = mint(size=size)
    response = post(web, service + path, (URL, plan["presignedUrl"].encode()), (FILE, content))
    assert response.json()["file_size"] == size, response.text
    assert web.get(web.get(f"{service}/images/{plan['objectKey']}").json()["url"]).content == content


def send(start: Start, web: httpx.Client, endpoint_url: str, path: str, *more: tuple[str, bytes]) -> httpx.Response:
    service = start(AWS_S3_ENDPOINT_URL=endpoint_url)
    return post(web, service + path, (URL, signed_for(endpoint_url).encode()), (FILE, CONTENT), *more)


def test_the_store_gets_the_exact_length_and_type(start: Start, web: httpx.Client) -> None:
    with scripted_store([OK]) as store:
        assert send(start, web, store.endpoint_url, PLAIN).status_code == 200
        assert store.requests[0].headers["content-length"] == str(len(CONTENT))
        assert store.requests[0].headers["content-type"] == "image/jpeg"
        assert store.requests[0].body == CONTENT


def test_a_field_behind_the_file_is_refused_where_nothing_was_kept(start: Start, web: httpx.Client) -> None:
    with scripted_store([OK]) as store:
        response = send(start, web, store.endpoint_url, PLAIN, ("name=note", b"hello"))
        assert "Put the file last" in problem(response, 400, "malformed-form")["detail"]


def test_a_field_behind_the_file_is_no_matter_where_a_copy_was_kept(start: Start, web: httpx.Client) -> None:
    with scripted_store([OK, OK]) as store:
        response = send(start, web, store.endpoint_url, RETRY, ("name=max_retries", b"2"))
        assert response.json()["file_size"] == len(CONTENT), response.text
        assert store.requests[-1].body == CONTENT


def test_a_failed_attempt_is_repeated_from_the_copy(start: Start, web: httpx.Client) -> None:
    with scripted_store([AGAIN, AGAIN, OK]) as store:
        response = send(start, web, store.endpoint_url, RETRY)
        assert (response.json()["attempts"], response.json()["last_failure"]) == (3, "503")
        assert [received.body for received in store.requests] == [CONTENT] * 3


def test_without_a_copy_nothing_is_repeated_and_the_answer_says_so(start: Start, web: httpx.Client) -> None:
    with scripted_store([AGAIN, OK]) as store:
        document = problem(send(start, web, store.endpoint_url, PLAIN), 502, "upstream-unavailable")
        assert "keeps no copy" in document["detail"]
        assert (document["attempts"], document["upstream_status"]) == (1, 503)
        assert len(store.requests) == 1


def test_max_retries_in_front_of_the_file_is_respected(start: Start, web: httpx.Client) -> None:
    with scripted_store([AGAIN, OK]) as store:
        service = start(AWS_S3_ENDPOINT_URL=store.endpoint_url)
        parts = (("name=max_retries", b"0"), (URL, signed_for(store.endpoint_url).encode()), (FILE, CONTENT))
        problem(post(web, service + RETRY, *parts), 502, "upstream-unavailable")
        assert len(store.requests) == 1


def test_a_refused_target_is_refused_before_the_file_is_read(start: Start) -> None:
    service = start()
    body, headers = form((URL, signed_for("http://127.0.0.1:9").encode()), (FILE, CONTENT))
    connection = http.client.HTTPConnection(service.removeprefix("http://"), timeout=20)
    connection.putrequest("POST", PLAIN)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    # Only the head of the file is ever sent; the answer comes all the same.
    connection.endheaders(body[:2000])
    assert connection.getresponse().status == 403
    connection.close()


def test_a_forged_signature_for_our_own_bucket_is_refused_before_the_file_is_read(start: Start) -> None:
    with scripted_store([]) as store:
        service = start(AWS_S3_ENDPOINT_URL=store.endpoint_url)
        url = signed_for(store.endpoint_url)
        forged = url[:-4] + ("0000" if not url.endswith("0000") else "1111")
        body, headers = form((URL, forged.encode()), (FILE, CONTENT))
        connection = http.client.HTTPConnection(service.removeprefix("http://"), timeout=20)
        connection.putrequest("POST", PLAIN)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body[:2000])
        response = connection.getresponse()
        document = json.loads(response.read())
        connection.close()
        assert (response.status, document["code"]) == (400, "upstream-refused")
        assert (document["upstream_code"], document["attempts"]) == ("SignatureDoesNotMatch", 0)
        assert store.requests == []


def test_a_store_that_refuses_early_is_believed(start: Start, web: httpx.Client) -> None:
    """It answers after the head of the request and reads no more: its answer is the one that counts."""
    refusal = answer(403, body=b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(2000)
                connection.sendall(refusal)
                ended.wait(20)

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        document: dict[str, Any] = problem(send(start, web, endpoint, PLAIN), 400, "upstream-refused")
        assert document["upstream_code"] == "SignatureDoesNotMatch"
        ended.set()
        thread.join(20)


def test_a_store_that_claims_success_early_is_not_believed(start: Start, web: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def lie() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(2000)
                connection.sendall(OK.replace(b"Connection: close\r\n", b""))
                ended.wait(20)

        thread = threading.Thread(target=lie, daemon=True)
        thread.start()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        # Larger than what the sockets' buffers swallow, so that the lie comes before the end.
        service = start(AWS_S3_ENDPOINT_URL=endpoint)
        parts = ((URL, signed_for(endpoint).encode()), (FILE, CONTENT * 10))
        problem(post(web, service + PLAIN, *parts), 502, "upstream-unavailable")
        ended.set()
        thread.join(20)
