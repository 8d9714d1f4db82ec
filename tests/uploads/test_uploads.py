import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.conftest import Mint, Start, problem

SPEC = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 123456}


def test_the_documents_curl_succeeds_with_content_type_alone(
    mint: Mint, web: httpx.Client, jpeg: bytes, service: str
) -> None:
    plan = mint()
    put = web.put(plan["presignedUrl"], content=jpeg, headers={"Content-Type": "image/jpeg"})
    assert put.status_code == 200
    read = web.get(web.get(f"{service}/images/{plan['objectKey']}").json()["url"])
    assert read.content == jpeg
    assert read.headers["content-type"] == "image/jpeg"


def test_type_and_length_are_signed(mint: Mint) -> None:
    plan = mint(size=4711)
    query = parse_qs(urlsplit(plan["presignedUrl"]).query)
    assert query["X-Amz-SignedHeaders"] == ["content-length;content-type;host"]
    assert query["X-Amz-Expires"] == ["300"]
    assert (plan["headers"], plan["contentLength"]) == ({"Content-Type": "image/jpeg"}, 4711)
    assert (plan["strategy"], plan["method"], plan["expiresIn"], plan["cdnUrl"]) == ("put", "PUT", 300, None)
    assert plan["expiresAt"].endswith("Z")


def test_a_checksum_is_signed_as_a_header(mint: Mint, jpeg: bytes) -> None:
    digest = hashlib.sha256(jpeg).digest()
    encoded = base64.b64encode(digest).decode()
    for sha256 in (digest.hex(), encoded):
        plan = mint(sha256=sha256)
        assert plan["headers"]["x-amz-checksum-sha256"] == encoded
        assert "x-amz-checksum-sha256" in parse_qs(urlsplit(plan["presignedUrl"]).query)["X-Amz-SignedHeaders"][0]


def test_asking_for_metadata_signs_the_standard_set(mint: Mint, web: httpx.Client, jpeg: bytes) -> None:
    plan = mint(filename="고양이.jpg", metadata={"album": "summer"})
    headers = plan["headers"]
    assert headers["x-amz-meta-album"] == "summer"
    assert headers["x-amz-meta-user_id"] == "anonymous"
    assert headers["x-amz-meta-content_type"] == "image/jpeg"
    assert headers["x-amz-meta-original_filename"].startswith("=?utf-8?")
    assert all(value.isascii() for value in headers.values())
    assert web.put(plan["presignedUrl"], content=jpeg, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("purpose", "fields", "prefix", "suffix"),
    [
        ("upload", {}, "uploads/", ".jpg"),
        ("scan", {}, "scans/2", ""),
        ("profile", {}, "profiles/anonymous/", ""),
        ("chat", {}, "chat/2", ""),
        ("document", {"filename": "계약서.hwp", "contentType": "application/x-hwp"}, "documents/anonymous/", ".hwp"),
        ("file", {"filename": "a.bin", "contentType": "application/octet-stream"}, "files/anonymous/", ".bin"),
        (
            "audio",
            {"filename": "a.webm", "contentType": "audio/webm;codecs=opus", "metadata": {"class_id": "c1"}},
            "audio/c1/",
            ".webm",
        ),
    ],
)
def test_a_purpose_decides_the_key(mint: Mint, purpose: str, fields: dict[str, Any], prefix: str, suffix: str) -> None:
    key = mint(purpose=purpose, **fields)["objectKey"]
    assert key.startswith(prefix)
    assert key.endswith(suffix)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"size": 10 * 1024 * 1024 + 1}, 400, "file-too-large"),
        ({"size": 2**62}, 400, "file-too-large"),
        ({"size": 2**70}, 422, "validation-failed"),
        ({"size": 0}, 400, "empty-file"),
        ({"size": -1}, 422, "validation-failed"),
        ({"size": "123"}, 422, "validation-failed"),
        ({"size": 1.5}, 422, "validation-failed"),
        ({"size": True}, 422, "validation-failed"),
        ({"filename": "cat.png"}, 400, "unsupported-file-type"),
        ({"filename": "cat"}, 400, "unsupported-file-type"),
        ({"filename": "cat.jpg.exe"}, 400, "unsupported-file-type"),
        ({"contentType": "image/gif", "filename": "cat.gif"}, 400, "unsupported-file-type"),
        ({"contentType": "image/svg+xml", "filename": "cat.svg"}, 400, "unsupported-file-type"),
        ({"contentType": "jpeg"}, 400, "unsupported-file-type"),
        ({"contentType": "image/jpeg\r\nx-evil: 1"}, 400, "unsupported-file-type"),
        ({"contentType": "", "filename": "cat"}, 400, "unsupported-file-type"),
        ({"contentType": "", "filename": "cat.heic"}, 400, "unsupported-file-type"),
        ({"contentType": " "}, 400, "unsupported-file-type"),
        ({"filename": "../cat.jpg"}, 400, "invalid-filename"),
        ({"filename": "cat\x00.jpg"}, 400, "invalid-filename"),
        ({"filename": "cat\n.jpg"}, 400, "invalid-filename"),
        ({"filename": "c" * 297 + ".jpg"}, 400, "invalid-filename"),
        ({"filename": ""}, 400, "invalid-filename"),
        ({"purpose": "nonsense"}, 422, "validation-failed"),
        ({"purpose": "audio", "filename": "a.mp3", "contentType": "audio/mpeg"}, 400, "invalid-metadata"),
        ({"sha256": "abc"}, 422, "validation-failed"),
        ({"sha256": "z" * 64}, 422, "validation-failed"),
        ({"sha256": "=" * 44}, 422, "validation-failed"),
        ({"metadata": {"a": "x" * 2048}}, 400, "invalid-metadata"),
        ({"metadata": {"a": "line\nbreak"}}, 400, "invalid-metadata"),
        ({"metadata": {"a b": "x"}}, 400, "invalid-metadata"),
        ({"metadata": {"a": 1}}, 422, "validation-failed"),
        ({"metadata": "a"}, 422, "validation-failed"),
    ],
)
def test_a_bad_wish_is_refused(service: str, web: httpx.Client, fields: dict[str, Any], status: int, code: str) -> None:
    problem(web.post(f"{service}/uploads", json=SPEC | fields), status, code)


