"""Store a stream of unknown length in the bucket: one PUT while it is small, parts in parallel when it grows.

Each part is in memory until S3 has it, so it can be sent again. All parts of the process share one budget of bytes
(`Bucket.buffers`): a stream that finds it used up is not read until it is its turn.
S3 compares every part with its SHA-256, and the finished object with its length.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

import asyncio
import base64
import contextlib
import functools
import hashlib
import mmap
from collections.abc import AsyncIterator, Mapping

from image_upload.errors import CredentialsUnavailable
from image_upload.limits import MIB, S3_ANSWER_TIMEOUT_S, S3_PARTS_MAX, UPLOAD_IN_FLIGHT_BYTES, UPLOAD_PART_BYTES
from image_upload.outbound.budget import ByteBudget
from image_upload.s3 import multipart, objects, time_limits
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import S3Failure
from image_upload.s3.multipart import SentPart
from image_upload.s3.objects import StoredObject

Chunks = AsyncIterator[memoryview]


class NothingSent(Exception):
    """The stream was empty."""


class TooManyParts(Exception):
    """The stream is longer than was announced, or a part of it than all buffers together."""


class _Part:
    """A part's bytes, counted in the budget until `free`."""

    def __init__(self, budget: ByteBudget, taken_bytes: int) -> None:
        self._budget = budget
        self._taken_bytes = taken_bytes
        # Mapped for itself: malloc would keep most of it for later, and fragments of its heap for ever.
        self._memory = mmap.mmap(-1, taken_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.length = 0

    @property
    def data(self) -> memoryview:
        """What is there so far."""
        return memoryview(self._memory)[: self.length]

    @property
    def is_full(self) -> bool:
        return self.length == self._taken_bytes

    def add(self, chunk: memoryview) -> memoryview:
        """Take in as much as fits; the rest of the chunk."""
        fits = min(len(chunk), self._taken_bytes - self.length)
        self._memory[self.length : self.length + fits] = chunk[:fits]
        self.length += fits
        return chunk[fits:]

    def free(self) -> None:
        """Give the memory back to the kernel now: a failure's reference cycles may keep the mapping for a while."""
        if self._taken_bytes:
            self._memory.madvise(mmap.MADV_DONTNEED)
            self._budget.give_back(self._taken_bytes)
            self._taken_bytes = 0


class _Parts:
    """A stream cut into parts of this length, the last one shorter."""

    def __init__(self, budget: ByteBudget, chunks: Chunks, length: int, expected_bytes: int | None) -> None:
        self._budget = budget
        self._chunks = chunks
        self._length = length
        # 0: not known, or more has come than was announced, as from a form that is cut off.
        self._left = expected_bytes or 0
        self._chunk = memoryview(b"")
        self.total_bytes = 0
        self.ended = False

    async def more(self) -> bool:
        """Return whether there is a byte behind the parts so far."""
        while not self._chunk and not self.ended:
            try:
                self._chunk = await anext(self._chunks)
            except StopAsyncIteration:
                self.ended = True
        return not self.ended

    async def next(self) -> _Part | None:
        """Return the next part, which the caller frees; None at the end. Raises `TooManyParts`.

        Nothing is read while there is no room in the budget, so the client waits too.
        """
        if not await self.more():
            return None
        wanted = min(self._length, self._left or self._length)
        if wanted > self._budget.total_bytes:
            raise TooManyParts
        part = _Part(self._budget, await self._budget.take(wanted))
        try:
            while not part.is_full and await self.more():
                self._chunk = part.add(self._chunk)
        except BaseException:
            part.free()
            raise
        self.total_bytes += part.length
        self._left = max(0, self._left - part.length)
        return part


async def store(
    bucket: Bucket, key: str, chunks: Chunks, headers: Mapping[str, str], *, expected_bytes: int | None
) -> StoredObject:
    """Store the stream under a key that no other upload has, with these headers (type, metadata); what S3 has then.

    `expected_bytes` is an upper bound that decides the length of parts. Raises `S3Failure`, `NothingSent`,
    `TooManyParts` and whatever `chunks` raises; then nothing of the stream is left in S3, as far as S3 can be asked.
    """
    length = max(UPLOAD_PART_BYTES, -(-(expected_bytes or 0) // (S3_PARTS_MAX * MIB)) * MIB)
    parts = _Parts(bucket.buffers, chunks, length, expected_bytes)
    first = await parts.next()
    if first is None:
        raise NothingSent
    try:
        several = await parts.more()
    except BaseException:
        first.free()
        raise
    upload = _Multipart(bucket, key)
    try:
        if several:
            await upload.store(first, parts, headers, in_flight=UPLOAD_IN_FLIGHT_BYTES // length)
        else:
            await _put(bucket, key, first.data, headers)
        return await _confirmed(bucket, key, parts.total_bytes)
    except BaseException as error:
        # Shielded: what is left must go although the one who waits for it has gone.
        whole_bytes = parts.total_bytes if isinstance(error, S3Failure) and parts.ended else None
        stored = await asyncio.shield(_settled(upload, whole_bytes))
        if stored is None:
            raise
        return stored
    finally:
        first.free()


async def _put(bucket: Bucket, key: str, data: memoryview, headers: Mapping[str, str]) -> None:
    every = {**headers, "Content-Length": str(len(data)), "x-amz-checksum-sha256": await _sha256(data)}
    await bucket.call("PutObject", "PUT", key, headers=every, body=data, limit=time_limits.DATA)


async def _confirmed(bucket: Bucket, key: str, total_bytes: int) -> StoredObject:
    stored = await objects.head(bucket, key)
    if stored is None or stored.size_bytes != total_bytes:
        raise S3Failure("HeadObject", None, "WrongLength")
    return stored


class _Multipart:
    """The upload of one key in parts."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self.bucket = bucket
        self.key = key
        # Until an answer says otherwise, one may have been begun without our hearing of it.
        self.may_be_several = False
        self._upload_id: str | None = None

    async def store(self, first: _Part, parts: _Parts, headers: Mapping[str, str], *, in_flight: int) -> None:
        """Send the first part and all others, so many at once, and complete the upload."""
        self.may_be_several = True
        begun = await multipart.begin(self.bucket, self.key, {**headers, "x-amz-checksum-algorithm": "SHA256"})
        self._upload_id, self.may_be_several = begun.upload_id, begun.attempts > 1
        sent: list[SentPart] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._send_all(first, parts, sent, tasks, asyncio.Semaphore(max(1, in_flight)))
        except BaseExceptionGroup as group:
            # What ended the group first is what the caller has to hear of.
            raise group.exceptions[0] from None
        await multipart.complete_with_checksums(self.bucket, self.key, begun.upload_id, sorted(sent))
        if self.may_be_several:
            async with _forgiving():
                await self.abort()

    async def _send_all(
        self, first: _Part, parts: _Parts, sent: list[SentPart], tasks: asyncio.TaskGroup, room: asyncio.Semaphore
    ) -> None:
        part: _Part | None = first
        number = 1
        await room.acquire()
        while part is not None:
            task = tasks.create_task(self._send(number, part, sent))
            # Not in the task itself: one that is cancelled before it has begun runs nothing at all.
            task.add_done_callback(functools.partial(_done, part, room))
            await room.acquire()
            part, number = await parts.next(), number + 1
            if part is not None and number > S3_PARTS_MAX:
                part.free()
                raise TooManyParts

    async def _send(self, number: int, part: _Part, sent: list[SentPart]) -> None:
        sha256 = await _sha256(part.data)
        assert self._upload_id is not None  # begun before
        etag = await multipart.send_part(self.bucket, self.key, self._upload_id, number, part.data, sha256=sha256)
        sent.append(SentPart(number, etag, sha256))

    async def abort(self) -> None:
        """Abort what was begun, also where the answer that named it was lost. Raises `S3Failure`."""
        begun = [] if self._upload_id is None else [self._upload_id]
        if self.may_be_several:
            begun += await multipart.list_uploads(self.bucket, self.key)
        await multipart.abort_each(self.bucket, self.key, dict.fromkeys(begun))


def _done(part: _Part, room: asyncio.Semaphore, _: "asyncio.Task[None]") -> None:
    part.free()
    room.release()


async def _settled(upload: _Multipart, whole_bytes: int | None) -> StoredObject | None:
    """After a failure: the object, if S3 has it whole though its answer was lost; else None, and nothing is left.

    `whole_bytes` None: not everything was sent. What S3 does not answer within `S3_ANSWER_TIMEOUT_S` stays as it is.
    """
    stored = None
    if whole_bytes is not None:
        async with _forgiving():
            stored = await _confirmed(upload.bucket, upload.key, whole_bytes)
    if stored is None or upload.may_be_several:
        async with _forgiving():
            await upload.abort()
    if stored is None:
        async with _forgiving():
            await objects.delete(upload.bucket, upload.key)
    return stored


@contextlib.asynccontextmanager
async def _forgiving() -> AsyncIterator[None]:
    """For what is tried after a failure: that failure is what the caller hears of, not the next one."""
    with contextlib.suppress(S3Failure, CredentialsUnavailable, TimeoutError):
        async with asyncio.timeout(S3_ANSWER_TIMEOUT_S):
            yield


async def _sha256(data: memoryview) -> str:
    """As S3 wants it; hashlib lets other threads run meanwhile."""
    digest = await asyncio.to_thread(lambda: hashlib.sha256(data).digest())
    return base64.b64encode(digest).decode()
