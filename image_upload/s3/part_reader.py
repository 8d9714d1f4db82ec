"""Cut bytes into parts, each in memory until S3 has it, so that it can be sent again.

The parts under way share a budget of bytes: a source that finds it used up is not read until it is its turn.
"""

import asyncio
import mmap
from collections.abc import AsyncIterator
from io import FileIO
from typing import Protocol

from image_upload.outbound.budget import ByteBudget


class Source(Protocol):
    """Bytes in their order."""

    async def more(self) -> bool:
        """Return whether there is another byte."""

    async def fill(self, memory: memoryview) -> int:
        """Write the next bytes into the memory; return how many. Fewer than fit only at the end."""


class ChunkSource:
    """Chunks of any length, as they arrive."""

    def __init__(self, chunks: AsyncIterator[memoryview]) -> None:
        self._chunks = chunks
        self._chunk = memoryview(b"")
        self._ended = False

    async def more(self) -> bool:
        """Return whether there is another byte."""
        while not self._chunk and not self._ended:
            try:
                self._chunk = await anext(self._chunks)
            except StopAsyncIteration:
                self._ended = True
        return not self._ended

    async def fill(self, memory: memoryview) -> int:
        """Copy chunks until the memory is full or none is left; return how many bytes."""
        filled = 0
        while filled < len(memory) and await self.more():
            fits = self._chunk[: len(memory) - filled]
            memory[filled : filled + len(fits)] = fits
            self._chunk = self._chunk[len(fits) :]
            filled += len(fits)
        return filled


class FileSource:
    """The first `size_bytes` of an open file, or what there is of them."""

    def __init__(self, file: FileIO, size_bytes: int) -> None:
        file.seek(0)
        self._file = file
        self._left = size_bytes

    async def more(self) -> bool:
        """Return whether there is another byte, unless the file has become shorter."""
        return self._left > 0

    async def fill(self, memory: memoryview) -> int:
        """Read until the memory is full or the file is at its end; return how many bytes."""
        wanted = memory[: self._left]
        filled = await asyncio.to_thread(_read_into, self._file, wanted)
        self._left = self._left - filled if filled == len(wanted) else 0
        return filled


def _read_into(file: FileIO, memory: memoryview) -> int:
    filled = 0
    while filled < len(memory) and (length := file.readinto(memory[filled:])):
        filled += length
    return filled


class Part:
    """Memory for a part's bytes, counted in the budget until `free`."""

    def __init__(self, length: int, budget: ByteBudget, taken_bytes: int) -> None:
        self._budget = budget
        self._taken_bytes = taken_bytes
        # Mapped for itself: malloc would keep most of it for later, and fragments of its heap for ever.
        self._memory = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.data = memoryview(self._memory)

    def free(self) -> None:
        """Give the memory back to the kernel now: a failure's reference cycles may keep the mapping for a while."""
        if self._taken_bytes:
            self._memory.madvise(mmap.MADV_DONTNEED)
            self._budget.give_back(self._taken_bytes)
            self._taken_bytes = 0


class PartReader:
    """Cut a source into parts of one length, the last one shorter."""

    def __init__(self, source: Source, part_bytes: int, budget: ByteBudget, expected_bytes: int | None = None) -> None:
        self.part_bytes = part_bytes
        self.total_bytes = 0
        self.ended = False
        self._source = source
        self._budget = budget
        # 0: not known, or more has come than was announced, as from a form that is cut off.
        self._left = expected_bytes or 0
        self._first: Part | None = None

    async def first(self) -> Part | None:
        """Return the first part, which stays the `next` one and which the caller frees; None if the source is empty."""
        self._first = await self.next()
        return self._first

    async def more(self) -> bool:
        """Return whether there is a byte behind the parts so far."""
        self.ended = not await self._source.more()
        return not self.ended

    async def next(self) -> Part | None:
        """Return the next part, which the caller frees; None at the end.

        Nothing is read while the budget is used up, so the client waits too.
        """
        if self._first is not None:
            part, self._first = self._first, None
            return part
        if not await self.more():
            return None
        length = min(self.part_bytes, self._left or self.part_bytes)
        part = Part(length, self._budget, await self._budget.take(length))
        try:
            part.data = part.data[: await self._source.fill(part.data)]
        except BaseException:
            part.free()
            raise
        self.total_bytes += len(part.data)
        self._left = max(0, self._left - len(part.data))
        if not part.data:  # a file that was longer before
            part.free()
            self.ended = True
            return None
        return part