@pytest.mark.parametrize("filename", ["고양이.jpg", "😀.jpeg", "a b.JPG", "x" * 251 + ".jpg"])
def test_names_in_any_script_are_welcome(mint: Mint, filename: str) -> None:
    assert mint(filename=filename)["objectKey"].endswith((".jpg", ".jpeg"))


def test_the_limit_is_named_where_it_is_passed(service: str, web: httpx.Client) -> None:
    document = problem(web.post(f"{service}/uploads", json=SPEC | {"size": 2**40}), 400, "file-too-large")
    assert document["title"] == "File too large"
    assert document["max_bytes"] == 10 * 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"filename":',
        b"\xff\xfe",
        b'{"filename":"\xff"}',
        b'{"size":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
    ids=["nothing", "cut", "a list", "null", "cut later", "no UTF-8", "no UTF-8 inside", "huge number", "deep"],
)
def test_a_body_that_is_no_json_object_is_refused(service: str, web: httpx.Client, body: bytes) -> None:
    response = web.post(f"{service}/uploads", content=body, headers={"Content-Type": "application/json"})
    problem(response, 422, "validation-failed")


def test_a_missing_field_is_named(service: str, web: httpx.Client) -> None:
    document = problem(web.post(f"{service}/uploads", json={"filename": "a.jpg"}), 422, "validation-failed")
    assert [error["field"] for error in document["errors"]] == ["contentType"]
    assert "contentType" in document["detail"]


def test_gif_is_an_image_where_the_operator_says_so(start: Start, web: httpx.Client) -> None:
    spec = SPEC | {"filename": "cat.gif", "contentType": "image/gif"}
    assert web.post(f"{start(ALLOW_GIF='true')}/uploads", json=spec).status_code == 200


def test_the_cdn_url_follows_the_setting(start: Start, web: httpx.Client) -> None:
    plan = web.post(f"{start(CDN_BASE_URL='https://cdn.example.com/')}/uploads", json=SPEC).json()
    assert plan["cdnUrl"] == f"https://cdn.example.com/{plan['objectKey']}"


@pytest.mark.parametrize(
    ("purpose", "fields", "served"),
    [
        ("upload", {}, True),
        ("scan", {}, True),
        ("profile", {}, True),
        ("chat", {}, True),
        ("file", {}, False),
        ("document", {"filename": "a.pdf", "contentType": "application/pdf"}, False),
        ("audio", {"filename": "a.mp3", "contentType": "audio/mpeg", "metadata": {"class_id": "c"}}, False),
    ],
)
def test_only_pictures_have_an_address_on_the_cdn(
    start: Start, web: httpx.Client, purpose: str, fields: dict[str, Any], served: bool
) -> None:
    service = start(CDN_BASE_URL="https://cdn.example.com")
    plan = web.post(f"{service}/uploads", json=SPEC | fields | {"purpose": purpose}).json()
    assert plan["cdnUrl"] == (f"https://cdn.example.com/{plan['objectKey']}" if served else None)


def test_clients_see_the_public_endpoint(start: Start, web: httpx.Client) -> None:
    plan = web.post(f"{start(S3_PUBLIC_ENDPOINT_URL='http://localhost:4566')}/uploads", json=SPEC).json()
    assert plan["presignedUrl"].startswith("http://localhost:4566/local-uploads/uploads/")
