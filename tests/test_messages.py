"""What people read when their file is empty, has no type, or meets an S3 that fails."""

from collections.abc import Callable

import httpx
import pytest

from image_upload.errors import EmptyFile, UpstreamUnavailable
from image_upload.form_proxy.sender import gave_up
from image_upload.outbound.retry import RetryableError
from tests.conftest import Mint, problem

Ask = Callable[[httpx.Client, str], httpx.Response]
SPEC = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 0}
EMPTY = {"file": ("cat.jpg", b"", "image/jpeg")}


def as_json(path: str, document: dict[str, object]) -> Ask:
    return lambda web, service: web.post(service + path, json=document)


def as_form(path: str, **fields: str) -> Ask:
    return lambda web, service: web.post(service + path, data=fields, files=EMPTY)


def by_params(web: httpx.Client, service: str) -> httpx.Response:
    params = {"filename": "cat.jpg", "type": "image/jpeg", "metadata[size]": "0"}
    return web.get(f"{service}/s3/params", params=params)


@pytest.mark.parametrize(
    "ask",
    [
        as_json("/uploads", SPEC),
        as_json("/uploads", SPEC | {"accepts": ["post"]}),
        as_json("/uploads", SPEC | {"accepts": ["multipart"]}),
        as_json("/uploads", SPEC | {"accepts": ["proxy"]}),
        as_json("/images/presigned-url", {"content_type": "image/jpeg", "size": 0}),
        as_json("/images/presigned-url/chat", {"content_type": "image/jpeg", "size": 0}),
        as_json("/s3/multipart", {"filename": "cat.jpg", "type": "image/jpeg", "metadata": {"size": 0}}),
        by_params,
        as_form("/api/v1/s3/upload"),
        as_form("/api/v1/s3/upload", folder="cats"),
        as_form("/api/v1/s3/upload", purpose="upload"),
    ],
)
def test_an_empty_file_gets_the_same_answer_everywhere(service: str, web: httpx.Client, ask: Ask) -> None:
    assert problem(ask(web, service), 400, "empty-file")["detail"] == EmptyFile().detail


@pytest.mark.parametrize("path", ["/upload-with-presigned", "/upload-with-presigned-retry"])
def test_an_empty_file_gets_the_same_answer_through_the_service(
    service: str, web: httpx.Client, mint: Mint, path: str
) -> None:
    response = as_form(path, uploadUrl=mint()["presignedUrl"])(web, service)
    assert problem(response, 400, "empty-file")["detail"] == EmptyFile().detail


@pytest.mark.parametrize(
    ("filename", "purpose", "content_type"),
    [
        ("cat.jpg", "upload", "image/jpeg"),
        ("CAT.JPEG", "upload", "image/jpeg"),
        ("cat.webp", "scan", "image/webp"),
        ("report.hwpx", "document", "application/vnd.hancom.hwpx"),
    ],
)
def test_a_file_whose_type_the_browser_does_not_know_gets_that_of_its_name(
    web: httpx.Client, mint: Mint, jpeg: bytes, filename: str, purpose: str, content_type: str
) -> None:
    plan = mint(filename=filename, contentType="", purpose=purpose)
    assert plan["headers"]["Content-Type"] == content_type
    assert web.put(plan["presignedUrl"], content=jpeg, headers=plan["headers"]).status_code == 200


@pytest.mark.parametrize(
    ("filename", "purpose", "says"),
    [
        ("cat.heic", "upload", "The purpose upload takes: image/jpeg, image/png, image/webp, image/avif."),
        ("report.hwp", "document", "takes: application/x-hwp, application/haansofthwp, application/vnd.hancom.hwp."),
        ("lesson.mp3", "audio", "takes: audio/*."),
        ("core.dump", "file", "Send application/octet-stream in its place."),
    ],
)
def test_where_the_name_does_not_say_the_type_the_answer_says_what_to_send(
    service: str, web: httpx.Client, filename: str, purpose: str, says: str
) -> None:
    spec = {"filename": filename, "contentType": "", "size": 5, "purpose": purpose}
    told = problem(web.post(f"{service}/uploads", json=spec), 400, "unsupported-file-type")
    assert told["detail"].startswith("The browser knows no type for this file")
    assert says.lower() in told["detail"].lower()
    assert "application/octet-stream" in told["detail"]
    assert told["allowed"]


def test_uppy_takes_the_type_of_the_name_or_any(service: str, web: httpx.Client) -> None:
    for filename, purpose, content_type in (
        ("a.png", "upload", "image/png"),
        ("a", "file", "application/octet-stream"),
    ):
        params = {"filename": filename, "metadata[purpose]": purpose, "type": ""}
        assert web.get(f"{service}/s3/params", params=params).json()["fields"]["Content-Type"] == content_type


@pytest.mark.parametrize(
    ("attempts", "says"), [(1, "There was one attempt. Send the file again"), (4, "in each of 4 attempts. Send the")]
)
def test_the_last_attempt_says_how_many_there_were(attempts: int, says: str) -> None:
    gone = gave_up(RetryableError("503", status=503), attempts)
    assert isinstance(gone, UpstreamUnavailable)
    assert says in gone.detail
    assert gone.extras["attempts"] == attempts
    assert ("max_retries" in gone.detail) == (attempts == 1)
