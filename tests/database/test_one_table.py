"""Migration 0003: rows of `posts` and `file_records` come into `uploads` as they are, under the version before."""

import itertools
import operator
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import psycopg
import pytest
from alembic import command
from sqlalchemy import Engine, event
from sqlalchemy.exc import IntegrityError

from image_upload.database import migration
from image_upload.database.engine import Target, open_for_migrations
from image_upload.database.records import Records
from image_upload.database.tables import metadata
from image_upload.database.values import Kind, Record, State
from image_upload.domain.faults import Difference
from image_upload.errors import DatabaseUnavailable
from image_upload.limits import SWEEP_LEASE_S
from tests.database.databases import POSTGRES, Place, empty, settings_with
from tests.database.postgres import Postgres
from tests.database.test_records import NOW, expected_object

# kind → the table of the version before, its column for the key, a key
BEFORE: dict[Kind, tuple[str, str, str]] = {
    "post": ("posts", "image_key", "uploads/{}.jpg"),
    "file": ("file_records", "s3_key", "users/user-1/{}/고양이 '.pdf"),
}
COLUMNS = (
    "id, user_id, {}, filename, content_type, promised_size, promised_sha256, ends_at, state, fault, size, etag, "
    "created_at, updated_at, stored_at, swept_at"
)
EARLY, LATE = "2026-11-20 09:00:00.000001", "2026-11-20 10:30:00.123456"
# state, fault, size, etag, stored_at, swept_at; promised: size, SHA-256
ENDS: list[tuple[Any, ...]] = [
    ("pending", None, None, None, None, None, 5, "x" * 44),
    ("pending", None, None, None, None, LATE, None, None),
    ("stored", None, 0, '"e-2"', LATE, None, None, None),
    ("stored", None, 2**50, '"e"', LATE, EARLY, 2**50, "y" * 44),
    *(("rejected", fault, 7, '"f"', None, None, 5, "z" * 44) for fault in get_args(Difference)),
    ("expired", None, None, None, None, LATE, 5, None),
]


@pytest.fixture
def before(unmigrated: Place) -> Place:
    """A database as the version before left it, with rows of both kinds in every state."""
    return filled(unmigrated)


def filled(place: Place) -> Place:
    with opened(place) as engine:
        upgrade(engine, "0002")
    assert {end[0] for end in ENDS} == set(get_args(State)) - {"quarantined"}, "the version before knew no malware"
    for number, (table, key_column, key) in enumerate(BEFORE.values()):
        values: list[Any] = []
        for index, (state, fault, size, etag, stored_at, swept_at, *promised) in enumerate(ENDS):
            row_id = 10**12 + 1000 * number + index
            values += [row_id, f"user-{index}", key.format(row_id), "고양이.jpg", "image/jpeg", *promised, LATE]
            values += [state, fault, size, etag, EARLY, LATE, stored_at, swept_at]
        row = f"({', '.join(['%s'] * 16)})"
        rows = ", ".join([row] * len(ENDS))
        place.sql(f"INSERT INTO {table} ({COLUMNS.format(key_column)}) VALUES {rows}", *values)
    return place


@contextmanager
def opened(place: Place, **options: Any) -> Iterator[Engine]:
    target = Target(settings_with(place.url))
    engine = open_for_migrations(target, {} if target.is_sqlite else {"conninfo": place.url})
    try:
        yield engine.execution_options(**options)
    finally:
        engine.dispose()


def upgrade(engine: Engine, revision: str) -> None:
    config = migration.configuration()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def rows_before(place: Place) -> list[tuple[Any, ...]]:
    return sorted(
        (kind, *row)
        for kind, (table, key_column, _) in BEFORE.items()
        for row in place.sql(f"SELECT {COLUMNS.format(key_column)} FROM {table}")
    )


def rows_now(place: Place) -> list[tuple[Any, ...]]:
    return sorted(place.sql(f"SELECT kind, {COLUMNS.format('key')} FROM uploads"))


