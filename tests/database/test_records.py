"""Rows as they are written, found, settled and claimed, the same on SQLite and on PostgreSQL."""

import asyncio
import itertools
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError

from image_upload.database import records as module
from image_upload.database.records import Records, new_id
from image_upload.database.values import ExpectedObject, Kind, Record
from image_upload.errors import DatabaseUnavailable
from image_upload.limits import SWEEP_LEASE_S
from tests.database.databases import POSTGRES, Place

NOW = datetime.now(UTC)


def expected_object(**fields: Any) -> ExpectedObject:
    usual = ExpectedObject(
        user_id="user-1",
        key=f"uploads/{secrets.token_hex(16)}.jpg",
        filename="고양이.jpg",
        content_type="image/jpeg",
        size_bytes=5,
        sha256=None,
        ends_at=NOW + timedelta(minutes=5),
    )
    return usual._replace(**fields)


def test_a_row_comes_back_as_it_was_written(place: Place) -> None:
    given = expected_object(sha256="x" * 44)

    async def work(records: Records) -> tuple[Record, Record | None, Record | None]:
        written = await records.insert("post", given)
        return written, await records.find("post", written.id), await records.by_key(given.key)

    written, found, by_key = place.ask(work)
    assert written == found == by_key
    assert (written.expected_object, written.state, written.size_bytes) == (given, "pending", None)
    assert written.created_at.utcoffset() == timedelta(0)
    assert abs(written.created_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_row_of_another_kind_or_id_is_not_found(place: Place) -> None:
    async def work(records: Records) -> list[Record | None]:
        row = await records.insert("file", expected_object())
        return [await records.find("post", row.id), await records.find("file", row.id + 1)]

    assert place.ask(work) == [None, None]


def test_a_kind_knows_its_own_keys_and_its_own_oldest_row(place: Place) -> None:
    async def work(records: Records) -> None:
        assert await records.oldest("file") is None
        post = await records.insert("post", expected_object())
        assert await records.oldest("file") is None
        files = [await records.insert("file", expected_object()) for _ in range(2)]
        keys = [row.expected_object.key for row in (post, *files)]
        assert await records.oldest("file") == files[0].created_at
        assert await records.known("file", [*keys, "users/another"]) == set(keys[1:])
        assert await records.known("post", keys) == {keys[0]}
        assert await records.by_key(keys[1]) == files[0]

    place.ask(work)


@pytest.mark.parametrize("second", get_args(Kind))
def test_a_key_has_one_row_of_any_kind(place: Place, second: Kind) -> None:
    async def work(records: Records) -> None:
        same = expected_object()
        await records.insert("post", same)
        await records.insert(second, same)

    with pytest.raises(IntegrityError):
        place.ask(work)


def test_ids_are_whole_numbers_for_javascript_and_no_two_are_near() -> None:
    ids = sorted(new_id() for _ in range(1000))
    assert ids[0] >= 1
    assert ids[-1] < 2**53
    assert min(after - before for before, after in itertools.pairwise(ids)) > 1


def test_an_id_that_is_taken_is_drawn_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([7, 7, 8])
    monkeypatch.setattr(module, "new_id", lambda: next(drawn))

    async def work(records: Records) -> list[int]:
        return [(await records.insert("post", expected_object())).id for _ in range(2)]

    assert place.ask(work) == [7, 8]


def test_the_second_of_two_writers_sees_what_the_first_one_wrote(place: Place) -> None:
    async def work(records: Records) -> list[Record]:
        row = await records.insert("post", expected_object())
        first = await records.store(row, 5, '"a"')
        return [first, await records.store(row, 6, '"b"'), await records.reject(row, "size", 6, '"b"'),
                await records.expire(row), await records.again(row)]  # fmt: skip

    first, *others = place.ask(work)
    assert (first.state, first.size_bytes, first.etag) == ("stored", 5, '"a"')
    assert first.stored_at is not None
    assert first.stored_at.tzinfo is not None
    assert others == [first] * 4


def test_of_twenty_that_settle_a_row_at_once_one_wins(place: Place) -> None:
    async def work(records: Records) -> list[Record]:
        row = await records.insert("post", expected_object())
        return await asyncio.gather(
            *(
                records.store(row, number, f'"{number}"') if number % 2 else records.reject(row, "size", number, '""')
                for number in range(20)
            )
        )

    ends = place.ask(work)
    assert len({(end.state, end.size_bytes, end.updated_at) for end in ends}) == 1
    ((state, size),) = place.sql("SELECT state, size FROM uploads")
    assert (state, size) == (ends[0].state, ends[0].size_bytes)


def test_an_expired_row_is_stored_after_all_but_a_stored_one_never_expires(place: Place) -> None:
    async def work(records: Records) -> list[str]:
        row = await records.insert("file", expected_object())
        return [
            (await records.expire(row)).state,
            (await records.store(row, 5, '"a"')).state,
            (await records.expire(row)).state,
        ]

    assert place.ask(work) == ["expired", "stored", "stored"]


def test_only_what_is_pending_and_over_is_claimed_the_oldest_first(place: Place) -> None:
    async def work(records: Records) -> tuple[list[int], list[int]]:
        old = await records.insert("post", expected_object(ends_at=NOW - timedelta(minutes=1)))
        older = await records.insert("post", expected_object(ends_at=NOW - timedelta(minutes=2)))
        file = await records.insert("file", expected_object(ends_at=NOW - timedelta(minutes=9)))
        await records.insert("post", expected_object())
        stored = await records.insert("post", expected_object(ends_at=NOW - timedelta(minutes=3)))
        await records.store(stored, 5, '"a"')
        claimed = await records.claim(NOW, 1) + await records.claim(NOW, 1) + await records.claim(NOW, 10)
        return [file.id, older.id, old.id], [row.id for row in claimed]

    expected, claimed = place.ask(work)
    assert claimed == expected


async def _old_rows(records: Records, count: int) -> set[int]:
    rows = [await records.insert("post", expected_object(ends_at=NOW - timedelta(minutes=1))) for _ in range(count)]
    return {row.id for row in rows}


def test_sweeps_at_once_never_claim_the_same_row(place: Place) -> None:
    async def work(records: Records) -> tuple[set[int], list[list[Record]]]:
        ids = await _old_rows(records, 40)
        return ids, await asyncio.gather(*(records.claim(NOW, 5) for _ in range(10)))

    ids, claims = place.ask(work)
    claimed = [row.id for claim in claims for row in claim]
    assert len(claimed) == len(set(claimed))
    assert set(claimed) <= ids
    # SQLite lets one write at a time; on PostgreSQL a claim passes over what another one is just taking.
    assert len(claimed) == 40 if place.is_sqlite else len(claimed) >= 5


def test_a_claimed_row_is_free_again_after_a_while(place: Place) -> None:
    async def work(records: Records) -> list[int]:
        await _old_rows(records, 3)
        soon, later = NOW + timedelta(seconds=SWEEP_LEASE_S - 1), NOW + timedelta(seconds=SWEEP_LEASE_S + 1)
        return [len(await records.claim(moment, 10)) for moment in (NOW, soon, later)]

    assert place.ask(work) == [3, 0, 3]


@pytest.mark.parametrize("unmigrated", [POSTGRES], indirect=True)
def test_a_claim_passes_over_locked_rows(place: Place) -> None:
    async def fill(records: Records) -> set[int]:
        return await _old_rows(records, 3)

    ids = place.ask(fill)
    with psycopg.connect(place.url) as other:
        held = min(ids)
        other.execute("SELECT id FROM uploads WHERE id = %s FOR UPDATE", (held,))

        async def claim(records: Records) -> set[int]:
            return {row.id for row in await records.claim(NOW, 10)}

        assert place.ask(claim) == ids - {held}


def hold(place: Place) -> Any:
    """A connection that keeps all others from writing."""
    if place.is_sqlite:
        import sqlite3

        connection = sqlite3.connect(place.url.removeprefix("sqlite:///"), isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        return connection
    connected = psycopg.connect(place.url)
    connected.execute("LOCK TABLE uploads IN ACCESS EXCLUSIVE MODE")
    return connected


def test_a_statement_that_waits_too_long_is_given_up_and_the_next_one_works(place: Place) -> None:
    async def work(records: Records) -> tuple[float, str]:
        row = await records.insert("post", expected_object())
        other = hold(place)
        started = time.monotonic()
        try:
            with pytest.raises(DatabaseUnavailable):
                await records.store(row, 5, '"a"')
            took_s = time.monotonic() - started
        finally:
            other.close()
        return took_s, (await records.store(row, 5, '"a"')).state

    # Long enough for a busy machine to connect; the lock would keep it for ever.
    took_s, state = place.ask(work, timeout_s=2)
    assert took_s > 1.9
    assert state == "stored"
    if not place.is_sqlite:
        running = (
            "SELECT count(*) FROM pg_stat_activity WHERE starts_with(query, 'UPDATE uploads') AND state = 'active' "
            "AND datname = current_database()"
        )
        assert place.sql(running) == [(0,)]


def test_without_tables_the_problem_names_the_command_that_makes_them(unmigrated: Place) -> None:
    async def work(records: Records) -> None:
        await records.insert("post", expected_object())

    with pytest.raises(DatabaseUnavailable, match="migrate-db"):
        unmigrated.ask(work)
