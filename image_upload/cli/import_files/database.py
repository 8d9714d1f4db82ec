"""Replace old paths in one column of a database by keys, in batches of one transaction each.

Table and column are looked up in the database and quoted by SQLAlchemy; values are bound.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice

from sqlalchemy import ColumnElement, Connection, Engine, String, TableClause, case, func, inspect, select
from sqlalchemy import column as named_column
from sqlalchemy import table as named_table
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from image_upload.cli.import_files import Stop
from image_upload.database.engine import Target, open_for_migrations
from image_upload.errors import Problem
from image_upload.limits import IMPORT_DATABASE_BATCH
from image_upload.settings.database import DatabaseSettings


class Column:
    """The column that holds old paths: `[SCHEMA.]TABLE.COLUMN` of DATABASE_URL."""

    def __init__(self, settings: DatabaseSettings, name: str) -> None:
        """Raises `Stop` if it cannot be the name of one, or there is no DATABASE_URL."""
        if settings.database_url is None:
            raise Stop("--update-db needs DATABASE_URL. Set it in the environment or in .env.")
        *schemas, self._table, self._column = ["", *name.split(".")]
        if len(schemas) not in (1, 2) or not self._table or not self._column:
            raise Stop("--update-db takes TABLE.COLUMN, or SCHEMA.TABLE.COLUMN.")
        self._schema = schemas[-1] or None
        self._settings = settings

    async def check(self, keys: Iterable[str]) -> None:
        """Raise `Stop` unless the column is there, holds text, and is wide enough for these keys."""
        async with self._connection() as connection:
            *_, length = self._look_up(connection)
        for key in keys:
            if length is not None and len(key) > length:
                raise Stop(
                    f"{self._column} takes {length} characters, and the key {key} has {len(key)}. Make it wider first."
                )

    async def update(self, pairs: Iterable[tuple[str, str]], *, rehearse: bool = False) -> AsyncGenerator[int]:
        """Put the key where the old path of a pair (old path, key) is; yield the rows changed, a number a batch.

        In a rehearsal: how many would be. A second time it is 0. Raises `Stop`; batches before it stay
        changed.
        """
        async with self._connection() as connection:
            table, column, _ = self._look_up(connection)
            connection.rollback()  # ends the transaction that looked
            for batch in _batches(pairs):
                is_old = column.in_([old for old, _ in batch])
                # One statement a batch: the table is read once for all of them, also without an index.
                key = case(dict(batch), value=column, else_=column)
                with connection.begin():
                    if rehearse:
                        count = connection.scalar(select(func.count()).select_from(table).where(is_old)) or 0
                    else:
                        count = connection.execute(table.update().where(is_old).values({column.key: key})).rowcount
                yield count

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """Open a connection. For each use one: between looking and updating hours may pass, and a token ends."""
        with _explained():
            engine = await self._engine()
            try:
                with engine.connect() as connection:
                    yield connection
            finally:
                engine.dispose()

    async def _engine(self) -> Engine:
        target = Target(self._settings)
        return open_for_migrations(target, {} if target.is_sqlite else await target.parameters())

    def _look_up(self, connection: Connection) -> tuple[TableClause, ColumnElement[str], int | None]:
        """Return the table, its column, and the column's length in characters."""
        found = self._reflect(connection)
        column = named_column(self._column, found["type"])
        return named_table(self._table, column, schema=self._schema), column, getattr(found["type"], "length", None)

    def _reflect(self, connection: Connection) -> ReflectedColumn:
        inspector = inspect(connection)
        tables = inspector.get_table_names(self._schema)
        if self._table not in tables:
            raise Stop(f"There is no table {self._table}. There are: {', '.join(sorted(tables)) or 'none'}.")
        columns = {found["name"]: found for found in inspector.get_columns(self._table, self._schema)}
        if self._column not in columns:
            raise Stop(f"{self._table} has no column {self._column}. It has: {', '.join(columns)}.")
        if not isinstance(columns[self._column]["type"], String):
            raise Stop(f"{self._column} is of type {columns[self._column]['type']}, and keys are text.")
        return columns[self._column]


def _batches(pairs: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    remaining = iter(pairs)
    while batch := list(islice(remaining, IMPORT_DATABASE_BATCH)):
        yield batch


@contextmanager
def _explained() -> Iterator[None]:
    """Stop with the database's words, not with the statement: it names files, and a URL may hold a password."""
    try:
        yield
    except Problem as problem:
        raise Stop(problem.detail) from None
    except SQLAlchemyError as error:
        said = str(error.orig if isinstance(error, DBAPIError) else type(error).__name__).partition("\n")[0]
        raise Stop(
            f"The database answered: {said}. Check DATABASE_URL and the column, then repeat the command."
        ) from None