def tables(place: Place) -> set[str]:
    """Tables without views."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table'"
    if not place.is_sqlite:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    return {name for (name,) in place.sql(query)}


def test_rows_of_both_kinds_in_every_state_come_along_unchanged(before: Place) -> None:
    expected = rows_before(before)
    assert len(expected) == 2 * len(ENDS)
    assert migration.migrate(settings_with(before.url)) == ("0002", migration.newest())
    assert rows_now(before) == expected
    assert tables(before) == {"alembic_version", *metadata.tables}

    async def work(records: Records) -> None:
        for kind, row_id, user_id, key, *_, state, fault, size, etag, _, _, stored_at, _ in expected:
            record = await records.find(kind, row_id)
            assert record is not None
            assert await records.by_key(key) == record
            assert (record.expected_object.user_id, record.expected_object.key) == (user_id, key)
            assert (record.state, record.fault, record.size_bytes, record.etag) == (state, fault, size, etag)
            assert (record.stored_at is None) == (stored_at is None)
            assert record.created_at.microsecond == 1

    before.ask(work)


def test_until_then_command_and_service_say_what_is_missing(before: Place) -> None:
    missing = migration.revisions_after(migration.current(settings_with(before.url)))
    assert missing[0] == ("0003", "Posts and file records in one table, `uploads`.")

    async def work(records: Records) -> None:
        await records.insert("post", expected_object())

    with pytest.raises(DatabaseUnavailable, match=r"lacks a table of this version\. .* migrate-db\."):
        before.ask(work)


def test_more_rows_than_a_statement_copies_come_along(before: Place) -> None:
    before.sql(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) "
        "INSERT INTO posts (id, user_id, image_key, filename, content_type, ends_at, state, created_at, updated_at) "
        f"SELECT i * 7, 'u', 'uploads/' || i, 'f', 't', '{EARLY}', 'pending', '{EARLY}', '{EARLY}' FROM n"
    )
    expected = rows_before(before)
    migration.migrate(settings_with(before.url))
    assert len(expected) == 1200 + 2 * len(ENDS)
    assert rows_now(before) == expected


class Killed(Exception):
    """The end of a process, in front of a statement."""


def interrupt(engine: Engine, after: int) -> Callable[[], bool]:
    """Let so many statements through that change something, then fail; whether it came to that."""
    changes = itertools.count()
    fired = threading.Event()

    @event.listens_for(engine, "before_cursor_execute")
    def look(*arguments: Any) -> None:
        if not arguments[2].lstrip().startswith("SELECT") and next(changes) == after:
            fired.set()
            raise Killed

    return fired.is_set


def test_interrupted_anywhere_it_changes_nothing_and_runs_again(before: Place) -> None:
    expected, places = rows_before(before), 0
    for after in itertools.count():
        with opened(before) as engine:
            interrupted = interrupt(engine, after)
            try:
                upgrade(engine, "0003")
            except Killed:
                assert rows_before(before) == expected
                assert not any("uploads" in name or "0003" in name for name in tables(before))
        if not interrupted():
            break
        places += 1
    assert places >= 8
    assert rows_now(before) == expected


class VersionBefore:
    """What the version before does with a post, in its own statements. None: it had to answer 503."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._ids = itertools.count(10**15)

    def _run(self, statement: str, *values: Any) -> list[tuple[Any, ...]] | None:
        try:
            return self._place.sql(statement, *values)
        except psycopg.Error:
            return None

    def insert(self, ends_at: datetime) -> int | None:
        row_id = next(self._ids)
        done = self._run(
            "INSERT INTO posts (id, user_id, image_key, filename, content_type, promised_size, promised_sha256, "
            "ends_at, state, created_at, updated_at) VALUES (%s, 'u', %s, 'f', 't', 5, NULL, %s, 'pending', now(), "
            "now()) RETURNING posts.id, posts.image_key, posts.state, posts.swept_at",
            *(row_id, f"uploads/{row_id}", ends_at),
        )
        return None if done is None else done[0][0]

    def store(self, row_id: int) -> list[tuple[Any, ...]] | None:
        return self._run(
            "UPDATE posts SET state = 'stored', size = 5, etag = '\"e\"', updated_at = now(), stored_at = now() "
            "WHERE posts.id = %s AND posts.state IN ('pending', 'expired') RETURNING posts.id, posts.state",
            row_id,
        )

    def find(self, row_id: int) -> list[tuple[Any, ...]] | None:
        return self._run("SELECT posts.id, posts.image_key, posts.state FROM posts WHERE posts.id = %s", row_id)

    def claim(self, now: datetime) -> list[tuple[Any, ...]] | None:
        return self._run(
            "WITH due AS (SELECT posts.id AS id FROM posts WHERE posts.state = 'pending' AND posts.ends_at < %s AND "
            "(posts.swept_at IS NULL OR posts.swept_at < %s) ORDER BY posts.ends_at LIMIT 25 FOR UPDATE SKIP LOCKED) "
            "UPDATE posts SET swept_at = %s WHERE posts.id IN (SELECT due.id FROM due) RETURNING posts.id",
            *(now, now - timedelta(seconds=SWEEP_LEASE_S), now),
        )


