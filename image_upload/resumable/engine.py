"""Append to an upload from any process at any time, without a lock and without a database.

A byte counts exactly when it is in a chunk: an object that is written once (`If-None-Match: *`) and never changed. The
parts of the multipart upload are a cache, which any process can build again from the chunks. So every process may
end between two calls, and any number of them may work on one upload; docs/decisions/resumable.md has the reasons.

The engine is an algorithm over `Store`. It knows neither HTTP nor S3, and awaits nothing but the store and the bytes.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from image_upload.domain import checks
from image_upload.errors import EmptyFile, LengthChanged, LengthExceeded, OffsetMismatch, UploadBusy, UploadGone
from image_upload.resumable import chunks
from image_upload.resumable.chunks import END, LENGTH, Chunk

_COMMIT: Final = b"commit "
_GONE: Final = b"gone"

# Names of one listing: enough for the chunks of the newest part, in appends of more than a MiB.
_RECENT: Final = 16
# Where more are needed: S3's own page.
_PAGE: Final = 1_000
# A newest chunk of up to an eighth of a part is repeated by the next one, so that tiny appends make no thousand pieces.
_SMALL_SHARE: Final = 8
# Looks at an upload that others complete at the same time.
_LOOKS: Final = 4


class Part(NamedTuple):
    """A part that S3 has. `etag` is in quotes."""

    number: int
    etag: str
    size_bytes: int


class Store(Protocol):
    """The calls of one upload: the objects of its folder by name, its multipart upload, and its object.

    Each call is one moment for all others. Each may fail with an exception of its own; the engine lets it through.
    """

    async def listed(self, after: str, most: int) -> Sequence[tuple[str, int]]:
        """Return up to `most` (name, size in bytes) behind a name, in the order of the names' bytes."""

    async def put_new(self, name: str, data: bytes | memoryview) -> bool:
        """Write an object that does not exist. False: it exists, or another one writes it at this moment."""

    async def get(self, name: str) -> bytes | None:
        """Return an object; None if there is none."""

    async def delete(self, names: Sequence[str]) -> None:
        """Delete objects, as far as that is possible now."""

    async def upload_part(self, number: int, data: bytes | memoryview) -> Part | None:
        """Send a part. None: it was not stored; the reason does not matter."""

    async def list_parts(self) -> Mapping[int, Part] | None:
        """Return the parts by number. None: there is no such multipart upload."""

    async def complete(self, parts: Sequence[Part], length: int) -> bool:
        """Join the parts to the object. False: it is not known whether that was done."""

    async def put_object(self, data: bytes | memoryview) -> None:
        """Write the object in one request, unless it exists."""

    async def exists(self) -> bool:
        """Return whether the object was stored, also if it was taken on from there."""

    async def abort(self) -> None:
        """Abort the multipart upload, if there is one."""


