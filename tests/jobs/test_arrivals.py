"""The task of a purpose: each arrival starts one job, whatever fails on the way."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from image_upload.completion.confirmation import confirm
from image_upload.completion.context import CompletionContext
from image_upload.completion.sweep import sweep
from image_upload.database.tables import outbox
from image_upload.domain import keys
from image_upload.jobs.job import id_of
from local.embedded_s3 import EmbeddedS3
from tests.completion.ending import Killed, end_at
from tests.completion.stores import do, expected_object, put
from tests.completion.test_telling import PHOTO, SCRIPT
from tests.conftest import Start
from tests.database.databases import Place
from tests.jobs.queues import Sqs
from tests.jobs.test_tasks import SECRET, bearer, scan, stored


def photo_key(user: str = "user-1") -> str:
    return f"photos/{user}/{keys.new_id(user)}"


def asking(queue_url: str, purposes: str) -> dict[str, str]:
    return {"QUEUE_URL": queue_url, "JWT_SECRET": SECRET, "PURPOSES_FILE": purposes, "VERIFY": "publish"}


def test_a_completed_upload_starts_the_task_of_its_purpose(
    start: Start, web: httpx.Client, queue: Sqs, purposes: str
) -> None:
    url = start(**asking(queue.url, purposes), DATABASE_URL="")
    key = stored(web, url, "jane", purpose="photo")
    for _ in range(2):
        assert web.post(f"{url}/images/{key}/complete", headers=bearer("jane")).status_code == 200
        assert web.get(f"{url}/images/{key}", headers=bearer("jane")).status_code == 200
    # The arrival's own job, which is queued beside the answer.
    assert scan(web, url, key).json() == {"job_id": id_of(key, "look")}
    (message,) = queue.messages()
    assert (message["task"], message["kwargs"]["user_id"], message["key"]) == ("look", "jane", key)


def test_a_recording_has_the_id_of_its_class(start: Start, web: httpx.Client, queue: Sqs, purposes: str) -> None:
    url = start(**asking(queue.url, purposes))
    fields = {"filename": "a.mp3", "contentType": "audio/mpeg", "metadata": {"class_id": "7"}, "purpose": "recording"}
    key = stored(web, url, "jane", b"sound", **fields)
    scan(web, url, key)
    (message,) = queue.messages()
    assert message["kwargs"].keys() == {"file_url", "user_id", "class_id"}
    assert (message["task"], message["kwargs"]["class_id"]) == ("transcribe_recording", "7")
    assert web.get(message["kwargs"]["file_url"]).content == b"sound"


def test_what_is_kept_out_and_what_has_no_task_starts_none(
    s3: EmbeddedS3, place: Place, queue: Sqs, purposes: str
) -> None:
    async def work(context: CompletionContext) -> None:
        key = photo_key()
        await put(context, f"incoming/{key}", SCRIPT)
        await confirm(context, key, is_news=True)
        plain = f"plain/user-1/{keys.new_id('user-1')}"
        await put(context, plain, PHOTO)
        await confirm(context, plain, is_news=True)

    do(s3, place, work, **asking(queue.url, purposes))
    assert queue.messages() == []


@pytest.mark.full
@pytest.mark.parametrize("recorded", [True, False])
def test_confirmed_by_many_at_once_there_is_one_job(
    s3: EmbeddedS3, place: Place, queue: Sqs, purposes: str, *, recorded: bool
) -> None:
    key = photo_key()

    async def work(context: CompletionContext) -> None:
        if recorded:
            await context.database.records.insert("post", expected_object(key=key, size_bytes=len(PHOTO)))
        await put(context, f"incoming/{key}", PHOTO)
        await asyncio.gather(*(confirm(context, key, is_news=True) for _ in range(5)))
        for _again in range(3):
            await confirm(context, key)

    do(s3, place, work, **asking(queue.url, purposes))
    assert [each["id"] for each in queue.messages()] == [id_of(key, "look")]


@pytest.mark.full
@pytest.mark.parametrize("recorded", [True, False])
def test_ended_at_any_call_the_next_confirmation_queues(
    s3: EmbeddedS3, place: Place, queue: Sqs, purposes: str, *, recorded: bool
) -> None:
    environ, calls, survived = asking(queue.url, purposes), 0, False
    while not survived:
        calls += 1
        key, survived = photo_key(), True

        async def ended(context: CompletionContext, key: str = key, calls: int = calls) -> None:
            if recorded:
                await context.database.records.insert("post", expected_object(key=key, size_bytes=len(PHOTO)))
            await put(context, f"incoming/{key}", PHOTO)
            end_at(context.bucket, calls)
            await confirm(context, key)
            tasks: Any = context.tasks  # those of the queue
            while tasks._dispatcher._sending:
                await asyncio.gather(*tasks._dispatcher._sending)

        async def again(context: CompletionContext, key: str = key) -> None:
            async def due(connection: Any) -> None:
                # The lease of the process that ended.
                await connection.execute(outbox.update().values(next_at=outbox.c.created_at))

            await confirm(context, key)
            await context.database.records.run(due)
            await sweep(context, 20)

        try:
            do(s3, place, ended, **environ)
        except Killed:
            survived = False
        do(s3, place, again, **environ)
        ids = [each["id"] for each in queue.messages() if each["key"] == key]
        assert set(ids) == {id_of(key, "look")}, calls
        # Twice only if it ended between the message and its mark.
        assert len(ids) <= 2, calls
    assert calls > 3


def test_a_task_that_the_queue_did_not_take_is_queued_by_the_sweep(
    s3: EmbeddedS3, place: Place, queue: Sqs, purposes: str
) -> None:
    key = photo_key()

    async def work(context: CompletionContext) -> None:
        await context.database.records.insert("post", expected_object(key=key, size_bytes=len(PHOTO)))
        await put(context, f"incoming/{key}", PHOTO)
        confirmation = await confirm(context, key)
        assert confirmation.record is not None
        assert confirmation.record.state == "stored"

    async def later(context: CompletionContext) -> Any:
        async def due(connection: Any) -> None:
            await connection.execute(outbox.update().values(next_at=outbox.c.created_at))

        await context.database.records.run(due)
        return await sweep(context, 20)

    do(s3, place, work, **asking(f"{queue.url}-other", purposes))
    assert place.sql("SELECT state, last_status FROM outbox") == [("pending", "queue-unavailable")]
    tally = do(s3, place, later, **asking(queue.url, purposes))
    assert tally["task delivered"] == 1
    assert [each["id"] for each in queue.messages()] == [id_of(key, "look")]
    (payload,) = place.sql("SELECT payload FROM outbox")[0]
    assert json.loads(payload) == {"name": "look", "key": key, "owner_id": "user-1", "class_id": None}


def test_a_file_of_last_week_starts_nothing(s3: EmbeddedS3, place: Place, queue: Sqs, purposes: str) -> None:
    async def work(context: CompletionContext) -> list[int]:
        key = photo_key()
        await put(context, f"incoming/{key}", PHOTO)
        confirmation = await confirm(context, key)
        assert confirmation.stored is not None
        old = confirmation.stored._replace(last_modified=datetime.now(UTC) - timedelta(days=6, seconds=1))
        return [len(context.tasks.due(each, "user-1")) for each in (confirmation.stored, old)]

    assert do(s3, place, work, **asking(queue.url, purposes)) == [1, 0]
