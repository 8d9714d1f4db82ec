"""The parts of a file that were read so far. A reader asks for bytes, and says which are missing."""

from typing import NamedTuple


class Unreadable(Exception):
    """The bytes are not of the format that they begin as: cut off, or with lengths that lead nowhere."""


class Missing(Exception):
    """These bytes were not read yet. Read them, `add` them, and call the reader again."""

    def __init__(self, first: int, length: int) -> None:
        super().__init__(first, length)
        self.first = first
        self.length = length


class Span(NamedTuple):
    """A range of a file: `length` bytes from `first` on."""

    first: int
    length: int

    @property
    def end(self) -> int:
        """The offset of the first byte behind it."""
        return self.first + self.length


class Window:
    """A file of `size` bytes, of which some pieces are held. Readers are pure functions over it."""

    def __init__(self, size: int, head: bytes = b"") -> None:
        self.size = size
        self._pieces: list[tuple[int, bytes]] = [(0, head[:size])]

    def add(self, first: int, piece: bytes) -> None:
        """Hold a further piece."""
        self._pieces.append((first, piece))

    def at(self, first: int, length: int) -> bytes:
        """Return `length` bytes from `first` on. Raises `Missing`, and `Unreadable` beyond the file's end."""
        if length < 0 or first < 0 or first + length > self.size:
            raise Unreadable
        for start, piece in self._pieces:
            if start <= first and first + length <= start + len(piece):
                return piece[first - start : first - start + length]
        raise Missing(first, length)

    def number(self, first: int, length: int) -> int:
        """Return a number of `length` bytes, the highest byte first. Raises as `at` does."""
        return int.from_bytes(self.at(first, length))

    def head(self) -> bytes:
        """Return the first piece: the beginning of the file."""
        return self._pieces[0][1]

    def tail(self, length: int) -> tuple[int, bytes]:
        """Return the last bytes, at most `length`, and the offset of the first of them. Raises `Missing`."""
        first = max(0, self.size - length)
        return first, self.at(first, self.size - first)
