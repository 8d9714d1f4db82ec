"""Rows whose upload never came end as expired, and no other row does."""

import asyncio
import os
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from image_upload.completion.confirmation import confirm_record
from image_upload.completion.context import CompletionContext
from image_upload.completion.sweep import sweep
from image_upload.database.values import Record
from image_upload.limits import SWEEP_BATCH
from image_upload.outbound import retry
from local.embedded_s3 import EmbeddedS3
from tests.completion.stores import do, expected_object, put
from tests.database.databases import Place
from tests.faults.hostile import answering, hostile_store, raw, stalling_after
from tests.forked import ran

OVER = datetime.now(UTC) - timedelta(minutes=1)


async def rows(context: CompletionContext, count: int) -> list[Record]:
    return [await context.database.records.insert("post", expected_object(ends_at=OVER)) for _ in range(count)]


def test_each_row_ends_as_s3_says(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> tuple[Counter[str], list[str]]:
        came, wrong, never = await rows(context, 3)
        file = await context.database.records.insert("file", expected_object(ends_at=OVER, size_bytes=None))
        fresh = await context.database.records.insert("post", expected_object())
        await put(context, came.expected_object.key)
        await put(context, wrong.expected_object.key, b"too long for this")
        tally = await sweep(context, 30)
        every = [await context.database.records.again(row) for row in (came, wrong, never, file, fresh)]
        return tally, [row.state for row in every]

    tally, states = do(s3, place, work)
    assert states == ["stored", "rejected", "expired", "expired", "pending"]
    assert tally == {"stored": 1, "rejected": 1, "expired": 2}


@pytest.mark.full
def test_several_batches_and_sweeps_at_once_end_each_row_once(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> list[Counter[str]]:
        await rows(context, SWEEP_BATCH * 2 + 5)
        return await asyncio.gather(*(sweep(context, 60) for _ in range(3)))

    tallies = do(s3, place, work)
    assert sum(tally.total() for tally in tallies) == SWEEP_BATCH * 2 + 5
    assert set().union(*tallies) == {"expired"}
    assert place.sql("SELECT state, count(*) FROM uploads GROUP BY state") == [("expired", SWEEP_BATCH * 2 + 5)]


def test_what_comes_after_the_sweep_is_stored_after_all(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> list[str]:
        (row,) = await rows(context, 1)
        await sweep(context, 30)
        expired = await context.database.records.again(row)
        await put(context, row.expected_object.key)
        return [expired.state, (await confirm_record(context, expired)).state]

    assert do(s3, place, work) == ["expired", "stored"]


def test_where_s3_is_down_nothing_expires_and_the_sweep_stops_early(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.01)

    async def work(context: CompletionContext) -> Counter[str]:
        await rows(context, SWEEP_BATCH + 1)
        return await sweep(context, 30)

    with hostile_store() as store:
        store.play(*[answering(raw(503))] * 500)
        assert do(EmbeddedS3(store.endpoint_url), place, work) == {"failed": SWEEP_BATCH}
    assert place.sql("SELECT state, count(*) FROM uploads GROUP BY state") == [("pending", SWEEP_BATCH + 1)]


def test_a_sweep_ends_with_its_time_also_where_s3_never_answers(place: Place) -> None:
    async def work(context: CompletionContext) -> float:
        await rows(context, 3)
        started = time.monotonic()
        assert await sweep(context, 0.5) == {}
        return time.monotonic() - started

    with hostile_store() as store:
        store.play(*[stalling_after()] * 20)
        assert 0.4 < do(EmbeddedS3(store.endpoint_url), place, work) < 5
    assert place.sql("SELECT state, count(*) FROM uploads GROUP BY state") == [("pending", 3)]


def test_the_command_says_how_many_ended_how(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> None:
        came, *_ = await rows(context, 3)
        await put(context, came.expected_object.key)

    do(s3, place, work)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DATABASE_"))}

    def run(**further: str) -> subprocess.CompletedProcess[str]:
        return ran("image_upload", "sweep", environ=environ | {"ENVIRONMENT": "test"} | s3.environ | further)

    done = run(DATABASE_URL=place.url)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Swept: 2 expired, 1 stored."), done.stderr
    assert run(DATABASE_URL=place.url).stdout == "Swept: nothing was due.\n"
    without = run()
    assert without.returncode == 2
    assert "Set DATABASE_URL" in without.stderr
    place.sql("UPDATE uploads SET state = 'pending', swept_at = NULL WHERE state = 'expired'")
    down = run(DATABASE_URL=place.url, AWS_S3_ENDPOINT_URL="http://127.0.0.1:9")
    assert (down.returncode, down.stdout.splitlines()[-1]) == (1, "Swept: 2 failed.")
    assert "storage-unavailable" in down.stderr
