"""Fresh databases for tests: an SQLite file, or a database of the one PostgreSQL of this run."""

import asyncio
import functools
import secrets
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest

from image_upload.database.migration import migrate
from image_upload.database.records import Records
from image_upload.settings import load
from image_upload.settings.database import DatabaseSettings
from tests.database.postgres import Postgres

Answer = TypeVar("Answer")
# The kind of a database, for the tests that are of the full tier then.
POSTGRES = pytest.param("postgres", marks=pytest.mark.needs("postgres"))


def settings_with(url: str, **environ: str) -> DatabaseSettings:
    given = {"ENVIRONMENT": "test", "S3_BUCKET_NAME": "bucket", "AWS_REGION": "us-east-1", "DATABASE_URL": url}
    return load(given | environ).database


@dataclass(frozen=True, slots=True)
class Place:
    """A database, as an operator sees it: past the service."""

    url: str

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a statement gives; its values stand as %s."""
        if self.is_sqlite:
            connection = sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=10)
            try:
                with connection:
                    return connection.execute(statement.replace("%s", "?"), values).fetchall()
            finally:
                connection.close()
        with psycopg.connect(self.url) as connected:
            cursor = connected.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def ask(self, work: Callable[[Records], Awaitable[Answer]], **options: Any) -> Answer:
        """Do something with the records, on a loop of its own."""

        async def whole() -> Answer:
            records = Records(settings_with(self.url), **options)
            try:
                return await work(records)
            finally:
                await records.aclose()

        return asyncio.run(whole())


def empty(kind: str, server: Callable[[], Postgres], folder: Path) -> Place:
    """A database without tables."""
    if kind == "sqlite":
        return Place(f"sqlite:///{folder / f'{secrets.token_hex(4)}.sqlite3'}")
    name = f"test_{secrets.token_hex(4)}"
    server().run(f"CREATE DATABASE {name}")
    return Place(server().url(name))


def migrated(place: Place) -> Place:
    """The same database with its tables: it becomes a copy of one that was migrated for all tests."""
    if place.is_sqlite:
        Path(place.url.removeprefix("sqlite:///")).write_bytes(_sqlite_with_tables())
        return place
    server, _, name = place.url.rpartition("/")
    template = _postgres_with_tables(server)
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name}".encode())
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    return place


@functools.cache
def _sqlite_with_tables() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "records.sqlite3")
        migrate(settings_with(f"sqlite:///{file}"))
        return file.read_bytes()


@functools.cache
def _postgres_with_tables(server: str) -> str:
    """The name of a migrated database that is connected to no more, as a template must be."""
    name = "with_tables"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        migrate(settings_with(f"{server}/{name}"))
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
    return name
