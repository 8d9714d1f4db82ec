"""The import's decisions and S3's confirmations, in an SQLite file that survives a kill at any moment.

A file's key is committed before its first byte is sent, and never changes, so a repeated upload uses the same key.
S3's confirmation is committed a little later; if it is lost, S3 is asked again.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from image_upload.cli.import_files import Stop
from image_upload.cli.import_files.tree import Stat

_APPLICATION_ID: Final = 0x494D4F56  # "IMOV": https://www.sqlite.org/pragma.html#pragma_application_id
_VERSION: Final = 1
_PAGE_ROWS: Final = 500
_STORED_MAX: Final = 200
_FLUSH_WITHIN_S: Final = 0.5

_TABLES: Final = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # stat: of the hashed file, once it is stored. seen: the last run that found the file.
    # begun: a multipart upload may be open in S3, also if upload_id is not known.
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


Which = Literal["every", "stored", "stored here", "to send", "left behind"]
# The arguments of `rows`. "here": this run has found the file in the folder.
_CONDITIONS: Final[Mapping[Which, str]] = {
    "every": "true",
    "stored": "stored",
    "stored here": "stored AND seen = :run",
    "to send": "NOT stored AND seen = :run",
    "left behind": "NOT stored AND seen < :run",
}


class Row(NamedTuple):
    """A file. `sha256` and `etag` are those of the object that S3 confirmed; None before."""

    id: int
    path: bytes
    key: str
    stat: Stat
    stored: bool
    sha256: str | None
    etag: str | None
    begun: bool
    upload_id: str | None


class Journal:
    """One import's journal, locked against every other process until it is closed.

    Changes are committed by `flush`, at the latest by `close`; some methods commit at once. Every method raises `Stop`
    if SQLite fails.
    """

    def __init__(self, file: str, about: Mapping[str, str], *, keep: bool = True) -> None:
        """Open or create the journal of this import. Without `keep`, work on a copy in memory.

        `about` describes the import. The journal of another one is refused.
        """
        self._file = file
        self._unflushed = 0
        self._flushed_at = time.monotonic()
        with self._explained():
            self._db = _open(file) if keep else _copy(file)
        try:
            self._begin(about)
        except BaseException:
            self._db.close()
            raise

    def _begin(self, about: Mapping[str, str]) -> None:
        self._execute("BEGIN IMMEDIATE")
        (application,), (version,), (tables,) = (
            self._execute(query).fetchone()
            for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_schema")
        )
        if not tables:
            for statement in (
                *_TABLES,
                f"PRAGMA application_id = {_APPLICATION_ID}",
                f"PRAGMA user_version = {_VERSION}",
                "INSERT INTO about VALUES ('run', '0')",
            ):
                self._execute(statement)
            for each in about.items():
                self._execute("INSERT INTO about VALUES (?, ?)", each)
        elif (application, version) != (_APPLICATION_ID, _VERSION):
            raise Stop(f"{self._file} is no journal of this command. Name another file with --journal.")
        known = dict(self._execute("SELECT name, value FROM about"))
        differing = [
            f"{name} was {known.get(name)!r} and is {now!r}" for name, now in about.items() if known.get(name) != now
        ]
        if differing:
            raise Stop(
                f"The journal {self._file} belongs to another import: {'; '.join(differing)}. Repeat the command "
                "as it was, or name another journal with --journal."
            )
        self.run = int(known["run"]) + 1
        self._execute("UPDATE about SET value = ? WHERE name = 'run'", (str(self.run),))
        self.flush()

    def close(self) -> None:
        """Commit and close."""
        try:
            self.flush()
        finally:
            self._db.close()

    def flush(self) -> None:
        """Commit."""
        self._unflushed, self._flushed_at = 0, time.monotonic()
        with self._explained():
            self._db.commit()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise Stop(_advice(self._file, error)) from None

    def _execute(self, statement: str, values: Sequence[object] | Mapping[str, object] = ()) -> sqlite3.Cursor:
        with self._explained():
            return self._db.execute(statement, values)

    def find(self, path: bytes) -> Row | None:
        """Return the row of a path."""
        found = self._execute(f"SELECT {_COLUMNS} WHERE path = ?", (path,)).fetchone()
        return None if found is None else _row(found)

    def row(self, row_id: int) -> Row:
        """Return the current row of a file that is being sent; such rows are never deleted."""
        return _row(self._execute(f"SELECT {_COLUMNS} WHERE id = ?", (row_id,)).fetchone())

    def plan(self, path: bytes, key: str, stat: Stat) -> bool:
        """Plan to send a new file, or one that may have changed and keeps its key. Return False if the key is taken."""
        with self._explained(), suppress(sqlite3.IntegrityError):
            self._db.execute(
                "INSERT INTO files (path, key, size_bytes, mtime_ns, ctime_ns, inode, seen) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET stored = 0, seen = excluded.seen, "
                "size_bytes = excluded.size_bytes, mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns, "
                "inode = excluded.inode",
                (path, key, *stat, self.run),
            )
            return True
        return False

    def seen(self, row_id: int) -> None:
        """Note that a stored file is still what it was."""
        self._execute("UPDATE files SET seen = ? WHERE id = ?", (self.run, row_id))

    def begun(self, row_id: int, upload_id: str | None) -> None:
        """Note that an upload in parts is about to be begun (None), or has been. Committed at once."""
        self._execute("UPDATE files SET begun = 1, upload_id = ? WHERE id = ?", (upload_id, row_id))
        self.flush()

    def ended(self, row_id: int) -> None:
        """Note that no upload in parts is open any more. Committed at once."""
        self._execute("UPDATE files SET begun = 0, upload_id = NULL WHERE id = ?", (row_id,))
        self.flush()

    def forget(self, row_id: int) -> None:
        """Forget a file that is gone and was never confirmed. Committed at once."""
        self._execute("DELETE FROM files WHERE id = ?", (row_id,))
        self.flush()

    def stored(self, row_id: int, stat: Stat, sha256: str, etag: str) -> None:
        """Note that S3 has confirmed a file. Committed with the next ones, or half a second later."""
        self._execute(
            "UPDATE files SET stored = 1, begun = 0, upload_id = NULL, size_bytes = ?, mtime_ns = ?, ctime_ns = ?, "
            "inode = ?, sha256 = ?, etag = ? WHERE id = ?",
            (*stat, sha256, etag, row_id),
        )
        self._unflushed += 1
        if self._unflushed >= _STORED_MAX or time.monotonic() - self._flushed_at > _FLUSH_WITHIN_S:
            self.flush()

    def rows(self, which: Which) -> Iterator[Row]:
        """Yield files in their order, read a page at a time: they may be changed meanwhile."""
        query = f"SELECT {_COLUMNS} WHERE {_CONDITIONS[which]} AND id > :last ORDER BY id LIMIT {_PAGE_ROWS}"
        last = 0
        while page := self._execute(query, {"run": self.run, "last": last}).fetchall():
            yield from map(_row, page)
            last = page[-1][0]


def _row(found: Sequence[Any]) -> Row:
    number, path, key, *stat, stored, sha256, etag, begun, upload_id = found
    return Row(number, path, key, Stat(*stat), bool(stored), sha256, etag, bool(begun), upload_id)


def _open(file: str) -> sqlite3.Connection:
    db = sqlite3.connect(file, timeout=0, isolation_level="IMMEDIATE")
    try:
        # The first process keeps the file locked, and the kernel unlocks it when that process dies, however it dies.
        # https://www.sqlite.org/pragma.html#pragma_locking_mode
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        # A commit is on the disk before it returns, so that even a power cut causes no second key for a file.
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        db.close()
        raise
    return db


def _copy(file: str) -> sqlite3.Connection:
    """Return a copy of the journal in memory."""
    db = sqlite3.connect(":memory:")
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
