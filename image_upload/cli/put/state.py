"""What a killed `put` goes on with: a file for each upload that has begun, which is its lock too.

It lies in the folder of state of the user (https://specifications.freedesktop.org/basedir-spec/latest/), and other
users cannot read it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from image_upload.cli.put import Failed
from image_upload.limits import PUT_STATE_KEPT_S

_OPEN: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class Kept(NamedTuple):
    """An upload that has begun: of a file of this length and time stamp. `path` is its `Upload.path`."""

    size_bytes: int
    mtime_ns: int
    key: str
    path: str | None


class Entry:
    """The state of one upload, locked."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd

    @classmethod
    def locked(cls, folder: Path, identity: list[Any]) -> Self:
        """Open the state of the upload with this identity. Raises `OSError`; `Failed` if another process has it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{hashlib.sha256(json.dumps(identity).encode()).hexdigest()}.json"
        while True:
            fd = os.open(path, _OPEN, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.stat().st_ino == os.fstat(fd).st_ino:
                    return cls(path, fd)
            except BlockingIOError:
                os.close(fd)
                raise Failed("being-sent", "Another process sends it right now.", may_pass=True) from None
            except FileNotFoundError:
                pass  # removed by the process that had it, between our two calls
            os.close(fd)

    @property
    def kept(self) -> Kept | None:
        """What was kept; None for a new upload, and if a kill cut it off."""
        try:
            return Kept(**json.loads(os.pread(self._fd, 1 << 20, 0)))
        except (ValueError, TypeError):
            return None

    def keep(self, kept: Kept) -> None:
        """Write down an upload that has begun. Raises `OSError`."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, json.dumps(kept._asdict()).encode(), 0)

    def forget(self) -> None:
        """Keep nothing any more."""
        os.ftruncate(self._fd, 0)

    def close(self) -> None:
        """Release the lock; remove the file if it holds nothing."""
        if not os.fstat(self._fd).st_size:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)


def folder() -> Path:
    """Return where the state of this user's uploads is. Raises `RuntimeError` for a user without a home."""
    # The specification has relative paths ignored.
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".local/state") / "image-upload"


def remove_old(folder: Path) -> None:
    """Remove the state of uploads whose tickets have ended, unless they are still being sent."""
    with contextlib.suppress(OSError):
        for path in _old(folder):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            with contextlib.closing(os.fdopen(fd, "rb")), contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)


def _old(folder: Path) -> Iterator[Path]:
    oldest = time.time() - PUT_STATE_KEPT_S
    return (path for path in folder.glob("*.json") if path.stat().st_mtime < oldest)
