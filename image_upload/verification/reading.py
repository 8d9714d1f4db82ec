"""Read a stored file in as few requests as its format allows."""

from collections.abc import Callable
from typing import Protocol, Self, TypeVar

from image_upload.limits import VERIFY_HEAD_BYTES, VERIFY_READS_MAX, VERIFY_WHOLE_MAX_BYTES
from image_upload.verification.window import Missing, Unreadable, Window

_Found = TypeVar("_Found")


class ByteSource(Protocol):
    """A stored file. `read` returns `length` bytes from `first` on, all of one version, and raises what S3 answers."""

    size: int

    async def read(self, first: int, length: int) -> bytes: ...


class Reading:
    """A source, and the window on what was read of it."""

    def __init__(self, source: ByteSource, window: Window) -> None:
        self.window = window
        self._source = source
        self._next_bytes = VERIFY_HEAD_BYTES

    @classmethod
    async def begin(cls, source: ByteSource) -> Self:
        """Read the head."""
        return cls(source, Window(source.size, await source.read(0, min(source.size, VERIFY_HEAD_BYTES))))

    @property
    def is_whole(self) -> bool:
        """Whether the head is the whole file."""
        return len(self.window.head()) == self.window.size

    @property
    def can_be_whole(self) -> bool:
        """Whether the file is small enough to be read whole."""
        return self.window.size <= VERIFY_WHOLE_MAX_BYTES

    async def run(self, reader: Callable[[Window], _Found]) -> _Found:
        """Return what a reader finds, and read what it misses. Raises `Unreadable`.

        Each read is four times as long as the one before, so that no file takes many requests.
        """
        for _ in range(VERIFY_READS_MAX):
            try:
                return reader(self.window)
            except Missing as missing:
                first, length = missing.first, missing.length
            if length > VERIFY_WHOLE_MAX_BYTES:
                break
            length = min(self.window.size - first, max(length, self._next_bytes))
            self._next_bytes *= 4
            self.window.add(first, await self._source.read(first, length))
        raise Unreadable

    async def whole(self) -> bytes:
        """Return the whole file. Raises `Unreadable` if the source has less."""
        if not self.is_whole:
            self.window = Window(self.window.size, await self._source.read(0, self.window.size))
        if not self.is_whole:
            raise Unreadable
        return self.window.head()
