"""Send bytes to the bucket: one PUT while they are few, parts in parallel when there are more.

Each part is in memory until S3 has it, so it can be sent again. The parts under way share a budget of bytes: a source
that finds it used up is not read until it is its turn.
S3 compares every part with its SHA-256, and `store` the finished object with its length.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

import asyncio
import contextlib
import functools
import mmap
from collections.abc import AsyncIterator, Callable, Mapping
from io import FileIO
from itertools import count
from typing import Protocol

from image_upload.errors import CredentialsUnavailable
from image_upload.limits import S3_ANSWER_TIMEOUT_S, S3_PARTS_MAX, UPLOAD_IN_FLIGHT_BYTES, UPLOAD_PART_BYTES
from image_upload.outbound.budget import ByteBudget
from image_upload.s3 import multipart, objects, time_limits
from image_upload.s3.bucket import Bucket
from image_upload.s3.checksums import SHA256_HEADER, Digest, confirms, digest_of
from image_upload.s3.errors import S3Failure
from image_upload.s3.multipart import UploadPart
from image_upload.s3.objects import StoredObject


class NothingSent(Exception):
    """The source was empty."""


class TooManyParts(Exception):
    """The source is longer than was announced, or a part of it than all buffers together."""


class Source(Protocol):
    """Bytes in their order."""

    async def more(self) -> bool:
        """Whether there is another byte."""

    async def fill(self, memory: memoryview) -> int:
        """Write the next bytes into the memory; how many. Fewer than fit only at the end."""


class ChunkSource:
    """Chunks of any length, as they arrive."""

    def __init__(self, chunks: AsyncIterator[memoryview]) -> None:
        self._chunks = chunks
        self._chunk = memoryview(b"")
        self._ended = False

    async def more(self) -> bool:
        """Whether there is another byte."""
        while not self._chunk and not self._ended:
            try:
                self._chunk = await anext(self._chunks)
            except StopAsyncIteration:
                self._ended = True
        return not self._ended

    async def fill(self, memory: memoryview) -> int:
        """Copy chunks until the memory is full or none is left."""
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
        """Whether there is another byte, unless the file has become shorter."""
        return self._left > 0

    async def fill(self, memory: memoryview) -> int:
        """Read until the memory is full or the file is at its end."""
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
    """Cuts a source into parts of one length, the last one shorter."""

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
        """The first part, which stays the `next` one and is the caller's to free; None if the source is empty."""
        self._first = await self.next()
        return self._first

    async def more(self) -> bool:
        """Whether there is a byte behind the parts so far."""
        self.ended = not await self._source.more()
        return not self.ended

    async def next(self) -> Part | None:
        """The next part, which the caller frees; None at the end.

        Nothing is read while there is no room in the budget, so the client waits too.
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


async def put(
    bucket: Bucket,
    key: str,
    data: bytes | memoryview,
    digest: Digest,
    headers: Mapping[str, str],
) -> UploadPart:
    """PutObject with the declared SHA-256: the object as S3's answer describes it. Raises `S3Failure`.

    With the header `If-None-Match: *` S3 answers 412 where there is an object already.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    every = {**headers, "Content-Length": str(len(data)), SHA256_HEADER: digest.sha256}
    response = await bucket.call("PutObject", "PUT", key, headers=every, body=data, limit=time_limits.DATA)
    return UploadPart(1, response.headers.get("etag", ""), len(data), response.headers.get(SHA256_HEADER))


