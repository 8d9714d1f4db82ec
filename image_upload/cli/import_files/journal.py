"""What was decided and what S3 confirmed, in an SQLite file that survives a kill at any instant.

A file's key is committed before a byte of the file is sent, and never changes: whatever is repeated after a kill
goes to the same key. That S3 has a file is written down afterwards and a little later; if that is lost, S3 is asked.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from image_upload.cli.import_files.walking import Stat

_APPLICATION_ID: Final = 0x494D4F56  # "IMOV": https://www.sqlite.org/pragma.html#pragma_application_id
_VERSION: Final = 1
_PAGE_ROWS: Final = 500
_MARKS_MAX: Final = 200
_MARKS_WITHIN_S: Final = 0.5

_TABLES: Final = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # stat: of the file whose bytes were hashed, once it is stored. seen: the last run that came across the file.
    # begun: an upload in parts may be open in S3, also if upload_id is not known.
    """CREATE TABLE files (
        id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, key TEXT NOT NULL UNIQUE,
        size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
        stored INTEGER NOT NULL DEFAULT 0, sha256 TEXT, etag TEXT,
        begun INTEGER NOT NULL DEFAULT 0, upload_id TEXT, seen INTEGER NOT NULL)""",
    "CREATE INDEX unfinished ON files (id) WHERE NOT stored",
)
_COLUMNS: Final = (
    "id, path, key, size_bytes, mtime_ns, ctime_ns, inode, stored, sha256, etag, begun, upload_id FROM files"
)


class JournalError(Exception):
    """The journal cannot be used. The message says what to do."""


class Row(NamedTuple):
    """A file. `sha256` and `etag` are those of the object that S3 confirmed last, None before."""

    id: int
    path: bytes
    key: str
    stat: Stat
    stored: bool
    sha256: str | None
    etag: str | None
    begun: bool
    upload_id: str | None


class Mark(NamedTuple):
    """S3 has confirmed a file."""

    id: int
    stat: Stat
    sha256: str
    etag: str


class Journal:
    """One import's journal, locked against every other process until it is closed."""

    def __init__(self, file: str, about: Mapping[str, str], *, keep: bool = True) -> None:
        """Open or begin the journal of this import. With `keep` false, work on a copy that is thrown away.

        `about` says what the import is: a journal of another one is refused. Raises `JournalError`.
        """
        self._file = file
        self._marks: list[Mark] = []
        self._flushed_at = time.monotonic()
        with self._explained():
            self._db = _open(file) if keep else _copy(file)
        try:
            self._begin(about)
        except BaseException:
            self._db.close()
            raise

    def _begin(self, about: Mapping[str, str]) -> None:
        with self._transaction():
            (application,), (version,) = (
                self._db.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
            )
            if not self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                for table in _TABLES:
                    self._db.execute(table)
                self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
                self._db.executemany("INSERT INTO about VALUES (?, ?)", [*about.items(), ("run", "0")])
            elif (application, version) != (_APPLICATION_ID, _VERSION):
                raise JournalError(f"{self._file} is no journal of this command. Name another file with --journal.")
            known = dict(self._db.execute("SELECT name, value FROM about"))
            differing = [
                f"{name} was {known.get(name)!r} and is {now!r}"
                for name, now in about.items()
                if known.get(name) != now
            ]
            if differing:
                raise JournalError(
                    f"The journal {self._file} belongs to another import: {'; '.join(differing)}. Repeat the command "
                    "as it was, or name another journal with --journal."
                )
            self.run = int(known["run"]) + 1
            self._db.execute("UPDATE about SET value = ? WHERE name = 'run'", (str(self.run),))

    def close(self) -> None:
        """Write down what is left and close. Raises `JournalError`."""
        try:
            self.flush()
        finally:
            self._db.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError(_advice(self._file, error)) from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _write(self, statement: str, *values: object) -> None:
        with self._transaction():
            self._db.execute(statement, values)

    def find(self, path: bytes) -> Row | None:
        """Return the row of a path."""
        return self._one("path", path)

    def row(self, row_id: int) -> Row:
        """Return a row as it is now."""
        row = self._one("id", row_id)
        assert row is not None  # rows of files under way are never forgotten
        return row

    def _one(self, column: str, value: object) -> Row | None:
        with self._explained():
            found = self._db.execute(f"SELECT {_COLUMNS} WHERE {column} = ?", (value,)).fetchone()
        return None if found is None else _row(found)

    @contextmanager
    def planning(self) -> Iterator[None]:
        """`plan` and `seen` inside are committed together."""
        with self._transaction():
            yield

    def plan(self, path: bytes, key: str, stat: Stat) -> bool:
        """Return a new file, or one that may have changed and keeps its key, is to be sent. False: the key is taken."""
        try:
            self._db.execute(
                "INSERT INTO files (path, key, size_bytes, mtime_ns, ctime_ns, inode, seen) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET stored = 0, seen = excluded.seen, "
                "size_bytes = excluded.size_bytes, mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns, "
                "inode = excluded.inode",
                (path, key, *stat, self.run),
            )
        except sqlite3.IntegrityError:
            return False
        return True

    def seen(self, row_id: int) -> None:
        """A file that is stored already is still what it was."""
        self._db.execute("UPDATE files SET seen = ? WHERE id = ?", (self.run, row_id))

    def begun(self, row_id: int, upload_id: str | None) -> None:
        """An upload in parts is about to be begun (None), or has been."""
        self._write("UPDATE files SET begun = 1, upload_id = ? WHERE id = ?", upload_id, row_id)

    def ended(self, row_id: int) -> None:
        """No upload in parts is open any more."""
        self._write("UPDATE files SET begun = 0, upload_id = NULL WHERE id = ?", row_id)

    def forget(self, row_id: int) -> None:
        """A file that is gone, and was never confirmed."""
        self._write("DELETE FROM files WHERE id = ?", row_id)

    def stored(self, mark: Mark) -> None:
        """S3 has confirmed a file. Written down soon; `flush` to have it now."""
        self._marks.append(mark)
        if len(self._marks) >= _MARKS_MAX or time.monotonic() - self._flushed_at > _MARKS_WITHIN_S:
            self.flush()

    def flush(self) -> None:
        """Write down what S3 has confirmed."""
        marks, self._marks = self._marks, []
        self._flushed_at = time.monotonic()
        if not marks:
            return
        with self._transaction():
            self._db.executemany(
                "UPDATE files SET stored = 1, begun = 0, upload_id = NULL, size_bytes = ?, mtime_ns = ?, ctime_ns = ?, "
                "inode = ?, sha256 = ?, etag = ? WHERE id = ?",
                [(*mark.stat, mark.sha256, mark.etag, mark.id) for mark in marks],
            )

    def to_send(self) -> Iterator[Row]:
        """Return the files that this run found and S3 has not confirmed."""
        return self._rows(f"NOT stored AND seen = {self.run}")

    def all_stored(self) -> Iterator[Row]:
        """Return all files that S3 has confirmed, in this run or an earlier one."""
        return self._rows("stored")

    def stored_here(self) -> Iterator[Row]:
        """Those of them that this run has found in the folder."""
        return self._rows(f"stored AND seen = {self.run}")

    def every(self) -> Iterator[Row]:
        """Return all files that have a key."""
        return self._rows("true")

    def left_behind(self) -> Iterator[Row]:
        """Files of earlier runs that this one does not send, and S3 has not confirmed."""
        return self._rows(f"NOT stored AND seen < {self.run}")

    def _rows(self, condition: str) -> Iterator[Row]:
        """Rows in their order, a page at a time: rows may be changed while they are gone through."""
        last = 0
        while True:
            with self._explained():
                page = self._db.execute(
                    f"SELECT {_COLUMNS} WHERE {condition} AND id > ? ORDER BY id LIMIT {_PAGE_ROWS}",
                    (last,),
                ).fetchall()
            if not page:
                return
            yield from map(_row, page)
            last = page[-1][0]


