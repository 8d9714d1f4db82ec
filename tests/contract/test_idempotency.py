"""Idempotency-Key in front of each S3 server: one object and one multipart upload, however often it is asked for."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from image_upload.completion.context import CompletionContext
from image_upload.outbound import retry
from image_upload.s3 import multipart
from image_upload.settings import load
from local.database import local_database
from local.service import local_environ
from tests.conftest import Start, problem
from tests.contract.gaps import GAPS
from tests.contract.plans import CONTENT, MIB, content_of, follow, minted, send_parts, spec
from tests.contract.store import Store
from tests.contract.test_lost_answers import Relay, relay

__all__ = ["relay"]  # the fixture

SIZE = 6 * MIB
IN_PARTS = {
    "filename": "a.bin",
    "contentType": "application/octet-stream",
    "purpose": "file",
    "size": SIZE,
    "accepts": ["multipart"],
}
AT_ONCE = 8


@pytest.fixture
def headers() -> dict[str, str]:
    return {"Idempotency-Key": f'"{uuid4()}"'}


def test_a_retried_put_never_replaces_the_file(
    store: Store, service: str, web: httpx.Client, headers: dict[str, str]
) -> None:
    plans = [minted(web, f"{service}/uploads", json=spec(), headers=headers) for _ in range(2)]
    statuses = [web.put(plan["presignedUrl"], content=CONTENT, headers=plan["headers"]).status_code for plan in plans]
    assert statuses == [200, 412]
    assert store.read(plans[0]["objectKey"]) == CONTENT


def test_many_at_once_from_two_processes_are_one_multipart_upload_that_ends_well(
    store: Store, start: Start, web: httpx.Client, headers: dict[str, str]
) -> None:
    # Without an order two processes may begin two uploads. Both work until one of them ends; one process begins one.
    services = [start() for _ in range(1 if "upload-order" in GAPS[store.name] else 2)]

    def mint(number: int) -> tuple[str, str, str]:
        plan = minted(web, f"{services[number % len(services)]}/uploads", json=IN_PARTS, headers=headers)
        return plan["objectKey"], plan["uploadId"], plan["ticket"]

    with ThreadPoolExecutor(AT_ONCE) as clients:
        found = list(clients.map(mint, range(2 * AT_ONCE)))
    ((key, upload_id),) = {(key, upload_id) for key, upload_id, _ in found}
    assert store.unfinished(key) == [upload_id]
    content = content_of(SIZE)
    plan = minted(web, f"{services[0]}/uploads", json=IN_PARTS, headers=headers)
    send_parts(web, plan, content)
    done = web.post(f"{services[-1]}/uploads/{found[-1][2]}/complete", json={})
    assert done.status_code == 200, done.text
    assert store.read(key) == content
    stored = problem(web.post(f"{services[0]}/uploads", json=IN_PARTS, headers=headers), 412, "already-exists")
    assert stored["objectKey"] == key
    assert store.unfinished(key) == []


def test_a_retry_goes_on_where_the_parts_were_sent_and_after_an_abort_begins_anew(
    store: Store, service: str, web: httpx.Client, headers: dict[str, str]
) -> None:
    first = minted(web, f"{service}/uploads", json=IN_PARTS, headers=headers)
    send_parts(web, first, content_of(SIZE), 1)
    again = minted(web, f"{service}/uploads", json=IN_PARTS, headers=headers)
    progress = web.get(f"{service}/uploads/{again['ticket']}").json()
    assert [part["partNumber"] for part in progress["parts"]] == [1]
    assert follow(web, again["abort"]).status_code == 204
    anew = minted(web, f"{service}/uploads", json=IN_PARTS, headers=headers)
    assert (anew["objectKey"], store.unfinished(anew["objectKey"])) == (first["objectKey"], [anew["uploadId"]])
    assert anew["uploadId"] != first["uploadId"]


@pytest.mark.parametrize("times", [1, 3])
def test_a_begin_whose_answer_was_lost_is_found_by_the_retry(
    relay: tuple[Relay, str],
    store: Store,
    web: httpx.Client,
    headers: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    times: int,
) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.02)
    behind, service = relay
    behind.lost["Create"] = times
    first = web.post(f"{service}/uploads", json=IN_PARTS, headers=headers)
    assert behind.lost["Create"] == 0, "it was not asked so often"
    begun = behind.seen["Create"]
    plan = minted(web, f"{service}/uploads", json=IN_PARTS, headers=headers)
    assert behind.seen["Create"] == begun, "the retry begins no other"
    assert plan["uploadId"] in store.unfinished(plan["objectKey"])
    if times == 1:
        assert first.json()["uploadId"] == plan["uploadId"]
    else:
        problem(first, 502, "storage-unavailable")


@pytest.mark.also_on("localstack")
def test_uploads_of_one_key_are_listed_oldest_first(store: Store) -> None:
    """Which decides between two processes that begin one at once."""
    key = f"files/order/{uuid4()}"
    begun = [store.s3.create_multipart_upload(Bucket=store.bucket, Key=key)["UploadId"] for _ in range(6)]
    listed = asyncio.run(uploads_of(store, key))
    if listed != begun:
        # Those of one second; a second may have passed between two of them.
        store.lacks(gap="upload-order", answered="by id" if sorted(listed) == sorted(begun) else "otherwise")
    assert listed == begun


async def uploads_of(store: Store, key: str) -> list[str]:
    settings = load(local_environ({}, store.environ))
    context = CompletionContext(settings)
    try:
        return await multipart.list_uploads(context.bucket, key)
    finally:
        await context.aclose()


# --- where what is sent is verified first ---------------------------------------------------------


def stored_once(store: Store, service: str, web: httpx.Client, key: str, photo: bytes) -> None:
    """What is published, however often it was sent."""
    done = web.post(f"{service}/images/{key}/complete")
    assert (done.status_code, done.json()["state"]) == (200, "stored"), done.text
    assert store.read(key) == photo
    assert store.head(f"incoming/{key}") is None


def test_a_retry_after_the_publish_changes_nothing_of_the_file(
    store: Store, start: Start, web: httpx.Client, headers: dict[str, str], jpeg: bytes
) -> None:
    service = start(VERIFY="publish")
    asked = spec(size=len(jpeg))

    def send(content: bytes) -> tuple[str, int]:
        plan = minted(web, f"{service}/uploads", json=asked, headers=headers)
        return plan["objectKey"], web.put(plan["presignedUrl"], content=content, headers=plan["headers"]).status_code

    key, first = send(jpeg)
    assert (first, store.head(key)) == (200, None)
    assert send(jpeg) == (key, 412), "it waits for its verification"
    stored_once(store, service, web, key, jpeg)
    other = jpeg[:-40] + bytes(38) + jpeg[-2:]
    assert send(other) == (key, 200), "S3 takes what is dropped later"
    stored_once(store, service, web, key, jpeg)


def test_parts_are_not_sent_again_after_the_publish(
    store: Store, start: Start, web: httpx.Client, headers: dict[str, str], jpeg: bytes
) -> None:
    service = start(VERIFY="publish")
    photo = jpeg + bytes(SIZE)
    asked = spec(size=len(photo), accepts=["multipart"])
    plan = minted(web, f"{service}/uploads", json=asked, headers=headers)
    assert minted(web, f"{service}/uploads", json=asked, headers=headers)["uploadId"] == plan["uploadId"]
    send_parts(web, plan, photo)
    assert web.post(f"{service}/uploads/{plan['ticket']}/complete", json={}).status_code == 200
    stored_once(store, service, web, plan["objectKey"], photo)
    again = problem(web.post(f"{service}/uploads", json=asked, headers=headers), 412, "already-exists")
    assert again["objectKey"] == plan["objectKey"]
    assert store.unfinished(f"incoming/{plan['objectKey']}") == []


@pytest.mark.parametrize(("content", "code"), [(None, "already-exists"), (b"<script>", "upload-rejected")])
def test_a_retried_post_says_what_became_of_its_file(
    store: Store,
    start: Start,
    web: httpx.Client,
    headers: dict[str, str],
    jpeg: bytes,
    content: bytes | None,
    code: str,
) -> None:
    sent = (content or jpeg).ljust(len(jpeg))
    asked = {"filename": "a.jpg", "contentType": "image/jpeg", "size": len(sent)}
    with local_database() as database:
        service = start(VERIFY="publish", **database)
        made = [web.post(f"{service}/posts", json=asked, headers=headers).json() for _ in range(2)]
        assert made[0]["id"] == made[1]["id"]
        assert web.put(made[1]["presignedUrl"], content=sent, headers=made[1]["headers"]).status_code == 200
        row = web.get(f"{service}/posts/{made[0]['id']}").json()
        assert row["state"] == ("stored" if content is None else "rejected")
        again = web.post(f"{service}/posts", json=asked, headers=headers)
        assert (again.status_code, again.json()["code"]) == (412 if content is None else 409, code)
    assert (store.head(made[0]["objectKey"]) is None) is (content is not None)
