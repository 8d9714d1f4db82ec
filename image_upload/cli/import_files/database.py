"""Old paths in one column of a database become keys, in batches of one transaction each.

Table and column are looked up in the database and quoted by SQLAlchemy; values are bound.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from image_upload.errors import Problem
from image_upload.limits import IMPORT_DATABASE_BATCH
from image_upload.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine, TableClause
    from sqlalchemy.engine.interfaces import ReflectedColumn

    # The table, its column, and how many characters that takes.
    Target = tuple[TableClause, ColumnElement[str], int | None]


class DatabaseError(Exception):
    """The database cannot be updated. The message says what to do."""


class Column:
    """The column that holds old paths: `[SCHEMA.]TABLE.COLUMN` of DATABASE_URL."""

    def __init__(self, settings: Settings, name: str) -> None:
        """Raises `DatabaseError` if it cannot be the name of one, or there is no DATABASE_URL."""
        if settings.database_url is None:
            raise DatabaseError("--update-db needs DATABASE_URL. Set it in the environment or in .env.")
        *schemas, self._table, self._column = ["", *name.split(".")]
        if len(schemas) not in (1, 2) or not self._table or not self._column:
            raise DatabaseError("--update-db takes TABLE.COLUMN, or SCHEMA.TABLE.COLUMN.")
        self._schema = schemas[-1] or None
        self._settings = settings

    async def check(self, keys: Iterable[str]) -> None:
        """Raises `DatabaseError` unless the column is there, holds text, and is wide enough for these keys."""
        async with self._connection() as connection:
            *_, length = self._look_up(connection)
        for key in keys:
            if length is not None and len(key) > length:
                raise DatabaseError(
                    f"{self._column} takes {length} characters, and the key {key} has {len(key)}. Make it wider first."
                )

    async def count(self, pairs: Iterable[tuple[str, str]]) -> AsyncIterator[int]:
        """Yield how many rows hold the old path of a pair (old path, key), a number a batch. Raises `DatabaseError`."""
        from sqlalchemy import func, select  # most imports have no database

        async with self._connection() as connection:
            table, column, _ = self._look_up(connection)
            for batch in _batches(pairs):
                query = select(func.count()).select_from(table).where(column.in_([old for old, _ in batch]))
                yield connection.scalar(query) or 0

    async def update(self, pairs: Iterable[tuple[str, str]]) -> AsyncIterator[int]:
        """Put the key where the old path is; rows changed, a number a batch; 0 the second time.

        Raises `DatabaseError`; batches before it stay changed.
        """
        from sqlalchemy import case  # see above

        async with self._connection() as connection:
            table, column, _ = self._look_up(connection)
            connection.rollback()  # ends the transaction that looked
            for batch in _batches(pairs):
                # One statement a batch: the table is read once for all of them, also without an index.
                key = case(dict(batch), value=column, else_=column)
                statement = table.update().where(column.in_([old for old, _ in batch])).values({column.key: key})
                with connection.begin():
                    changed = connection.execute(statement).rowcount
                yield changed

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator["Connection"]:
        """One connection. Opened for each use: between looking and updating hours may pass, and a token ends."""
        with _explained():
            engine = await self._engine()
            try:
                with engine.connect() as connection:
                    yield connection
            finally:
                engine.dispose()

    async def _engine(self) -> "Engine":
        from image_upload.database.engine import Target, open_for_migrations  # see above

        target = Target(self._settings)
        return open_for_migrations(target, {} if target.is_sqlite else await target.parameters())

    def _look_up(self, connection: "Connection") -> "Target":
        from sqlalchemy import column, table  # see above

        found = self._reflect(connection)
        named = column(self._column, found["type"])
        return table(self._table, named, schema=self._schema), named, getattr(found["type"], "length", None)

    def _reflect(self, connection: "Connection") -> "ReflectedColumn":
        from sqlalchemy import String, inspect  # see above

        inspector = inspect(connection)
        tables = inspector.get_table_names(self._schema)
        if self._table not in tables:
            raise DatabaseError(f"There is no table {self._table}. There are: {', '.join(sorted(tables)) or 'none'}.")
        columns = {found["name"]: found for found in inspector.get_columns(self._table, self._schema)}
        if self._column not in columns:
            raise DatabaseError(f"{self._table} has no column {self._column}. It has: {', '.join(columns)}.")
        if not isinstance(columns[self._column]["type"], String):
            raise DatabaseError(f"{self._column} is of type {columns[self._column]['type']}, and keys are text.")
        return columns[self._column]


def _batches(pairs: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    remaining = iter(pairs)
    while batch := list(islice(remaining, IMPORT_DATABASE_BATCH)):
        yield batch


@contextmanager
def _explained() -> Iterator[None]:
    """The database's own words, without the statement: its values are file names, and a URL may hold a password."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError  # see above

    try:
        yield
    except Problem as problem:
        raise DatabaseError(problem.detail) from None
    except SQLAlchemyError as error:
        said = str(error.orig if isinstance(error, DBAPIError) else type(error).__name__).partition("\n")[0]
        raise DatabaseError(
            f"The database answered: {said}. Check DATABASE_URL and the column, then repeat the command."
        ) from None
