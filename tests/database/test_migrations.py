"""The migrations make the tables that the code expects, once, also if several processes run them at a time."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from image_upload.database import migration
from image_upload.database.engine import Target, open_for_migrations
from image_upload.database.tables import metadata
from tests.database.databases import Place, settings_with
from tests.forked import ran


def migrate_db(place: Place | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DATABASE_"))}
    environ |= {"ENVIRONMENT": "test", "S3_BUCKET_NAME": "bucket", "AWS_REGION": "us-east-1"}
    if place is not None:
        environ["DATABASE_URL"] = place.url
    return ran("image_upload", "migrate-db", *arguments, environ=environ)


@pytest.mark.full
def test_the_command_migrates_once_and_then_has_nothing_to_do(unmigrated: Place) -> None:
    newest = migration.newest()
    before = migrate_db(unmigrated, "--check")
    assert (before.returncode, before.stdout) == (
        1,
        f"The database is at nothing, the newest is {newest}. Run: python -m image_upload migrate-db\n",
    )
    first = migrate_db(unmigrated)
    assert (first.returncode, first.stdout) == (0, f"Migrated from nothing to {newest}.\n"), first.stderr
    assert unmigrated.sql("SELECT count(*) FROM uploads") == [(0,)]
    again = migrate_db(unmigrated)
    assert (again.returncode, again.stdout) == (0, f"The database is at {newest}.\n")
    after = migrate_db(unmigrated, "--check")
    assert (after.returncode, after.stdout) == (0, f"The database is at {newest}, the newest.\n")


def test_the_command_leaves_a_database_of_a_newer_version_alone(place: Place) -> None:
    place.sql("UPDATE alembic_version SET version_num = '9999'")
    for arguments in ([], ["--check"]):
        done = migrate_db(place, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("The database is at 9999, which this version does not know: a newer one has")
    assert place.sql("SELECT version_num FROM alembic_version") == [("9999",)]


def test_the_command_without_a_database_says_what_to_set() -> None:
    done = migrate_db(None)
    assert done.returncode == 2
    assert "Set DATABASE_URL" in done.stderr


def test_the_command_at_a_closed_door_says_so_without_the_password() -> None:
    done = migrate_db(Place("postgresql://owner:open-sesame@127.0.0.1:9/nothing"))
    assert done.returncode == 2
    assert "127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr
    assert "open-sesame" not in done.stderr + done.stdout


@pytest.mark.full
def test_six_that_migrate_at_once_end_with_one_migration(unmigrated: Place) -> None:
    with ThreadPoolExecutor(6) as pool:
        ends = list(pool.map(lambda _: migrate_db(unmigrated), range(6)))
    newest = migration.newest()
    assert [end.stderr for end in ends if end.returncode] == []
    said = sorted(end.stdout for end in ends)
    assert said == sorted([f"Migrated from nothing to {newest}.\n", *[f"The database is at {newest}.\n"] * 5])
    assert unmigrated.sql("SELECT version_num FROM alembic_version") == [(newest,)]


def test_the_migrations_make_exactly_the_tables_of_the_code(place: Place) -> None:
    target = Target(settings_with(place.url))
    engine = open_for_migrations(target, {} if target.is_sqlite else {"conninfo": place.url})
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
    finally:
        engine.dispose()


def checks_of(place: Place) -> list[str]:
    """The table definitions, as the database itself writes them down."""
    if place.is_sqlite:
        tables = place.sql("SELECT sql FROM sqlite_master WHERE type = 'table' AND name <> 'alembic_version'")
        return sorted(line.strip(" \t,") for row in tables for line in row[0].splitlines())
    return [
        row[0]
        for row in place.sql(
            "SELECT conrelid::regclass || conname || pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass ORDER BY 1"
        )
    ]


def test_the_migrations_make_the_checks_of_the_code_too(place: Place) -> None:
    """Alembic compares no CHECK constraints."""
    migrated = checks_of(place)
    for table in metadata.tables:
        place.sql(f"DROP TABLE {table}" if place.is_sqlite else f"DROP TABLE {table} CASCADE")
    target = Target(settings_with(place.url))
    engine = open_for_migrations(target, {} if target.is_sqlite else {"conninfo": place.url})
    try:
        metadata.create_all(engine)
    finally:
        engine.dispose()
    assert checks_of(place) == migrated
    assert sum("state = 'stored'" in line.replace("::text", "").replace("(state)", "state") for line in migrated) >= 1


def test_a_database_with_rows_gets_the_tables_of_the_quotas(unmigrated: Place) -> None:
    target = Target(settings_with(unmigrated.url))
    engine = open_for_migrations(target, {} if target.is_sqlite else {"conninfo": unmigrated.url})
    config = migration.configuration()
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0003")
    finally:
        engine.dispose()
    columns = "id, kind, user_id, key, filename, content_type, state, ends_at, created_at, updated_at"
    moment = "2026-11-20 00:00:00"
    unmigrated.sql(
        f"INSERT INTO uploads ({columns}) VALUES (1, 'post', 'u', 'k', 'f', 't', 'pending', %s, %s, %s)", *[moment] * 3
    )
    assert migration.migrate(settings_with(unmigrated.url)) == ("0003", migration.newest())
    assert unmigrated.sql("SELECT id FROM uploads") == [(1,)]
    for table in ("quota_usage", "quota_reservations", "quota_files"):
        assert unmigrated.sql(f"SELECT * FROM {table}") == []


@pytest.mark.parametrize(
    "change",
    [
        "kind = 'scan'",
        "state = 'lost'",
        "state = 'stored'",
        "state = 'stored', size = 1, etag = '\"x\"'",
        "state = 'rejected'",
        "fault = 'size'",
        "size = -1",
        "promised_size = 0",
        "promised_sha256 = 'short'",
        "key = ''",
        "user_id = ''",
    ],
)
def test_the_schema_itself_refuses_a_row_that_makes_no_sense(place: Place, change: str) -> None:
    place.sql(
        "INSERT INTO uploads (id, kind, user_id, key, filename, content_type, state, ends_at, created_at, updated_at) "
        "VALUES (1, 'post', 'u', 'k', 'f', 't', 'pending', %s, %s, %s)",
        *["2026-11-20 00:00:00"] * 3,
    )
    with pytest.raises(Exception, match=r"(?i)check constraint"):
        place.sql(f"UPDATE uploads SET {change}")  # the changes stand above