@pytest.mark.needs("postgres")
def test_with_a_transaction_a_statement_it_is_interrupted_anywhere_and_runs_again(
    postgres: Postgres, tmp_path: Path
) -> None:
    """As on Aurora DSQL, while the version before runs on: what that version acknowledged is there at the end."""
    template = filled(empty("postgres", lambda: postgres, tmp_path))
    expected = rows_before(template)
    places, acknowledged = 0, 0
    for after in itertools.count():
        place = Place(f"{template.url}_{after}")
        postgres.run(f"CREATE DATABASE {place.url.rpartition('/')[2]} TEMPLATE {template.url.rpartition('/')[2]}")
        older = VersionBefore(place)
        with opened(place, isolation_level="AUTOCOMMIT") as engine:
            interrupted = interrupt(engine, after)
            try:
                upgrade(engine, "0003")
            except Killed:
                places += 1
        written = [row_id for _ in range(2) if (row_id := older.insert(NOW)) is not None]
        settled = [row_id for row_id in [*written[:1], 10**12] if older.store(row_id)]
        acknowledged += len(written) + len(settled)
        with opened(place, isolation_level="AUTOCOMMIT") as engine:
            upgrade(engine, "0003")
        now = {row[1]: row for row in rows_now(place)}
        assert sorted(now) == sorted([row[1] for row in expected] + written)
        assert [row for row in expected if row[1] not in settled] == sorted(
            now[row[1]] for row in expected if row[1] not in settled
        )
        assert {now[row_id][9] for row_id in settled} <= {"stored"}
        assert tables(place) == {"alembic_version", "uploads", "users", "oauth_accounts", "sessions"}
        if not interrupted():
            break
    assert places >= 12
    assert acknowledged > places


@pytest.mark.parametrize("unmigrated", [POSTGRES], indirect=True)
def test_the_version_before_runs_on_and_both_see_the_same_rows(before: Place) -> None:
    migration.migrate(settings_with(before.url))
    older = VersionBefore(before)
    old_row, overdue = older.insert(NOW + timedelta(minutes=5)), older.insert(NOW - timedelta(days=30))
    assert old_row is not None
    assert overdue is not None

    async def work(records: Records) -> tuple[Record, Record]:
        found = await records.find("post", old_row)
        assert found is not None
        assert (await records.store(found, 5, '"new"')).state == "stored"
        post = await records.insert("post", expected_object())
        return post, await records.insert("file", expected_object())

    post, file = before.ask(work)
    assert older.find(old_row) == [(old_row, f"uploads/{old_row}", "stored")]
    assert older.store(old_row) == [], "settled by the other version"
    assert older.store(post.id) == [(post.id, "stored")]
    assert older.find(file.id) == [], "a file record is no post"
    claimed = older.claim(NOW)
    assert claimed is not None
    assert (overdue,) in claimed

    async def again(records: Records) -> tuple[Record, list[Record]]:
        return await records.again(post), await records.claim(NOW, 25)

    record, left = before.ask(again)
    assert record.state == "stored"
    assert overdue not in {each.id for each in left}, "claimed by the version before"


@pytest.mark.parametrize("unmigrated", [POSTGRES], indirect=True)
def test_writers_of_the_version_before_wait_for_the_migration_and_lose_nothing(before: Place) -> None:
    older, stop = VersionBefore(before), threading.Event()
    counts, progress = [0] * 4, threading.Condition()

    def write(number: int) -> list[int | None]:
        written: list[int | None] = []
        while not stop.is_set():
            written.append(older.insert(NOW))
            with progress:
                counts[number] += 1
                progress.notify()
        return written

    def wait_for_more() -> None:
        with progress:
            goals = [count + 10 for count in counts]
            assert progress.wait_for(lambda: all(map(operator.ge, counts, goals)), 30), "the writers stand still"

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        try:
            wait_for_more()
            migration.migrate(settings_with(before.url))
            wait_for_more()
        finally:
            stop.set()
        written = [row_id for writer in writers for row_id in writer.result()]
    assert None not in written, "not one request failed"
    assert set(written) <= {row[1] for row in rows_now(before)}


@pytest.mark.parametrize("same", ["id", "key"])
def test_a_post_and_a_file_record_with_one_id_or_key_stop_the_migration(before: Place, same: str) -> None:
    place = before
    if same == "id":
        place.sql("UPDATE posts SET id = (SELECT min(id) FROM file_records) WHERE id = %s", 10**12)
    else:
        place.sql("UPDATE posts SET image_key = (SELECT min(s3_key) FROM file_records) WHERE id = %s", 10**12)
    expected = rows_before(place)
    with pytest.raises(IntegrityError) as refused:
        migration.migrate(settings_with(place.url))
    if not place.is_sqlite:
        assert "give one of the two rows another" in migration.explain(refused.value)
    assert rows_before(place) == expected
    assert migration.current(settings_with(place.url)) == "0002"
