"""Bring a database to the newest tables, safely also when several try at once.

https://alembic.sqlalchemy.org/en/latest/api/commands.html
"""

import asyncio
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from image_upload.records.engine import Target, open_for_migrations
from image_upload.settings import Settings

# Any number will do, if every version of this service takes the same one.
_LOCK: Final = 5_172_993_046_113


def configuration() -> Config:
    """Alembic's own, for the migrations that lie beside this module. It reads no file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def newest() -> str | None:
    """The revision that this version of the service works with."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def current(settings: Settings) -> str | None:
    """The revision of the database, None where nothing was migrated yet."""
    engine = _engine(Target(settings))
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def migrate(settings: Settings) -> tuple[str | None, str | None]:
    """Apply what is missing, all of it or nothing; the revisions before and after.

    Who comes second waits, and finds nothing left to do. On Aurora DSQL, which has no lock to wait for and no
    transaction around several statements, run it in one place at a time.
    """
    target = Target(settings)
    engine = _engine(target)
    try:
        with engine.begin() as connection:
            _wait_for_our_turn(connection, target)
            before = MigrationContext.configure(connection).get_current_revision()
            config = configuration()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            return before, MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def _engine(target: Target) -> Engine:
    parameters: dict[str, Any] = {} if target.is_sqlite else asyncio.run(target.parameters())
    return open_for_migrations(target, parameters)


def _wait_for_our_turn(connection: Connection, target: Target) -> None:
    """PostgreSQL's advisory lock ends with the transaction. SQLite's exclusive transaction has begun already."""
    if not target.is_sqlite and not target.is_dsql:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
