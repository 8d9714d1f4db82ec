"""Old paths in one column of a database become keys, in batches of one transaction each.

Table and column are looked up in the database and quoted by SQLAlchemy; values are bound.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from image_upload.limits import IMPORT_DATABASE_BATCH

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine.interfaces import ReflectedColumn

# Drivers for asyncio, as DATABASE_URL may name them for the service → the one for a command.
_DRIVERS = {"sqlite+aiosqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


class DatabaseError(Exception):
    """The database cannot be updated. The message says what to do."""


class Column:
    """The column that holds old paths."""

    def __init__(self, url: str, target: str) -> None:
        """Look up `[SCHEMA.]TABLE.COLUMN`. Raises `DatabaseError`."""
        from sqlalchemy import column, table  # noqa: PLC0415  most imports have no database
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

        *schemas, table_name, column_name = ["", *target.split(".")]
        if len(schemas) not in (1, 2) or not table_name or not column_name:
            raise DatabaseError("--update-db takes TABLE.COLUMN, or SCHEMA.TABLE.COLUMN.")
        schema = schemas[-1] or None
        try:
            self._engine = _engine(url)
            found = _column(self._engine, schema, table_name, column_name)
        except SQLAlchemyError as error:
            raise _failure(error) from None
        self._length: int | None = getattr(found["type"], "length", None)
        self._column = column(column_name, found["type"])
        self._table = table(table_name, self._column, schema=schema)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def check_length(self, key: str) -> None:
        """Raises `DatabaseError` if the column is too narrow for a key."""
        if self._length is not None and len(key) > self._length:
            raise DatabaseError(
                f"The column takes {self._length} characters, and the key {key} has {len(key)}. Make it wider first."
            )

    def count(self, pairs: Iterable[tuple[str, str]]) -> Iterator[int]:
        """How many rows hold an old path, a number a batch. Raises `DatabaseError`."""
        from sqlalchemy import func, select  # noqa: PLC0415  see above
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

        for batch in _batches(pairs):
            query = select(func.count()).select_from(self._table).where(self._column.in_([old for old, _ in batch]))
            try:
                with self._engine.connect() as connection:
                    count = connection.scalar(query) or 0
            except SQLAlchemyError as error:
                raise _failure(error) from None
            yield count

    def update(self, pairs: Iterable[tuple[str, str]]) -> Iterator[int]:
        """(old path, key) of files → rows changed, a number a batch; 0 the second time. Raises `DatabaseError`."""
        from sqlalchemy import case  # noqa: PLC0415  see above
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

        for batch in _batches(pairs):
            # One statement a batch: the table is read once for all of them, also without an index.
            statement = (
                self._table.update()
                .where(self._column.in_([old for old, _ in batch]))
                .values({self._column: case(dict(batch), value=self._column, else_=self._column)})
            )
            try:
                with self._engine.begin() as connection:
                    count = connection.execute(statement).rowcount
            except SQLAlchemyError as error:
                raise _failure(error) from None
            yield count


def _batches(pairs: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    remaining = iter(pairs)
    while batch := list(islice(remaining, IMPORT_DATABASE_BATCH)):
        yield batch


def _engine(url: str) -> "Engine":
    from sqlalchemy import create_engine, make_url  # noqa: PLC0415  see above

    parsed = make_url(url)
    return create_engine(parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername)))


def _column(engine: "Engine", schema: str | None, table_name: str, column_name: str) -> "ReflectedColumn":
    from sqlalchemy import String, inspect  # noqa: PLC0415  see above

    inspector = inspect(engine)
    tables = inspector.get_table_names(schema)
    if table_name not in tables:
        raise DatabaseError(f"The database has no table {table_name}. It has: {', '.join(sorted(tables)) or 'none'}.")
    columns = {found["name"]: found for found in inspector.get_columns(table_name, schema)}
    if column_name not in columns:
        raise DatabaseError(f"The table {table_name} has no column {column_name}. It has: {', '.join(columns)}.")
    if not isinstance(columns[column_name]["type"], String):
        raise DatabaseError(f"The column {column_name} is of type {columns[column_name]['type']}; keys are text.")
    return columns[column_name]


def _failure(error: Exception) -> DatabaseError:
    """The database's own words, without the statement: its values are file names, a URL may hold a password."""
    said = str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]
    return DatabaseError(f"The database answered: {said}. Check DATABASE_URL and the column, then repeat the command.")
