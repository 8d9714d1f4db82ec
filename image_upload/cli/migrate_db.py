"""`migrate-db`: apply the database migrations of this version."""

import argparse
import os
import sys
from collections.abc import Sequence

from sqlalchemy.exc import DBAPIError

from image_upload.database import migration
from image_upload.database.migration import Revision
from image_upload.errors import Problem
from image_upload.settings import SettingsError, load, read_dotenv


def run(arguments: Sequence[str]) -> int:
    """Run `migrate-db [--check]`. Return 0 if the database is up to date, 1 if --check finds pending migrations."""
    parser = argparse.ArgumentParser(
        prog="python -m image_upload migrate-db",
        description="Apply the migrations that the database at DATABASE_URL lacks. Several at once do no harm.",
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if something is missing")
    check = parser.parse_args(arguments).check
    try:
        settings = load(read_dotenv(os.environ), serving=False)
        if settings.database.database_url is None:
            raise SettingsError("There is no database to migrate. Set DATABASE_URL; docs/records.md says how.")
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2

    try:
        if check:
            current = migration.current(settings.database)
            return _check(current, migration.revisions_after(current))
        before, after = migration.migrate(settings.database)
    except migration.UnknownRevision as unknown:
        print(unknown)
        return 0
    except (DBAPIError, Problem) as error:
        print(migration.explain(error), file=sys.stderr)
        return 2
    print(f"The database is at {after}." if before == after else f"Migrated from {before or 'nothing'} to {after}.")
    return 0


def _check(current: str | None, missing: Sequence[Revision]) -> int:
    if not missing:
        print(f"The database is at {current}, the newest.")
        return 0
    newest = missing[-1].number
    print(f"The database is at {current or 'nothing'}, the newest is {newest}. Run: python -m image_upload migrate-db")
    return 1