async def send_parts(
    bucket: Bucket,
    key: str,
    upload_id: str,
    parts: PartReader,
    *,
    there: Mapping[int, UploadPart] | None = None,
    must_confirm: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[UploadPart]:
    """Send the parts, several at once, but for those that S3 has (`there`, by number); all parts in order.

    `must_confirm` as in `multipart.send_part`. `progress` is told the bytes of each part that S3 has.
    Raises `S3Failure`, `TooManyParts`, and what the source raises; parts that S3 has then stay.
    """
    sent: list[UploadPart] = []

    async def send(number: int, data: memoryview) -> None:
        digest = await digest_of(data)
        part = there.get(number) if there else None
        if part is None or not await confirms(part, digest):
            part = await multipart.send_part(
                bucket, key, upload_id, number, data, digest=digest, must_confirm=must_confirm
            )
        sent.append(part._replace(sha256=digest.sha256))
        if progress is not None:
            progress(len(data))

    room = asyncio.Semaphore(max(1, UPLOAD_IN_FLIGHT_BYTES // parts.part_bytes))
    try:
        async with asyncio.TaskGroup() as tasks:
            for number in count(1):
                await room.acquire()
                part = await parts.next()
                if part is None:
                    break
                if number > S3_PARTS_MAX:
                    part.free()
                    raise TooManyParts
                task = tasks.create_task(send(number, part.data))
                # Not in the task itself: one that is cancelled before it has begun runs nothing at all.
                task.add_done_callback(functools.partial(_done, part, room))
    except BaseExceptionGroup as group:
        # What ended the group first is what the caller has to hear of.
        raise group.exceptions[0] from None
    return sorted(sent)


def _done(part: Part, room: asyncio.Semaphore, _: "asyncio.Task[None]") -> None:
    part.free()
    room.release()


async def store(
    bucket: Bucket, key: str, source: Source, headers: Mapping[str, str], *, expected_bytes: int | None
) -> StoredObject:
    """Store a source under a key that no other upload has, with these headers (type, metadata); what S3 has then.

    `expected_bytes` is an upper bound that decides the length of parts. Raises `S3Failure`, `NothingSent`,
    `TooManyParts` and what the source raises; then nothing of it is left in S3, as far as S3 can be asked.
    """
    length = multipart.part_length(expected_bytes or 0, UPLOAD_PART_BYTES)
    if length > bucket.buffers.total_bytes:
        raise TooManyParts
    parts = PartReader(source, length, bucket.buffers, expected_bytes)
    first = await parts.first()
    if first is None:
        raise NothingSent
    upload_id = None
    try:
        if await parts.more():
            upload_id = await multipart.create(bucket, key, headers, with_sha256=True)
            sent = await send_parts(bucket, key, upload_id, parts)
            await multipart.complete(bucket, key, upload_id, sent, {}, limit=time_limits.COMPLETE_OWN)
        else:
            await put(bucket, key, first.data, await digest_of(first.data), headers)
        return await _confirmed(bucket, key, parts.total_bytes)
    except BaseException as error:
        # Shielded: what is left must go although the one who waits for it has gone.
        whole_bytes = parts.total_bytes if isinstance(error, S3Failure) and parts.ended else None
        stored = await asyncio.shield(_settled(bucket, key, upload_id, whole_bytes))
        if stored is None:
            raise
        return stored
    finally:
        first.free()


async def _confirmed(bucket: Bucket, key: str, total_bytes: int) -> StoredObject:
    stored = await objects.head(bucket, key)
    if stored is None or stored.size_bytes != total_bytes:
        raise S3Failure("HeadObject", None, "WrongLength")
    return stored


async def _settled(bucket: Bucket, key: str, upload_id: str | None, whole_bytes: int | None) -> StoredObject | None:
    """After a failure: the object, if S3 has it whole though its answer was lost; else None, and nothing is left.

    `whole_bytes` None: not everything was sent. What S3 does not answer within `S3_ANSWER_TIMEOUT_S` stays as it is.
    """
    stored = None
    if whole_bytes is not None:
        async with _forgiving():
            stored = await _confirmed(bucket, key, whole_bytes)
    if stored is None:
        if upload_id is not None:
            async with _forgiving():
                await multipart.abort_each(bucket, key, [upload_id])
        async with _forgiving():
            await objects.delete(bucket, key)
    return stored


@contextlib.asynccontextmanager
async def _forgiving() -> AsyncIterator[None]:
    """For what is tried after a failure: that failure is what the caller hears of, not the next one."""
    with contextlib.suppress(S3Failure, CredentialsUnavailable, TimeoutError):
        async with asyncio.timeout(S3_ANSWER_TIMEOUT_S):
            yield