def _row(found: Sequence[object]) -> Row:
    number, path, key, *stat, stored, sha256, etag, begun, upload_id = found
    return Row(number, path, key, Stat(*stat), bool(stored), sha256, etag, bool(begun), upload_id)  # type: ignore[arg-type]


def _open(file: str) -> sqlite3.Connection:
    db = sqlite3.connect(file, timeout=0, isolation_level=None)
    try:
        # Whoever holds the file keeps it, and the kernel lets go of it when the process dies, however it dies.
        # https://www.sqlite.org/pragma.html#pragma_locking_mode
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        # A commit is on the disk before it returns: not even a power cut makes a second key for a file.
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        db.close()
        raise
    return db


def _copy(file: str) -> sqlite3.Connection:
    """In memory, and of the file only what is there already."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    if Path(file).exists():
        source = sqlite3.connect(file, timeout=0)
        try:
            source.backup(db)
        finally:
            source.close()
    return db


def _advice(file: str, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"Another import is using the journal {file}. Wait for its end, or name another journal with --journal."
    if code == sqlite3.SQLITE_NOTADB:
        return f"{file} is no journal of this command. Name another file with --journal."
    return (
        f"The journal {file} cannot be used: {error}. Make room or give it another place with --journal, then repeat "
        "the command."
    )
