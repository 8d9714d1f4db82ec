"""A file to send: read by offset, and held to what it was when it was opened."""

import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

from image_upload.cli.import_files.tree import ChangedError, OpenFile
from image_upload.cli.put import Failed
from image_upload.cli.put.connection import Count
from image_upload.limits import PUT_CHUNK_BYTES


class Source:
    """An open file. `path` is where it will be found again; None for standard input."""

    def __init__(self, name: str, path: Path | None, file: OpenFile) -> None:
        self.name = name
        self.path = path
        self._file = file
        self.size_bytes = file.stat.size_bytes
        self.mtime_ns = file.stat.mtime_ns

    @classmethod
    def of_file(cls, path: str, name: str | None) -> Self:
        """Open a regular file. Raises `Failed`."""
        if Path(path).is_dir():
            raise Failed("unreadable", "It is a folder. Add --recursive.")
        try:
            file = OpenFile(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            raise _unreadable(error) from None
        except ChangedError:
            raise Failed("unreadable", "It is no regular file.") from None
        return cls(Path(path).name if name is None else name, Path(path).absolute(), file)

    @classmethod
    def of_stdin(cls, name: str) -> Self:
        """Copy standard input to a temporary file, because S3 takes no body of unknown length. Raises `Failed`."""
        try:
            with tempfile.TemporaryFile() as spool:
                shutil.copyfileobj(sys.stdin.buffer, spool)
                spool.flush()
                return cls(name, None, OpenFile(os.dup(spool.fileno())))
        except OSError as error:
            raise _unreadable(error) from None

    def close(self) -> None:
        """Close the file."""
        self._file.raw.close()

    def check(self) -> None:
        """Raise `Failed` if the file is not what it was when it was opened."""
        try:
            self._file.check()
        except ChangedError:
            raise _changed() from None

    async def sha256(self) -> str:
        """Return the SHA-256 of the file in hexadecimal. Raises `Failed`."""
        raw = self._file.raw
        raw.seek(0)
        try:
            digest = await asyncio.to_thread(hashlib.file_digest, raw, "sha256")
        except OSError as error:
            raise _unreadable(error) from None
        self.check()
        return digest.hexdigest()

    async def chunks(self, start: int, size_bytes: int, sent: Count) -> AsyncIterator[bytes]:
        """Yield exactly `size_bytes` from `start` on; `sent` is told of each chunk that was taken. Raises `Failed`.

        The last chunk of a file that has changed is not yielded, so that the store gets no whole body of it.
        """
        end = start + size_bytes
        while start < end:
            try:
                fd = self._file.raw.fileno()
                chunk = await asyncio.to_thread(os.pread, fd, min(PUT_CHUNK_BYTES, end - start), start)
            except OSError as error:
                raise _unreadable(error) from None
            start += len(chunk)
            if not chunk:
                raise _changed()
            if start == end:
                self.check()
            yield chunk
            sent(len(chunk))


def _unreadable(error: OSError) -> Failed:
    return Failed("unreadable", f"It cannot be read: {error.strerror}.")


def _changed() -> Failed:
    return Failed("changed", "It changes while it is sent. Repeat the command when no program writes to it.")
