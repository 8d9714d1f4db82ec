"""Migrate a database to the newest revision. Several processes may try at once.

https://alembic.sqlalchemy.org/en/latest/api/commands.html
"""

import asyncio
from pathlib import Path
from typing import Any, Final, NamedTuple

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from image_upload.database.engine import Target, open_for_migrations
from image_upload.errors import Problem
from image_upload.settings.database import DatabaseSettings

# An arbitrary number, the same in all versions of this service.
_LOCK: Final = 5_172_993_046_113

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_REMEDIES: Final = {
    "42501": "Let the user of DATABASE_URL make tables: GRANT USAGE, CREATE ON SCHEMA public TO it. What another user "
    "has made, that user migrates.",
    "23505": "A post and a file record have the same id or key, and one table holds both now. In posts or in "
    "file_records, give one of the two rows another, then run it again.",
    "57014": "It took too long, and nothing was changed. If another migration or an open transaction is in the way, "
    "wait for its end and try again; else give it more time.",
}
_UNREACHED: Final = (
    "Check DATABASE_URL and DATABASE_AUTH, and that the database runs. On Lambda also SubnetIds and SecurityGroupIds, "
    "and that the database's own security group lets them in."
)


class UnknownRevision(Exception):
    """A newer version has migrated the database to a revision that this version does not know."""


class Revision(NamedTuple):
    """A migration: its number, and what it adds."""

    number: str
    brings: str


def configuration() -> Config:
    """Return Alembic's configuration for the migrations beside this module. It reads no file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def newest() -> str | None:
    """Return the newest revision, which this version of the service works with."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def revisions_after(number: str | None) -> list[Revision]:
    """Return the revisions after this one, in the order in which they are applied. Raises `UnknownRevision`."""
    scripts = ScriptDirectory.from_config(configuration())
    try:
        found = list(scripts.iterate_revisions("head", number or "base"))
    except RevisionError:
        raise UnknownRevision(
            f"The database is at {number}, which this version does not know: a newer one has migrated it."
        ) from None
    return [Revision(each.revision, each.doc.splitlines()[0]) for each in reversed(found)]


def explain(error: DBAPIError | Problem) -> str:
    """Return a message with the error and the remedy. The driver's messages contain no password."""
    cause = getattr(error, "orig", error)
    state = getattr(cause, "sqlstate", None)
    remedy = _UNREACHED if state is None else _REMEDIES.get(state, "")
    return f"The database could not be migrated: {' '.join(str(cause).split())} {remedy}".rstrip()


def current(settings: DatabaseSettings, within_s: float | None = None) -> str | None:
    """Return the revision of the database, None before the first migration. Each statement takes at most `within_s`."""
    engine = _engine(Target(settings), within_s)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def migrate(settings: DatabaseSettings, within_s: float | None = None) -> tuple[str | None, str | None]:
    """Apply all pending migrations in one transaction; return the revisions before and after. Raises `UnknownRevision`.

    A second process waits, and then finds nothing to do. Aurora DSQL has no such lock and no transactions of several
    DDL statements, so run one process at a time there. Each statement, and the wait, takes at most `within_s` seconds.
    """
    target = Target(settings)
    engine = _engine(target, within_s)
    try:
        with engine.begin() as connection:
            _wait_for_our_turn(connection, target)
            before = MigrationContext.configure(connection).get_current_revision()
            revisions_after(before)
            config = configuration()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            return before, MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def _engine(target: Target, within_s: float | None) -> Engine:
    parameters: dict[str, Any] = {}
    if not target.is_sqlite:
        # Not `asyncio.run`, which would remove the event loop that a function's requests use.
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            parameters = runner.run(target.parameters())
    return open_for_migrations(target, parameters, within_s)


def _wait_for_our_turn(connection: Connection, target: Target) -> None:
    """Take PostgreSQL's advisory lock, which ends with the transaction. On SQLite the transaction is exclusive."""
    if not target.is_sqlite and not target.is_dsql:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
