"""What became of an upload is told to the application once, with the row that says so, or not at all."""

import asyncio
import io
from typing import Any

import jwt
import pytest
from PIL import Image
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from standardwebhooks import Webhook

from image_upload.completion.confirmation import confirm
from image_upload.completion.context import CompletionContext
from image_upload.completion.sweep import sweep
from image_upload.database.tables import outbox
from image_upload.domain import keys
from local.embedded_s3 import EmbeddedS3
from tests.completion.ending import Killed, end_at
from tests.completion.stores import do, expected_object, put
from tests.database.databases import Place
from tests.notify.receiver import SECRET, Received, Receiver, answer
from tests.notify.receiver import receiver as hooked

JWT_SECRET = "a-secret-of-more-than-thirty-two-bytes"
SCRIPT = b"<script>alert('uploaded')</script>"


def photo() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(written, "JPEG")
    return written.getvalue()


PHOTO = photo()


def telling(receiver: Receiver, **environ: str) -> dict[str, str]:
    return {
        "VERIFY": "publish",
        "WEBHOOK_URL": receiver.url,
        "WEBHOOK_SECRET": SECRET,
        "JWT_SECRET": JWT_SECRET,
        **environ,
    }


def verified(received: Received) -> dict[str, Any]:
    event: dict[str, Any] = Webhook(SECRET).verify(received.body, received.headers)
    return event


def key_of(user: str = "user-1") -> str:
    return f"profiles/{user}/{keys.new_id(user)}"


def test_a_row_and_its_event_are_one(s3: EmbeddedS3, place: Place) -> None:
    key = key_of()

    async def work(context: CompletionContext) -> list[str]:
        await context.database.records.insert("post", expected_object(key=key, size_bytes=len(PHOTO)))
        await put(context, f"incoming/{key}", PHOTO)
        await asyncio.gather(*(confirm(context, key, is_news=True) for _ in range(5)))
        for _again in range(3):
            await confirm(context, key, is_news=True)
        return await _ids(context)

    with hooked() as receiver:
        (noted,) = do(s3, place, work, **telling(receiver))
        (received,) = receiver.received
    event = verified(received)
    assert event["id"] == noted == received.headers["webhook-id"]
    assert event["type"] == "upload.stored"
    data = event["data"]
    about = {name: data[name] for name in ("key", "owner", "purpose", "size", "type", "width", "height")}
    assert tuple(about.values()) == (key, "user-1", "profile", len(PHOTO), "image/jpeg", 40, 30)
    claims = jwt.decode(data["receipt"], options={"verify_signature": False})
    assert (claims["key"], claims["size"], claims["width"]) == (key, len(PHOTO), 40)


async def _ids(context: CompletionContext) -> list[str]:
    async def work(connection: AsyncConnection) -> list[str]:
        return [str(each) for each in (await connection.execute(select(outbox.c.id))).scalars()]

    return await context.database.records.run(work)


def test_what_is_kept_out_is_told_with_its_fault(s3: EmbeddedS3, place: Place) -> None:
    key = key_of()

    async def work(context: CompletionContext) -> None:
        await context.database.records.insert("post", expected_object(key=key, size_bytes=len(SCRIPT)))
        await put(context, f"incoming/{key}", SCRIPT)
        await confirm(context, key)

    with hooked() as receiver:
        do(s3, place, work, **telling(receiver))
        (received,) = receiver.received
    event = verified(received)
    assert (event["type"], event["data"]["fault"], event["data"]["key"]) == ("upload.rejected", "disguised", key)


def test_an_upload_without_a_row_is_told_of_once_however_often_its_event_comes(s3: EmbeddedS3, place: Place) -> None:
    key = key_of("jane@example.com")

    async def work(context: CompletionContext) -> None:
        await put(context, f"incoming/{key}", PHOTO)
        for _again in range(3):
            await confirm(context, key, is_news=True)

    with hooked() as receiver:
        do(s3, place, work, **telling(receiver))
        (received,) = receiver.received
    assert verified(received)["data"]["owner"] == "jane@example.com"


def test_what_the_receiver_did_not_take_is_sent_by_the_sweep(s3: EmbeddedS3, place: Place) -> None:
    key = key_of()

    async def work(context: CompletionContext) -> None:
        await put(context, f"incoming/{key}", PHOTO)
        await confirm(context, key)

    with hooked() as receiver:
        receiver.script = [answer(500)]
        do(s3, place, work, **telling(receiver))
        assert len(receiver.received) == 1

        async def later(context: CompletionContext) -> Any:
            async def due(connection: AsyncConnection) -> None:
                await connection.execute(outbox.update().values(next_at=outbox.c.created_at))

            await context.database.records.run(due)
            return await sweep(context, 20)

        tally = do(s3, place, later, **telling(receiver))
        first, second = receiver.received
    assert tally["event delivered"] == 1
    assert verified(first)["id"] == verified(second)["id"]


@pytest.mark.parametrize("content", [PHOTO, pytest.param(SCRIPT, marks=pytest.mark.full)])
def test_ended_at_any_call_there_is_one_event(s3: EmbeddedS3, place: Place, content: bytes) -> None:
    calls = 0
    with hooked() as receiver:
        while True:
            calls += 1
            key, survived = key_of(), True

            async def ended(context: CompletionContext, key: str = key, calls: int = calls) -> None:
                await context.database.records.insert("post", expected_object(key=key, size_bytes=len(content)))
                await put(context, f"incoming/{key}", content)
                end_at(context.bucket, calls)
                await confirm(context, key, is_news=True)

            async def again(context: CompletionContext, key: str = key) -> Any:
                return (await confirm(context, key, is_news=True)).record

            try:
                do(s3, place, ended, **telling(receiver))
            except Killed:
                survived = False
            record = do(s3, place, again, **telling(receiver))
            assert record is not None
            assert record.state == ("stored" if content is PHOTO else "rejected")
            told = [each.event for each in receiver.received if each.event["data"]["key"] == key]
            assert len(told) == 1, calls
            if survived:
                break
    assert calls > 3
