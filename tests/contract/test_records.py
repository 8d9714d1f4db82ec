"""Posts and file records in front of each S3 server: a row says `stored` when S3 does, and never otherwise."""

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from local.database import local_database
from tests.conftest import Start, problem
from tests.contract.store import Store

MIB = 1024 * 1024
CONTENT = bytes(range(256)) * 8
SPEC = {"filename": "고양이.jpg", "contentType": "image/jpeg", "size": len(CONTENT)}
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def recorded(start: Start) -> Any:
    with local_database() as database:
        yield start(**database, UPLOAD_URL_EXPIRES_SECONDS="600")


def posted(web: httpx.Client, recorded: str, **fields: Any) -> dict[str, Any]:
    response = web.post(f"{recorded}/posts", json={**SPEC, **fields})
    assert response.status_code == 201, response.text
    post: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/posts/{post['id']}"
    return post


def sent(web: httpx.Client, post: dict[str, Any], content: bytes = CONTENT) -> None:
    assert web.put(post["presignedUrl"], content=content, headers=post["headers"]).status_code == 200


def state_of(web: httpx.Client, recorded: str, post: dict[str, Any]) -> str:
    row: dict[str, str] = web.get(f"{recorded}/posts/{post['id']}").json()
    return row["state"]


def test_a_post_is_pending_until_s3_has_its_image_and_then_read_by_its_url(
    recorded: str, web: httpx.Client, store: Store
) -> None:
    post = posted(web, recorded)
    assert (post["state"], post["imageKey"], post["size"]) == ("pending", post["objectKey"], len(CONTENT))
    assert (post["filename"], post["storedAt"], post["strategy"]) == ("고양이.jpg", None, "put")
    before = web.get(f"{recorded}/posts/{post['id']}").json()
    assert (before["state"], before["url"]) == ("pending", None)
    early = problem(web.post(f"{recorded}/posts/{post['id']}/complete"), 409, "not-arrived")
    assert early["state"] == "pending"
    sent(web, post)
    done = web.post(f"{recorded}/posts/{post['id']}/complete")
    assert done.status_code == 200, done.text
    row = done.json()
    assert (row["state"], row["size"], row["imageKey"]) == ("stored", len(CONTENT), post["imageKey"])
    assert row["storedAt"] is not None
    assert web.get(row["url"]).content == CONTENT == store.read(post["imageKey"])
    again = web.get(f"{recorded}/posts/{post['id']}").json()
    assert {**again, "url": ""} == {**row, "url": ""}


def test_a_later_read_notices_an_upload_that_was_not_reported(recorded: str, web: httpx.Client, store: Store) -> None:
    post = posted(web, recorded, sha256=SHA256)
    sent(web, post)
    assert state_of(web, recorded, post) == "stored"
    assert store.read(post["imageKey"]) == CONTENT


@pytest.mark.parametrize(
    ("fault", "fields", "content_type", "content"),
    [
        ("size", {}, "image/jpeg", CONTENT + b"x"),
        ("type", {}, "text/html", CONTENT),
        ("checksum", {"sha256": SHA256}, "image/jpeg", CONTENT[::-1]),
    ],
)
def test_what_is_not_as_promised_is_rejected_and_does_not_stay(
    fault: str,
    fields: dict[str, str],
    content_type: str,
    content: bytes,
    recorded: str,
    web: httpx.Client,
    store: Store,
) -> None:
    """A presigned URL does not allow it on a strict server; a program with keys of the bucket can do it."""
    post = posted(web, recorded, **fields)
    store.s3.put_object(Bucket=store.bucket, Key=post["imageKey"], Body=content, ContentType=content_type)
    url = f"{recorded}/posts/{post['id']}"
    for _ in range(2):
        refused = problem(web.post(f"{url}/complete"), 409, "upload-rejected")
        assert refused["fault"] == fault
    assert store.head(post["imageKey"]) is None
    row = web.get(url).json()
    assert (row["state"], row["fault"], row["url"], row["size"]) == ("rejected", fault, None, len(content))
    # What comes later under the same URL is no second chance, and does not stay either.
    store.s3.put_object(Bucket=store.bucket, Key=post["imageKey"], Body=CONTENT, ContentType="image/jpeg")
    assert state_of(web, recorded, post) == "rejected"
    assert store.head(post["imageKey"]) is None


def test_a_digest_that_s3_does_not_keep_is_computed_from_the_bytes(
    recorded: str, web: httpx.Client, store: Store
) -> None:
    content = bytes(range(256)) * 4096 * 9  # longer than one piece
    digest = hashlib.sha256(content).digest()
    post = posted(web, recorded, size=len(content), sha256=base64.b64encode(digest).decode(), purpose="upload")
    # Written without its checksum, as a server that forgets them would have it.
    store.s3.put_object(Bucket=store.bucket, Key=post["imageKey"], Body=content, ContentType="image/jpeg")
    assert state_of(web, recorded, post) == "stored"


def test_a_file_record_from_its_url_to_its_download(recorded: str, web: httpx.Client) -> None:
    name = "보고서 1+1.pdf"
    minted = web.post(f"{recorded}/files/upload-url", params={"filename": name}).json()
    base = f"{recorded}/files/{minted['file_id']}"
    problem(web.get(f"{base}/download-url"), 409, "not-arrived")
    assert web.put(minted["presigned_url"], content=CONTENT, headers=minted["headers"]).status_code == 200
    row = web.post(f"{base}/complete").json()
    assert (row["file_id"], row["state"], row["size"]) == (minted["file_id"], "stored", len(CONTENT))
    # The record says a length that a second PUT would make untrue.
    again = web.put(minted["presigned_url"], content=b"longer " + CONTENT, headers=minted["headers"])
    assert again.status_code == 412, again.text
    answer = web.get(f"{base}/download-url").json()
    read = web.get(answer["download_url"])
    assert read.content == CONTENT
    assert read.headers["content-disposition"].endswith(f"filename*=UTF-8''{quote(name, safe='+')}")
    assert parse_qs(urlsplit(answer["download_url"]).query)["X-Amz-Expires"] == ["900"]
