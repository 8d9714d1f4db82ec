"""An upload without a size: S3 refuses what is too large, or the service removes it and never serves it."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from image_upload.domain import keys
from image_upload.errors import FileTooLarge
from image_upload.library import Library
from image_upload.s3_service import S3Service
from local.service import local_environ
from tests.conftest import Start, problem
from tests.contract import plans
from tests.contract.plans import CONTENT, MIB, content_of
from tests.contract.store import Store
from tests.database.databases import Place, migrated

LIMIT = 10 * MIB
TOO_LARGE = LIMIT + MIB
PATHS = ("", "/scan", "/profile", "/chat")


def mint_image(web: httpx.Client, service: str, path: str = "") -> dict[str, Any]:
    """As a version 1 client does."""
    return plans.minted(web, f"{service}/images/presigned-url{path}", json={"content_type": "image/jpeg"})


def mint_unsized(web: httpx.Client, service: str, **fields: Any) -> dict[str, Any]:
    return plans.minted(web, f"{service}/uploads", json={"filename": "a.jpg", "contentType": "image/jpeg", **fields})


def put(web: httpx.Client, url: str, content: bytes) -> int:
    return web.put(url, content=content, headers={"Content-Type": "image/jpeg"}).status_code


def put_too_large(web: httpx.Client, service: str) -> str:
    """The key of 11 MB that S3 has taken."""
    plan = mint_image(web, service)
    assert put(web, plan["upload_url"], bytes(TOO_LARGE)) == 200
    return str(plan["key"])


@pytest.mark.full
@pytest.mark.parametrize("path", PATHS)
def test_eleven_megabytes_of_a_version_1_client_are_removed_and_never_served(
    store: Store, service: str, web: httpx.Client, path: str
) -> None:
    plan = mint_image(web, service, path)
    assert (plan["max_bytes"], plan["size_enforced"]) == (LIMIT, False)
    assert put(web, plan["upload_url"], bytes(TOO_LARGE)) == 200
    refused = problem(web.get(f"{service}/images/{plan['key']}"), 400, "file-too-large")
    assert (refused["title"], refused["max_bytes"]) == ("File too large", LIMIT)
    assert refused["detail"].startswith("The file has 11 MiB; its purpose takes at most 10 MiB.")
    assert store.head(plan["key"]) is None
    assert web.get(web.get(f"{service}/images/{plan['key']}").json()["url"]).status_code == 404


def test_up_to_the_limit_all_is_served(store: Store, service: str, web: httpx.Client) -> None:
    content = content_of(LIMIT)
    plan = mint_image(web, service)
    assert put(web, plan["upload_url"], content) == 200
    assert web.get(web.get(f"{service}/images/{plan['key']}").json()["url"]).content == content
    assert web.get(f"{service}/images/{plan['key']}/metadata").json()["size"] == LIMIT
    assert store.head(plan["key"]) is not None


@pytest.mark.parametrize(
    "path",
    ["/images/{}", "/images/{}/metadata", "/api/v1/s3/file/{}/url?expires_in=60", "/api/v1/s3/file/{}/metadata"],
)
def test_every_reader_removes_it(store: Store, service: str, web: httpx.Client, path: str) -> None:
    key = put_too_large(web, service)
    problem(web.get(service + path.format(key)), 400, "file-too-large")
    assert store.head(key) is None


def test_what_is_too_large_does_not_exist(store: Store, service: str, web: httpx.Client) -> None:
    key = put_too_large(web, service)
    assert web.get(f"{service}/api/v1/s3/file/{key}/exists").json()["exists"] is False
    assert store.head(key) is None


def test_a_listing_leaves_it_out_and_removes_it(store: Store, service: str, web: httpx.Client) -> None:
    kept = mint_image(web, service)
    assert put(web, kept["upload_url"], CONTENT) == 200
    key = put_too_large(web, service)
    listed = web.get(f"{service}/api/v1/s3/files", params={"prefix": "uploads/", "max_keys": 1000}).json()["files"]
    found = {each["key"] for each in listed}
    assert (kept["key"] in found, key in found) == (True, False)
    assert store.head(key) is None


def test_the_python_calls_give_nothing_of_it(store: Store, service: str, web: httpx.Client, tmp_path: Path) -> None:
    environ = local_environ({}, store.environ)

    async def download(key: str) -> None:
        async with Library.of(environ) as library:
            await library.download_file(key, tmp_path / "a.jpg")

    with pytest.raises(FileTooLarge):
        asyncio.run(download(put_too_large(web, service)))
    calls = S3Service(environ)
    try:
        key = put_too_large(web, service)
        with pytest.raises(FileTooLarge):
            calls.get_file_url(s3_key=key)
        assert calls.download_file(s3_key=key, local_path=tmp_path / "a.jpg") is False
    finally:
        calls.close()
    assert list(tmp_path.iterdir()) == []


def test_the_form_of_version_1_clients_refuses_it_before_s3_has_a_byte(
    store: Store, service: str, web: httpx.Client
) -> None:
    for path in ("/upload-with-presigned", "/upload-with-presigned-retry"):
        for fields_first in (True, False):
            plan = mint_image(web, service)
            file = ("file", ("cat.jpg", bytes(LIMIT + 1), "image/jpeg"))
            url: Any = ("uploadUrl", (None, plan["upload_url"]))
            response = web.post(service + path, files=[url, file] if fields_first else [file, url])
            problem(response, 400, "file-too-large")
            assert store.head(plan["key"]) is None


# --- POST /uploads --------------------------------------------------------------------------------


def test_a_form_is_chosen_and_s3_refuses_one_byte_more(store: Store, service: str, web: httpx.Client) -> None:
    plan = mint_unsized(web, service, accepts=["put", "post"])
    assert (plan["strategy"], plan["maxBytes"], plan["sizeEnforced"]) == ("post", LIMIT, True)

    def send(content: bytes) -> httpx.Response:
        return web.post(plan["presignedUrl"], data=plan["fields"], files={"file": ("a.jpg", content, "image/jpeg")})

    content = content_of(LIMIT)
    assert send(content).status_code == 201
    assert store.read(plan["objectKey"]) == content
    other = plan["objectKey"]
    store.refused(send(bytes(LIMIT + 1)), "400 EntityTooLarge", gap="policy", key=other, keeps=content)


def test_a_client_without_forms_gets_a_put_that_says_so(store: Store, service: str, web: httpx.Client) -> None:
    for fields in ({}, {"accepts": ["put"]}, {"accepts": ["put", "post"], "ifNoneMatch": True}):
        plan = mint_unsized(web, service, **fields)
        assert (plan["strategy"], plan["contentLength"], plan["maxBytes"]) == ("put", None, LIMIT)
        assert plan["sizeEnforced"] is False
        assert keys.max_bytes_in(plan["objectKey"]) == LIMIT
        sent = web.put(plan["presignedUrl"], content=bytes(TOO_LARGE), headers=plan["headers"])
        assert sent.status_code == 200
        problem(web.get(f"{service}/images/{plan['objectKey']}"), 400, "file-too-large")
        assert store.head(plan["objectKey"]) is None


def test_a_size_is_enforced_by_s3_and_its_key_says_nothing(service: str, web: httpx.Client) -> None:
    for accepts in ("put", "post", "multipart", "proxy"):
        plan = mint_unsized(web, service, size=5, accepts=[accepts])
        assert (plan["strategy"], plan["maxBytes"], plan["sizeEnforced"]) == (accepts, 5, True)
        assert keys.max_bytes_in(plan["objectKey"]) is None
        assert keys.owner_tag_in(plan["objectKey"]) == keys.owner_tag("anonymous")


def test_a_limit_of_s3_itself_needs_no_form(service: str, web: httpx.Client) -> None:
    asked = {"filename": "a.bin", "contentType": "application/octet-stream", "purpose": "file"}
    plan = mint_unsized(web, service, **asked, accepts=["post", "put"])
    assert (plan["strategy"], plan["maxBytes"], plan["sizeEnforced"]) == ("put", 5 * 1024 * MIB, True)


def test_parts_need_a_size(service: str, web: httpx.Client) -> None:
    asked = {"filename": "a.jpg", "contentType": "image/jpeg", "accepts": ["multipart"]}
    refused = problem(web.post(f"{service}/uploads", json=asked), 400, "no-strategy")
    assert refused["possible"] == ["post", "put", "resumable", "proxy"]
    assert "send its size" in refused["detail"]


# --- parts, whose number and lengths Uppy does not say ---------------------------------------------


@pytest.mark.parametrize("by_uppy", [True, False])
def test_parts_of_unknown_size_are_added_up_before_they_become_an_object(
    store: Store, service: str, web: httpx.Client, by_uppy: bool
) -> None:
    asked = {"filename": "a.jpg", "type": "image/jpeg", "metadata": {}}
    upload = web.post(f"{service}/s3/multipart", json=asked).json()
    base = f"{service}/s3/multipart/{upload['uploadId']}"

    def send(number: int, length: int) -> dict[str, Any]:
        url = web.get(f"{base}/{number}", params={"key": upload["key"]}).json()["url"]
        return {"PartNumber": number, "ETag": web.put(url, content=bytes(length)).headers["etag"]}

    parts = [send(1, 5 * MIB), send(2, 5 * MIB), send(3, 1)]
    if by_uppy:
        done = web.post(f"{base}/complete", params={"key": upload["key"]}, json={"parts": parts})
    else:
        done = web.post(f"{service}/uploads/{upload['uploadId']}/complete")
    assert (done.status_code, done.json()["code"]) == (400, "file-too-large"), done.text
    assert store.head(upload["key"]) is None
    assert store.unfinished(upload["key"]) == []


def test_parts_of_unknown_size_within_the_limit_become_an_object(store: Store, service: str, web: httpx.Client) -> None:
    asked = {"filename": "a.jpg", "type": "image/jpeg", "metadata": {}}
    upload = web.post(f"{service}/s3/multipart", json=asked).json()
    base, sent = f"{service}/s3/multipart/{upload['uploadId']}", []
    for number in (1, 2):
        url = web.get(f"{base}/{number}").json()["url"]
        sent.append({"PartNumber": number, "ETag": web.put(url, content=bytes(5 * MIB)).headers["etag"]})
    assert web.post(f"{base}/complete", json={"parts": sent}).status_code == 200
    stored = store.head(upload["key"])
    assert stored is not None
    assert stored["ContentLength"] == LIMIT


# --- records --------------------------------------------------------------------------------------


def test_a_post_without_a_size_is_rejected_when_its_image_is_too_large(
    store: Store, start: Start, web: httpx.Client, tmp_path: Path
) -> None:
    service = start(DATABASE_URL=migrated(Place(f"sqlite:///{tmp_path / 'a.sqlite3'}")).url)
    asked = {"filename": "a.jpg", "contentType": "image/jpeg"}
    for read in ("/images/{imageKey}", "/posts/{id}"):
        made = web.post(f"{service}/posts", json=asked)
        assert made.status_code == 201, made.text
        post = made.json()
        assert (post["strategy"], post["sizeEnforced"], post["size"]) == ("put", False, None)
        sent = web.put(post["presignedUrl"], content=bytes(TOO_LARGE), headers=post["headers"])
        assert sent.status_code == 200
        web.get(service + read.format(id=post["id"], imageKey=quote(post["imageKey"])))
        assert store.head(post["imageKey"]) is None
        row = web.get(f"{service}/posts/{post['id']}").json()
        assert (row["state"], row["fault"], row["url"]) == ("rejected", "size", None)


# --- where what is sent is verified first ---------------------------------------------------------


# Megabytes; tests/completion/test_unsized.py is the first tier's, as for the next.
@pytest.mark.full
@pytest.mark.parametrize("path", PATHS)
def test_what_is_too_large_for_a_checked_purpose_never_has_its_key(
    store: Store, start: Start, web: httpx.Client, jpeg: bytes, path: str
) -> None:
    service = start(VERIFY="publish")
    for content in (jpeg.ljust(TOO_LARGE, b"\0"), jpeg.ljust(LIMIT, b"\0")):
        plan = mint_image(web, service, path)
        assert (keys.max_bytes_in(plan["key"]), plan["size_enforced"]) == (LIMIT, False)
        assert put(web, plan["upload_url"], content) == 200
        assert store.head(plan["key"]) is None
        answer = web.get(f"{service}/images/{plan['key']}")
        if len(content) > LIMIT:
            assert problem(answer, 409, "upload-rejected")["fault"] == "size"
            assert store.head(plan["key"]) is None
        else:
            assert web.get(answer.json()["url"]).content == content
            assert put(web, plan["upload_url"], bytes(TOO_LARGE)) == 200, "the URL still works"
            assert web.get(f"{service}/images/{plan['key']}/metadata").json()["size"] == LIMIT
            assert store.read(plan["key"]) == content
        web.post(f"{service}/images/{plan['key']}/complete")
        assert store.head(f"incoming/{plan['key']}") is None


def test_a_put_without_a_size_is_held_to_the_limit_of_its_key_before_it_is_published(
    store: Store, start: Start, web: httpx.Client, jpeg: bytes
) -> None:
    service = start(VERIFY="publish")
    plan = mint_unsized(web, service)
    assert (plan["strategy"], plan["maxBytes"], plan["sizeEnforced"]) == ("put", LIMIT, False)
    sent = web.put(plan["presignedUrl"], content=jpeg.ljust(TOO_LARGE, b"\0"), headers=plan["headers"])
    assert sent.status_code == 200
    refused = problem(web.post(f"{service}/images/{plan['objectKey']}/complete"), 409, "upload-rejected")
    assert refused["fault"] == "size"
    assert (store.head(plan["objectKey"]), store.head(f"incoming/{plan['objectKey']}")) == (None, None)
