"""Run the migrations in the Lambda function, from where the database is reachable."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import DBAPIError

from image_upload.database import migration
from image_upload.database.migration import Revision, UnknownRevision
from image_upload.errors import Problem
from image_upload.limits import LAMBDA_DEADLINE_MARGIN_S
from image_upload.settings import Settings


def migrate(context: Any, settings: Settings, say: Callable[[str], None], *, check: bool) -> bool:
    """Report the pending migrations and, without `check`, apply them. Return whether that succeeded.

    Migrations run while the former version still serves, so every version works with the tables of a newer one. A
    database that a newer version has migrated is therefore no failure: a rollback has that state.
    """
    if settings.database.database_url is None:
        say("There is no database: DATABASE_URL is not set. Nothing to migrate.")
        return True
    within_s = context.get_remaining_time_in_millis() / 1000 - LAMBDA_DEADLINE_MARGIN_S
    if within_s <= 0:
        say("No time left for migrations before Lambda ends this invocation. Raise its timeout (TimeoutSeconds).")
        return False
    try:
        before = migration.current(settings.database, within_s)
        pending = migration.revisions_after(before)
        _report("pending", pending, say)
        if check or not pending:
            say(f"The database is at {before or 'nothing'}, the newest is {migration.newest()}.")
            return True
        before, after = migration.migrate(settings.database, within_s)
    except UnknownRevision as unknown:
        say(f"{unknown} Nothing is changed.")
        return True
    except (DBAPIError, Problem) as error:
        say(migration.explain(error))
        return False
    _report("applied", migration.revisions_after(before), say)
    say(f"The database is at {after}, the newest.")
    return True


def _report(what: str, revisions: list[Revision], say: Callable[[str], None]) -> None:
    for each in revisions:
        say(f"  {what}  {each.number}: {each.brings}")
