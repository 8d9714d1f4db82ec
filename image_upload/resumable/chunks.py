"""The names of what an unfinished upload keeps in its folder.

    !end              how it ended: `commit {length}`, or `gone`
    0-length          the length, where it became known after the upload was created
    c{TOP - o}.{s}    a chunk: written by the append at offset o, it holds the bytes from s on

S3 lists names in the order of their bytes: the end comes first, then the length, then the newest chunk.
"""

import re
from typing import Final, NamedTuple, Self

END: Final = "!end"
LENGTH: Final = "0-length"

# Above every offset: 10,000 parts of 5 GiB have 14 digits.
_TOP: Final = 10**15 - 1
_NAME: Final = re.compile(r"c(\d{15})\.(\d{15})", re.ASCII)


class Chunk(NamedTuple):
    """The bytes from `start` on, written by the append at `offset`, which is more where it repeats a small chunk."""

    offset: int
    start: int
    size_bytes: int

    @property
    def end(self) -> int:
        """The offset behind its last byte."""
        return self.start + self.size_bytes

    @property
    def name(self) -> str:
        """Its name, which sorts in front of those of older chunks."""
        return f"c{_TOP - self.offset:015d}.{self.start:015d}"

    @classmethod
    def read(cls, name: str, size_bytes: int) -> Self | None:
        """Return the chunk of a listed name; None for a name that is none."""
        match = _NAME.fullmatch(name)
        return None if match is None else cls(_TOP - int(match[1]), int(match[2]), size_bytes)


def before(offset: int) -> str:
    """Return a text that sorts behind all chunks of appends at `offset` or later, and in front of all older ones."""
    return f"c{_TOP - offset:015d}~"
