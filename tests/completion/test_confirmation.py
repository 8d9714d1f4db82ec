"""Who notices an upload, and when, makes no difference to its record. On SQLite and on PostgreSQL."""

import asyncio
from typing import Any

import pytest

from image_upload.completion.confirmation import confirm, confirm_record
from image_upload.completion.context import CompletionContext
from image_upload.database.values import Record
from image_upload.errors import StorageDenied, StorageUnavailable
from image_upload.outbound import retry
from local.embedded_s3 import EmbeddedS3
from tests.completion.stores import CONTENT, do, expected_object, put
from tests.database.databases import Place
from tests.faults.hostile import Act, Exchange, answering, hostile_store, raw, resetting


def test_twenty_that_finish_at_once_agree(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> list[Record]:
        row = await context.database.records.insert("post", expected_object())
        await put(context, row.expected_object.key)

        async def by_key() -> Record:
            found = (await confirm(context, row.expected_object.key)).record
            assert found is not None
            return found

        return await asyncio.gather(*(confirm_record(context, row) for _ in range(10)), *(by_key() for _ in range(10)))

    ends = do(s3, place, work)
    assert len(ends) == 20
    assert len(set(ends)) == 1
    assert (ends[0].state, ends[0].size_bytes) == ("stored", len(CONTENT))


def test_what_has_not_come_leaves_the_row_as_it_is(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> tuple[Record, Record, Record]:
        row = await context.database.records.insert("post", expected_object())
        return row, await confirm_record(context, row), await context.database.records.again(row)

    row, finished, again = do(s3, place, work)
    assert row == finished == again


def test_a_key_without_a_record_confirms_no_record(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> Record | None:
        await put(context, "uploads/nobody.jpg")
        return (await confirm(context, "uploads/nobody.jpg")).record

    assert do(s3, place, work) is None


def test_a_length_that_was_not_promised_may_be_any(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> Record:
        row = await context.database.records.insert("file", expected_object(size_bytes=None))
        await put(context, row.expected_object.key, b"")
        return await confirm_record(context, row)

    end = do(s3, place, work)
    assert (end.state, end.size_bytes) == ("stored", 0)


def test_what_was_replaced_since_it_was_looked_at_is_not_removed(s3: EmbeddedS3, place: Place) -> None:
    """The loser of a race sees a stored row, and touches nothing."""

    async def work(context: CompletionContext) -> tuple[Record, bytes]:
        row = await context.database.records.insert("post", expected_object())
        await put(context, row.expected_object.key, b"too long for this")
        context.database.records.reject = _slow_reject(context, row)
        end = await confirm_record(context, row)
        return end, (await context.bucket.call("GetObject", "GET", row.expected_object.key)).content

    def _slow_reject(context: CompletionContext, row: Record) -> Any:
        reject = context.database.records.reject

        async def slowly(*arguments: Any, **options: Any) -> Record:
            await put(context, row.expected_object.key)
            assert (await confirm_record(context, row)).state == "stored"
            return await reject(*arguments, **options)

        return slowly

    end, content = do(s3, place, work)
    assert (end.state, content) == ("stored", CONTENT)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (answering(raw(403)), StorageDenied),
        (answering(raw(503)), StorageUnavailable),
        (resetting(), StorageUnavailable),
    ],
    ids=["denied", "slow down", "broken line"],
)
def test_a_failure_of_s3_changes_no_row(
    fault: Act,
    expected: type[Exception],
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.01)

    async def work(context: CompletionContext) -> list[Record]:
        rows = [await context.database.records.insert("post", expected_object()) for _ in range(2)]
        await context.database.records.expire(rows[1])
        rows[1] = await context.database.records.again(rows[1])
        for row in rows:
            with pytest.raises(expected):
                await confirm_record(context, row)
            assert await context.database.records.again(row) == row
        return rows

    with hostile_store() as store:
        store.play(*[fault] * 40)
        rows = do(EmbeddedS3(store.endpoint_url), place, work)
    assert [row.state for row in rows] == ["pending", "expired"]


@pytest.mark.parametrize("answer", [raw(204), raw(412), raw(404)], ids=["removed", "changed since", "gone"])
def test_only_the_object_that_was_looked_at_is_removed(answer: bytes, place: Place) -> None:
    async def work(context: CompletionContext) -> Record:
        return await confirm_record(context, await context.database.records.insert("post", expected_object()))

    def describing(exchange: Exchange) -> None:
        exchange.read_head()
        head = [
            "HTTP/1.1 200 OK",
            "Content-Length: 999",
            "Content-Type: image/jpeg",
            'ETag: "seen"',
            "Last-Modified: Mon, 30 Nov 2026 00:00:00 GMT",
            "Connection: close",
        ]
        exchange.say("\r\n".join([*head, "", ""]).encode())

    with hostile_store() as store:
        store.play(describing, answering(answer))
        end = do(EmbeddedS3(store.endpoint_url), place, work)
        looked, removed = store.exchanges
    assert (end.state, end.fault, end.size_bytes, end.etag) == ("rejected", "size", 999, '"seen"')
    assert looked.line.startswith("HEAD ")
    assert looked.headers["x-amz-checksum-mode"] == "ENABLED"
    assert removed.line.startswith("DELETE ")
    assert removed.headers["if-match"] == '"seen"'
