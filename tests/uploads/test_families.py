"""The documents' own families: thin skins over the one plan."""

from typing import Any

import httpx
import pytest

from tests.conftest import Start, problem


@pytest.mark.parametrize(
    ("path", "body", "prefix"),
    [
        ("", {}, "uploads/"),
        ("", {"purpose": "profile"}, "profiles/anonymous/"),
        ("/scan", {}, "scans/2"),
        ("/scan", {"purpose": "profile"}, "scans/2"),
        ("/profile", {}, "profiles/anonymous/"),
        ("/chat", {"size": 5}, "chat/2"),
    ],
)
def test_an_image_url_in_its_familys_names(
    start: Start, web: httpx.Client, path: str, body: dict[str, Any], prefix: str
) -> None:
    service = start(CDN_BASE_URL="https://cdn.growbin.app")
    response = web.post(f"{service}/images/presigned-url{path}", json={"content_type": "image/png", **body})
    assert response.status_code == 200, response.text
    plan = response.json()
    assert plan["key"].startswith(prefix)
    assert plan["cdn_url"] == f"https://cdn.growbin.app/{plan['key']}"
    assert plan["expires_in"] == 300
    assert plan["headers"]["Content-Type"] == "image/png"
    assert web.put(plan["upload_url"], content=b"12345", headers={"Content-Type": "image/png"}).status_code == 200


def test_the_length_that_is_signed_stands_apart_from_the_headers(service: str, web: httpx.Client) -> None:
    sized = web.post(f"{service}/images/presigned-url/scan", json={"content_type": "image/png", "size": 5}).json()
    assert (sized["headers"], sized["content_length"]) == ({"Content-Type": "image/png"}, 5)
    assert "X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost" in sized["upload_url"]
    unsized = web.post(f"{service}/images/presigned-url", json={"content_type": "image/png"}).json()
    assert (unsized["headers"], unsized["content_length"]) == ({"Content-Type": "image/png"}, None)
    file = web.post(f"{service}/files/upload-url", params={"filename": "a.pdf"}).json()
    assert (file["headers"], file["content_length"]) == ({"Content-Type": "application/octet-stream"}, None)


def test_the_upload_purpose_gets_the_types_extension(service: str, web: httpx.Client) -> None:
    key = web.post(f"{service}/images/presigned-url", json={"content_type": "image/jpeg"}).json()["key"]
    assert key.endswith(".jpg")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"content_type": "application/pdf"}, 400, "unsupported-file-type"),
        ({"content_type": "image/png", "size": 2**40}, 400, "file-too-large"),
        ({"content_type": "image/png", "size": 0}, 400, "empty-file"),
        ({"content_type": "image/png", "purpose": "document"}, 422, "validation-failed"),
        ({}, 422, "validation-failed"),
    ],
)
def test_a_bad_image_is_refused(service: str, web: httpx.Client, body: dict[str, Any], status: int, code: str) -> None:
    problem(web.post(f"{service}/images/presigned-url", json=body), status, code)


def test_a_file_is_stored_under_its_name(service: str, web: httpx.Client) -> None:
    plan = web.post(f"{service}/files/upload-url", params={"filename": "보고서 1.pdf"}).json()
    assert plan["object_key"].startswith("users/anonymous/")
    assert plan["object_key"].endswith("/보고서 1.pdf")
    assert plan["expires_in"] == 3600
    assert plan["headers"] == {"Content-Type": "application/octet-stream"}
    put = web.put(plan["presigned_url"], content=b"12345", headers=plan["headers"])
    assert put.status_code == 200
    assert web.get(web.get(f"{service}/images/{plan['object_key']}").json()["url"]).content == b"12345"


@pytest.mark.parametrize("filename", ["", "../x", "a\nb", "x" * 256])
def test_a_bad_file_name_is_refused(service: str, web: httpx.Client, filename: str) -> None:
    problem(web.post(f"{service}/files/upload-url", params={"filename": filename}), 400, "invalid-filename")
