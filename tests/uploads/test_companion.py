"""Uppy's Companion protocol, request by request; tests/browser runs Uppy itself."""

import time
from typing import Any

import httpx
import jwt
import pytest

from tests.conftest import Start

MIB = 1024 * 1024
SECRET = "a-secret-of-more-than-thirty-two-bytes"
FILE = {"filename": "a b.bin", "type": "application/octet-stream", "metadata": {"purpose": "file"}}


def begin(web: httpx.Client, service: str, **metadata: Any) -> dict[str, str]:
    response = web.post(f"{service}/s3/multipart", json=FILE | {"metadata": {"purpose": "file"} | metadata})
    assert response.status_code == 200, response.text
    answer: dict[str, str] = response.json()
    return answer


def part_url(web: httpx.Client, service: str, upload: dict[str, str], number: int) -> httpx.Response:
    return web.get(f"{service}/s3/multipart/{upload['uploadId']}/{number}", params={"key": upload["key"]})


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Uppy 5 shows `message`; a 200 with `error` would be a failure for it, so errors are never 200."""
    document: dict[str, Any] = response.json()
    assert (response.status_code, document["code"], document["error"]) == (status, code, code), document
    assert document["message"] == document["detail"]
    assert document["requestId"] == response.headers["x-request-id"]
    return document


@pytest.mark.parametrize("size", ["12582912", 12582912])
def test_a_file_in_parts_from_create_to_complete(start: Start, web: httpx.Client, size: object) -> None:
    service = start(CDN_BASE_URL="https://cdn.example.com")  # which serves no such files
    upload = begin(web, service, size=size)
    assert upload["key"].startswith("files/anonymous/")
    assert upload["bucket"] == "local-uploads"
    etags = []
    for number, length in ((1, 5 * MIB), (2, 5 * MIB), (3, 2 * MIB)):
        answer = part_url(web, service, upload, number).json()
        assert answer["expires"] == 3600
        assert "X-Amz-SignedHeaders=content-length%3Bhost" in answer["url"]
        etags.append(web.put(answer["url"], content=b"x" * length).headers["etag"])
    base = f"{service}/s3/multipart/{upload['uploadId']}"
    listed = web.get(base, params={"key": upload["key"]}).json()
    assert [(part["PartNumber"], part["Size"]) for part in listed] == [(1, 5 * MIB), (2, 5 * MIB), (3, 2 * MIB)]
    # Uppy 6 mixes: quotes on parts it was told of, none on parts it sent itself.
    parts = [{"PartNumber": n, "ETag": etag if n == 1 else etag.strip('"')} for n, etag in enumerate(etags, 1)]
    for _ in range(2):
        done = web.post(f"{base}/complete", params={"key": upload["key"]}, json={"parts": parts})
        assert done.json()["key"] == upload["key"]
        assert done.json()["location"].endswith(f"/local-uploads/{upload['key']}")
    # Uppy 5 sends DELETE when the answer to complete was lost: the object must survive it.
    assert web.delete(base, params={"key": upload["key"]}).json() == {}
    assert web.get(web.get(f"{service}/images/{upload['key']}").json()["url"]).status_code == 200


def test_a_cancelled_upload_is_gone_and_cancelling_again_is_no_error(service: str, web: httpx.Client) -> None:
    upload = begin(web, service)
    base = f"{service}/s3/multipart/{upload['uploadId']}"
    for _ in range(2):
        response = web.delete(base)
        assert (response.status_code, response.json()) == (200, {})
    refused(web.get(base), 404, "upload-not-found")


def test_a_small_file_goes_by_form(service: str, web: httpx.Client) -> None:
    query = {"filename": "cat.jpg", "type": "image/jpeg", "metadata[size]": "5", "metadata[nope]": "undefined"}
    answer = web.get(f"{service}/s3/params", params=query).json()
    assert (answer["method"], answer["expires"]) == ("POST", 300)
    assert answer["url"].endswith("/")
    assert answer["fields"]["key"].startswith("uploads/")
    files = {"file": ("cat.jpg", b"12345", "image/jpeg")}
    assert web.post(answer["url"], data=answer["fields"], files=files).status_code == 201


def test_without_a_size_parts_are_signed_without_length(service: str, web: httpx.Client) -> None:
    url = part_url(web, service, begin(web, service), 10_000).json()["url"]
    assert "X-Amz-SignedHeaders=host&" in url


def test_a_chunk_size_of_the_clients_own_is_followed(service: str, web: httpx.Client) -> None:
    upload = begin(web, service, size=20 * MIB, chunkSize=8 * MIB)
    refused(part_url(web, service, upload, 4), 400, "parts-invalid")
    assert part_url(web, service, upload, 3).status_code == 200


def test_many_parts_are_signed_at_once(service: str, web: httpx.Client) -> None:
    upload = begin(web, service, size=20 * MIB)
    url = f"{service}/s3/multipart/{upload['uploadId']}/batch"
    urls = web.get(url, params={"partNumbers": "1,3"}).json()["presignedUrls"]
    assert sorted(urls) == ["1", "3"]
    for wrong in ("", "a", "1,,2", "1,2,"):
        refused(web.get(url, params={"partNumbers": wrong}), 422, "validation-failed")


@pytest.mark.parametrize(
    ("metadata", "status", "code"),
    [
        ({"purpose": "nonsense"}, 422, "validation-failed"),
        ({"purpose": "upload"}, 400, "unsupported-file-type"),
        ({"size": "many"}, 422, "validation-failed"),
        ({"size": -1}, 422, "validation-failed"),
        ({"size": 0}, 400, "empty-file"),
        ({"size": 2**62}, 400, "file-too-large"),
        ({"size": 5, "chunkSize": 6 * 1024**3}, 422, "validation-failed"),
        ({"purpose": "audio"}, 400, "unsupported-file-type"),
        ({"purpose": {"a": 1}}, 422, "validation-failed"),
    ],
)
def test_a_bad_file_is_refused_before_anything_begins(
    service: str, web: httpx.Client, metadata: dict[str, Any], status: int, code: str
) -> None:
    body = FILE | {"metadata": {"purpose": "file"} | metadata}
    refused(web.post(f"{service}/s3/multipart", json=body), status, code)


def test_another_key_than_the_tickets_is_refused(service: str, web: httpx.Client) -> None:
    upload = begin(web, service)
    other = begin(web, service)
    refused(part_url(web, service, upload | {"key": other["key"]}, 1), 403, "ticket-invalid")


def token(user: str, **claims: Any) -> str:
    return jwt.encode({"sub": user, "exp": time.time() + 60, **claims}, SECRET)


@pytest.mark.parametrize("path", ["/u/{token}/s3", "/u/{token}//s3"])
def test_a_token_in_the_path_says_who_is_asking(start: Start, web: httpx.Client, path: str) -> None:
    service = start(JWT_SECRET=SECRET, AUTH_REQUIRED="true")
    base = service + path.format(token=token("alice"))
    upload = web.post(f"{base}/multipart", json=FILE).json()
    assert upload["key"].startswith("files/alice/")
    assert web.get(f"{base}/multipart/{upload['uploadId']}/1").status_code == 200
    mallory = service + path.format(token=token("mallory"))
    refused(web.get(f"{mallory}/multipart/{upload['uploadId']}/1"), 404, "upload-not-found")
    expired = service + path.format(token=token("alice", exp=time.time() - 31))
    refused(web.get(f"{expired}/multipart/{upload['uploadId']}/1"), 401, "token-invalid")
    refused(web.post(f"{service}/s3/multipart", json=FILE), 401, "token-missing")


def test_a_doubled_slash_without_a_token_is_taken(service: str, web: httpx.Client) -> None:
    assert web.post(f"{service}//s3/multipart", json=FILE).status_code == 200


def test_a_form_above_what_one_request_carries_is_refused(service: str, web: httpx.Client) -> None:
    query = {"filename": "a.bin", "metadata[size]": str(6 * 1024**3), "metadata[purpose]": "file"}
    refused(web.get(f"{service}/s3/params", params=query), 400, "file-too-large")