class State(NamedTuple):
    """An upload as S3 has it. `offset`: so many bytes count. `length` is None while it is not known.

    `committed`: all bytes are there, and it cannot be cancelled any more. `recent` are its newest chunks, newest first.
    `held` are the bytes of the newest one, if this process has them.
    """

    offset: int
    length: int | None
    committed: bool = False
    recent: tuple[Chunk, ...] = ()
    held: bytes | memoryview | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all bytes are there."""
        return self.committed or self.offset == self.length


class Engine:
    """One upload. `length` is the one that its ticket says, None if it was not known.

    A part has `part_bytes`, the last one less. `most_bytes` is the longest allowed length. With `in_parts` the object
    is a multipart upload, else it has one part, and is written by one PUT.
    """

    def __init__(self, store: Store, *, length: int | None, part_bytes: int, most_bytes: int, in_parts: bool) -> None:
        self._store = store
        self._length = length
        self._part_bytes = part_bytes
        self._most_bytes = most_bytes
        self._in_parts = in_parts

    async def look(self) -> State:
        """Return the state, by one listing. Raises `UploadGone`, `UploadBusy`."""
        listed = await self._store.listed("", _RECENT)
        names = {name for name, _ in listed}
        recent = _chunks_of(listed)
        if END in names:
            end = await self._end()
            if end is None:
                raise UploadBusy
            return end._replace(recent=recent)
        length = self._length
        if length is None and LENGTH in names:
            length = int(await self._kept(LENGTH))
        if length is None and recent and recent[0].offset == recent[0].end:
            length = recent[0].end  # an empty chunk: see `_sealed`
        return State(recent[0].end if recent else 0, length, recent=recent)

    async def head(self) -> State:
        """Return the state. Where all bytes are there the object is, too: it is made before this returns.

        Clients take an offset that equals the length for a success. Raises `UploadGone`, `UploadBusy`.
        """
        state = await self.look()
        return await self._finish(state) if state.is_whole else state

    async def append(
        self,
        offset: int,
        pieces: AsyncIterator[memoryview],
        *,
        announced_bytes: int | None = None,
        length: int | None = None,
        ends: bool = False,
        known: State | None = None,
    ) -> State:
        """Append the pieces, each of which ends in the part that it begins in, and return the new state.

        A piece counts as soon as it is written, also if a later one fails. Its memory stays as it is until the next one
        is asked for, that of the last one until the end. `announced_bytes` is how many will come, `length` one that the
        client declares. `ends`: the upload ends behind these pieces. With its last byte the object is made. `known` is
        a state that this upload had at any time: a listing that was made earlier, so none is made now if it fits.

        Raises `OffsetMismatch`, `LengthChanged`, `EmptyFile`, `FileTooLarge`, `UploadGone`, `UploadBusy`, and what the
        pieces raise.
        """
        # An open length may have been declared since, and an append without bytes writes nothing that would conflict.
        is_usable = known is not None and known.offset == offset and known.length is not None and announced_bytes
        state = known if known is not None and is_usable else await self.look()
        if offset != state.offset:
            raise _mismatch(state, offset)
        if length is not None:
            state = await self._declared(state, length)
        if announced_bytes is not None:
            self._check_room(state, announced_bytes, ends=ends)
        async for piece in pieces:
            self._check_room(state, len(piece))
            state = await self._written(state, piece)
            # Now, while its last bytes are in memory. What fails is done again in the end.
            is_full = self._in_parts and state.offset % self._part_bytes == 0 and state.offset != state.length
            if is_full and await self._sent(state, state.offset // self._part_bytes) is None:
                await self.look()  # perhaps it was cancelled
        if ends and state.length is None:
            state = await self._sealed(state)
        if ends and state.offset != state.length:
            raise _changed(state.length)
        return await self._acknowledged(state, offset)

    async def record(self, length: int) -> None:
        """Write down that the object is there, because it was made in another way than by appends."""
        await self._store.put_new(END, _COMMIT + b"%d" % length)

    async def cancel(self) -> bool:
        """Cancel the upload for ever, and return True. False: it is complete, and its object stays."""
        if not await self._store.put_new(END, _GONE) and (await self._kept(END)).startswith(_COMMIT):
            return False
        await self._store.abort()
        await self._clear()
        return True

    async def _end(self) -> State | None:
        """Return the state of a whole upload, None of one that is open. Raises `UploadGone`."""
        end = await self._store.get(END)
        if end is None:
            return None
        if not end.startswith(_COMMIT):
            raise gone()
        length = int(end.removeprefix(_COMMIT))
        return State(length, length, committed=True)

    async def _kept(self, name: str) -> bytes:
        found = await self._store.get(name)
        if found is None:
            raise UploadBusy
        return found

    async def _declared(self, state: State, length: int) -> State:
        """Return the state with the length that the client declares. It is written down where it is news."""
        if state.length is None:
            if length == 0:
                raise EmptyFile
            if length < state.offset:
                raise _changed(state.offset)
            self._check_room(state, length - state.offset)
            text = b"%d" % length
            if not await self._store.put_new(LENGTH, text):
                text = await self._kept(LENGTH)
            state = state._replace(length=int(text))
        if state.length != length:
            raise _changed(state.length)
        return state

    def _check_room(self, state: State, more_bytes: int, *, ends: bool = False) -> None:
        end = state.offset + more_bytes
        if state.length is not None and end > state.length:
            raise LengthExceeded(
                "The append goes beyond the length of this upload. Send exactly the rest, or start a new upload.",
                length=state.length,
            )
        if ends and state.length not in (None, end):
            raise _changed(state.length)
        if end > self._most_bytes:
            raise checks.longer_than(self._most_bytes)

    async def _written(self, state: State, piece: bytes | memoryview) -> State:
        """Write a piece as the next chunk. This is the one moment that counts."""
        newest = state.recent[0] if state.recent else None
        start, data = state.offset, piece
        if newest is not None and self._is_repeated(newest):
            repeated = await self._store.get(newest.name)
            if repeated is None:
                raise _overtaken(await self.look(), state.offset)
            start, data = newest.start, repeated + bytes(piece)
        chunk = Chunk(state.offset, start, len(data))
        if not await self._store.put_new(chunk.name, data):
            # Another append was first. If it had the same bytes, or is this one, whose answer was lost, they count.
            other = await self.look()
            if other.offset != chunk.end or await self._store.get(chunk.name) != data:
                raise _overtaken(other, state.offset)
        return state._replace(offset=chunk.end, recent=(chunk, *state.recent[: _RECENT - 1]), held=data)

    def _is_repeated(self, newest: Chunk) -> bool:
        """Whether the next chunk begins with this one again. Its size alone decides: all write to the same name."""
        return newest.size_bytes * _SMALL_SHARE <= self._part_bytes and newest.end % self._part_bytes != 0

    async def _sealed(self, state: State) -> State:
        """Write an empty chunk, which takes the name of every other append here; so the upload's length is its end."""
        if state.offset == 0:
            raise EmptyFile
        if state.recent[0].offset != state.offset:
            state = await self._written(state, b"")
        return state._replace(length=state.offset)

    async def _acknowledged(self, state: State, offset: int) -> State:
        """Return the state after an append, complete if it is whole."""
        if state.is_whole:
            return await self._finish(state, offset)
        # Once the object is made its chunks are deleted, and other bytes can take the name of one.
        end = None if state.offset == offset else await self._end()
        if end is not None:
            raise _mismatch(end, offset)
        return state

    async def _finish(self, state: State, offset: int | None = None) -> State:
        """Make the object, and return the state. From the commit on nothing can cancel it, and every look goes on.

        `offset`: where this process has appended. If another one has committed, the bytes may be that one's.
        """
        length = state.offset
        is_found = state.committed
        if not is_found and not await self._store.put_new(END, _COMMIT + b"%d" % length):
            other = await self._end()
            if other is None:
                raise UploadBusy
            if offset not in (None, other.offset) or other.offset != length:
                raise _mismatch(other, length if offset is None else offset)
            is_found = True
        for _ in range(_LOOKS):
            if is_found and await self._store.exists():
                break
            if await (self._joined(state, length) if self._in_parts else self._put(state)):
                break
            is_found = True
        else:
            raise UploadBusy
        await self._clear()
        return State(length, length, committed=True)

    async def _joined(self, state: State, length: int) -> bool:
        """Complete the multipart upload; return whether it is known to be. Raises `UploadGone`."""
        parts = await self._store.list_parts()
        if parts is None:
            if await self._store.exists():
                return True
            raise gone()
        joined = []
        for number in range(1, -(-length // self._part_bytes) + 1):
            first, end = self._bounds(number, length)
            part = parts.get(number)
            if part is None or part.size_bytes != end - first:
                part = await self._sent(state, number)
            if part is None:
                return False
            joined.append(part)
        return await self._store.complete(joined, length)

    async def _put(self, state: State) -> bool:
        """Write the object of one part; return whether it is there. Raises `UploadGone`."""
        data = await self._read(state, 1)
        if data is None:
            if await self._store.exists():
                return True
            raise gone()
        await self._store.put_object(data)
        return True

    async def _sent(self, state: State, number: int) -> Part | None:
        """Send a part. All who build it out of the chunks get the same bytes. None: it could not be."""
        data = await self._read(state, number)
        return None if data is None else await self._store.upload_part(number, data)

    def _bounds(self, number: int, length: int) -> tuple[int, int]:
        return (number - 1) * self._part_bytes, min(number * self._part_bytes, length)

    async def _read(self, state: State, number: int) -> bytes | memoryview | None:
        """Return the bytes of a part, out of its chunks. None: they were deleted, because the object is there."""
        first, end = self._bounds(number, state.offset)
        recent = state.recent
        behind = None
        pieces: list[bytes | memoryview] = []
        while end > first:
            recent = tuple(chunk for chunk in recent if chunk.start < end)
            if not recent:
                if behind == end:
                    return None
                behind = end
                recent = _chunks_of(await self._store.listed(chunks.before(end), _PAGE))
                continue
            chunk = recent[0]
            if chunk.end < end:
                return None
            held = state.held if chunk == state.recent[0] else None
            data = await self._store.get(chunk.name) if held is None else held
            if data is None:
                return None
            pieces.append(memoryview(data)[: end - chunk.start])
            end = chunk.start
        return pieces[0] if len(pieces) == 1 else b"".join(reversed(pieces))

    async def _clear(self) -> None:
        """Delete the chunks. What stays expires by the bucket's rules."""
        after = END
        while listed := await self._store.listed(after, _PAGE):
            names = [name for name, _ in listed]
            await self._store.delete(names)
            if len(names) < _PAGE:
                return
            after = names[-1]


def _chunks_of(listed: Sequence[tuple[str, int]]) -> tuple[Chunk, ...]:
    return tuple(chunk for name, size_bytes in listed if (chunk := Chunk.read(name, size_bytes)))


def _mismatch(state: State, offset: int) -> OffsetMismatch:
    return OffsetMismatch(
        f"The upload has {state.offset} bytes, and this append begins at {offset}. Go on from {state.offset}.",
        expected_offset=state.offset,
        provided_offset=offset,
    )


def _overtaken(state: State, offset: int) -> OffsetMismatch | UploadBusy:
    return UploadBusy() if state.offset == offset else _mismatch(state, offset)


def _changed(length: int | None) -> LengthChanged:
    return LengthChanged(
        "The length of this upload is set, and what was sent does not keep to it. Send exactly the rest, or start a "
        "new upload.",
        length=length,
    )


def gone() -> UploadGone:
    """Return the problem of an upload that was cancelled, or of which something is missing."""
    return UploadGone("The upload was cancelled or cleaned up. Start a new one.")
