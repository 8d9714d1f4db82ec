"""Migrations by the function, under the real awslambdaric."""

import secrets
from pathlib import Path

import psycopg
import pytest

from image_upload.database import migration
from image_upload.limits import LAMBDA_DEADLINE_MARGIN_S
from local.embedded_s3 import EmbeddedS3
from tests.database.databases import Place, settings_with
from tests.database.postgres import Postgres
from tests.runtime.operating import CHECK, MIGRATE, SMOKE, answered, request
from tests.runtime.process import function


def test_migrations_are_told_then_applied_and_requests_go_on(tmp_path: Path, s3: EmbeddedS3, unmigrated: Place) -> None:
    revisions = migration.revisions_after(None)
    newest = revisions[-1].number
    post = request(rawPath="/posts")
    with function(tmp_path, s3.environ, DATABASE_URL=unmigrated.url, forks=True) as running:
        for _ in range(2):
            passed, lines = answered(running, CHECK)
            assert passed
            assert lines.splitlines() == [
                *(f"  pending  {each.number}: {each.brings}" for each in revisions),
                f"The database is at nothing, the newest is {newest}.",
            ]
        passed, lines = answered(running, MIGRATE)
        assert passed, lines
        assert lines.splitlines() == [
            *(f"  pending  {each.number}: {each.brings}" for each in revisions),
            *(f"  applied  {each.number}: {each.brings}" for each in revisions),
            f"The database is at {newest}, the newest.",
        ]
        for event in (CHECK, MIGRATE):
            assert answered(running, event) == (True, f"The database is at {newest}, the newest is {newest}.")
        # On the loop that the operations left behind.
        assert running.api.answer(post)["statusCode"] == 201
        assert answered(running, MIGRATE)[0]
        assert running.api.answer(post)["statusCode"] == 201
        assert answered(running, SMOKE)[0]
    kinds = unmigrated.sql("SELECT kind, count(*) FROM uploads GROUP BY kind")
    assert kinds == [("post", 2)], "the smoke test adds none"


def test_revisions_say_in_a_line_what_they_bring() -> None:
    assert migration.revisions_after(None)[0] == ("0001", "Posts and file records.")
    assert migration.revisions_after(migration.newest()) == []


def test_without_a_database_there_is_nothing_to_migrate(tmp_path: Path, s3: EmbeddedS3) -> None:
    with function(tmp_path, s3.environ, forks=True) as running:
        expected = (True, "There is no database: DATABASE_URL is not set. Nothing to migrate.")
        assert answered(running, MIGRATE) == expected


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path, s3: EmbeddedS3, place: Place) -> None:
    place.sql("UPDATE alembic_version SET version_num = '9999'")
    with function(tmp_path, s3.environ, DATABASE_URL=place.url, forks=True) as running:
        for event in (CHECK, MIGRATE):
            passed, lines = answered(running, event)
            assert passed
            assert lines == (
                "The database is at 9999, which this version does not know: a newer one has migrated it. "
                "Nothing is changed."
            )
    assert place.sql("SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_database_that_cannot_be_reached_says_what_to_look_at(tmp_path: Path, s3: EmbeddedS3) -> None:
    url = "postgresql://owner:open-sesame@127.0.0.1:9/nothing"
    with function(tmp_path, s3.environ, DATABASE_URL=url, forks=True) as running:
        for event in (CHECK, MIGRATE):
            passed, lines = answered(running, event)
            assert not passed
            assert lines.startswith("The database could not be migrated: connection failed: ")
            assert "127.0.0.1" in lines
            assert "Check DATABASE_URL and DATABASE_AUTH" in lines
            assert "open-sesame" not in lines + running.said()


def test_a_deadline_that_is_nearly_over_begins_no_migration(tmp_path: Path, s3: EmbeddedS3) -> None:
    file = tmp_path / "records.sqlite3"
    with function(tmp_path, s3.environ, DATABASE_URL=f"sqlite:///{file}", forks=True) as running:
        answer = running.api.answer(MIGRATE, timeout_s=LAMBDA_DEADLINE_MARGIN_S / 2)
    assert not answer["passed"]
    assert "(TimeoutSeconds)" in answer["lines"][0]
    assert not file.exists()


@pytest.mark.needs("postgres")
def test_a_user_without_rights_is_told_which(tmp_path: Path, s3: EmbeddedS3, postgres: Postgres) -> None:
    name, password = f"guest_{secrets.token_hex(4)}", secrets.token_hex(8)
    postgres.run(f"CREATE DATABASE {name}", f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    url = postgres.url(name).replace(f"owner:{postgres.password}", f"{name}:{password}")
    with function(tmp_path, s3.environ, DATABASE_URL=url, forks=True) as running:
        passed, lines = answered(running, MIGRATE)
    assert not passed
    assert "permission denied for schema public" in lines
    assert "GRANT USAGE, CREATE ON SCHEMA public" in lines
    assert password not in lines


@pytest.mark.needs("postgres")
def test_a_migration_that_has_to_wait_too_long_gives_up_before_the_deadline(
    tmp_path: Path, s3: EmbeddedS3, postgres: Postgres
) -> None:
    name = f"test_{secrets.token_hex(4)}"
    postgres.run(f"CREATE DATABASE {name}")
    url = postgres.url(name)
    with psycopg.connect(url) as other, function(tmp_path, s3.environ, DATABASE_URL=url, forks=True) as running:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [migration._LOCK])
        passed, lines = answered(running, MIGRATE, 6)
        assert not passed
        assert "It took too long, and nothing was changed." in lines
        other.rollback()
        assert answered(running, MIGRATE)[0]
    assert migration.current(settings_with(url)) == migration.newest()
