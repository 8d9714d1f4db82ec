"""The files of a folder. Links never lead out of it, also if they are created during the import."""

import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from io import FileIO
from typing import NamedTuple

# The kernel's clock for time stamps of files ticks every 4 or 10 ms.
_TICK_NS = 20_000_000

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Stat(NamedTuple):
    """The attributes that change with a file. A program can set back mtime, but not ctime."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Found(NamedTuple):
    """A regular file. `path` is relative to the folder, in the bytes of the file system."""

    path: bytes
    stat: Stat


class Passed(NamedTuple):
    """An entry that is not moved: it is not a file (`failed` False), or it cannot be read."""

    path: bytes
    reason: str
    failed: bool


class ChangedError(Exception):
    """The file changes while it is read."""


def shown(path: bytes | str) -> str:
    """Return a path for a terminal or a log: control characters and invalid UTF-8 are escaped."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def stat_of(found: os.stat_result) -> Stat:
    """Return the attributes of a stat that are compared."""
    return Stat(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


class OpenFile:
    """A regular file, open, and what it was at that moment. `raw` reads it."""

    def __init__(self, fd: int) -> None:
        self.raw = FileIO(fd)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            self.raw.close()
            raise ChangedError
        # Were it written to in this very tick, after we have read it, its time stamps would not tell.
        if (age_ns := time.time_ns() - found.st_ctime_ns) < _TICK_NS:
            time.sleep(min(_TICK_NS, _TICK_NS - age_ns) / 1e9)  # until a later write has a later time stamp
            found = os.fstat(fd)
        self.stat = stat_of(found)

    def check(self) -> None:
        """Raise `ChangedError` if the file is not what it was when it was opened."""
        if stat_of(os.fstat(self.raw.fileno())) != self.stat:
            raise ChangedError


class Tree:
    """A folder to move. Close it when done."""

    def __init__(self, folder: str, exclude: Sequence[str] = (), *, follow: bool = False) -> None:
        self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._exclude = exclude
        self._follow = follow

    def close(self) -> None:
        """Close the folder."""
        os.close(self._root)

    def open(self, path: bytes) -> OpenFile:
        """Open a file of the folder. Raises `OSError`, `ChangedError`."""
        return OpenFile(self._open(path, os.O_RDONLY | os.O_NONBLOCK))

    def _open(self, path: bytes, flags: int) -> int:
        if self._follow:
            return os.open(path or b".", flags | os.O_CLOEXEC, dir_fd=self._root)
        with self._parent(path) as (folder, name):
            return os.open(name or b".", flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)

    @contextmanager
    def _parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """Open the folder of a path; yield it and the path's last name.

        Every folder on the way is opened from the one above: one that was replaced by a link is not entered.
        """
        *folders, name = path.split(b"/")
        at = os.dup(self._root)
        try:
            for folder in folders:
                below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                os.close(at)
                at = below
            yield at, name
        finally:
            os.close(at)

    def remove(self, path: bytes, known: Stat) -> bool:
        """Remove a file if it is still the one that is known; return whether it was. Raises `OSError`."""
        with self._parent(path) as (folder, name):
            if stat_of(os.stat(name, dir_fd=folder, follow_symlinks=False)) != known:
                return False
            os.unlink(name, dir_fd=folder)
            return True

    def walk(self) -> Iterator[Found | Passed]:
        """Yield everything in the folder, in no particular order. What comes and goes meanwhile may be seen or not."""
        folders = [b""]
        entered: set[tuple[int, int]] = set()
        while folders:
            folder = folders.pop()
            try:
                fd = self._open(folder, os.O_RDONLY | os.O_DIRECTORY)
            except OSError as error:
                yield Passed(folder, f"cannot be listed: {error.strerror}", failed=True)
                continue
            try:
                if self._follow:
                    here = os.fstat(fd)
                    if (here.st_dev, here.st_ino) in entered:
                        continue  # a link to where we have been
                    entered.add((here.st_dev, here.st_ino))
                with os.scandir(fd) as entries:
                    for entry in entries:
                        path = (folder + b"/" if folder else b"") + os.fsencode(entry.name)
                        if not self._excluded(path) and (each := self._look(entry, path, folders)) is not None:
                            yield each
            except OSError as error:
                yield Passed(folder, f"cannot be listed: {error.strerror}", failed=True)
            finally:
                os.close(fd)

    def _look(self, entry: "os.DirEntry[str]", path: bytes, folders: list[bytes]) -> Found | Passed | None:
        """Return what an entry is; note a folder for later."""
        try:
            found = entry.stat(follow_symlinks=self._follow)
        except FileNotFoundError:
            return Passed(path, "a symbolic link to nothing", failed=False) if entry.is_symlink() else None
        except OSError as error:
            return Passed(path, f"cannot be looked at: {error.strerror}", failed=True)
        if stat.S_ISREG(found.st_mode):
            return Found(path, stat_of(found))
        if stat.S_ISDIR(found.st_mode):
            folders.append(path)
            return None
        return Passed(path, _KINDS.get(stat.S_IFMT(found.st_mode), "no file"), failed=False)

    def _excluded(self, path: bytes) -> bool:
        """Match patterns with a slash against the whole path, those without against the last name."""
        text = os.fsdecode(path)
        name = text.rpartition("/")[2]
        return any(fnmatchcase(text if "/" in pattern else name, pattern) for pattern in self._exclude)
