"""Store a stream of unknown length in the bucket: one PUT while it is small, parts in parallel when it grows.

Each part is in memory until S3 has it, so it can be sent again; memory is bounded by the parts under way.
S3 compares every part with its SHA-256, and the finished object with its length.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from image_upload.limits import MIB, S3_PARTS_MAX, UPLOAD_IN_FLIGHT_BYTES, UPLOAD_PART_BYTES
from image_upload.s3 import multipart, objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.failures import S3Failure
from image_upload.s3.multipart import SentPart
from image_upload.s3.objects import StoredObject

Chunks = AsyncIterator[memoryview]


class NothingSent(Exception):
    """The stream was empty."""


class TooManyParts(Exception):
    """The stream is longer than was announced, and S3 takes no more parts."""


class _Sized(NamedTuple):
    data: bytes
    sha256: str


async def store(
    bucket: Bucket, key: str, chunks: Chunks, headers: Mapping[str, str], *, expected_bytes: int | None
) -> StoredObject:
    """Store the stream under a key with these headers (type, metadata). Returns what S3 has then.

    `expected_bytes` is an upper bound that decides the length of parts. Raises `S3Failure`, `NothingSent`,
    `TooManyParts` and whatever `chunks` raises; then nothing of the stream is left in S3.
    """
    length = max(UPLOAD_PART_BYTES, -(-(expected_bytes or 0) // (S3_PARTS_MAX * MIB)) * MIB)
    async with contextlib.aclosing(_parts(chunks, length)) as parts:  # type: ignore[type-var]
        first = await anext(parts)
        if not first:
            raise NothingSent
        if len(first) < length:
            total = len(first)
            await _put(bucket, key, first, headers)
        else:
            total = await _store_parts(bucket, key, first, parts, headers, in_flight=UPLOAD_IN_FLIGHT_BYTES // length)
    stored = await objects.head(bucket, key)
    if stored is None or stored.size_bytes != total:
        await objects.delete(bucket, key)
        raise S3Failure("HeadObject", None, "WrongLength")
    return stored


async def _parts(chunks: Chunks, length: int) -> AsyncIterator[bytes]:
    """The stream cut into pieces of this length, the last one shorter; an empty stream is one empty piece."""
    pieces: list[memoryview] = []
    held = 0
    any_yet = False
    async for chunk in chunks:
        rest = chunk
        while held + len(rest) >= length:
            cut = length - held
            yield b"".join([*pieces, rest[:cut]])
            any_yet, pieces, held, rest = True, [], 0, rest[cut:]
        if rest:
            pieces.append(rest)
            held += len(rest)
    if held or not any_yet:
        yield b"".join(pieces)


async def _put(bucket: Bucket, key: str, data: bytes, headers: Mapping[str, str]) -> None:
    sized = await _digested(data)
    every = {**headers, "Content-Length": str(len(data)), "x-amz-checksum-sha256": sized.sha256}
    await bucket.call("PutObject", "PUT", key, headers=every, body=data)


async def _store_parts(
    bucket: Bucket, key: str, first: bytes, rest: AsyncIterator[bytes], headers: Mapping[str, str], *, in_flight: int
) -> int:
    """A multipart upload; its length. Whatever goes wrong, also a client that goes away, the upload is aborted."""
    upload_id = await multipart.create(bucket, key, {**headers, "x-amz-checksum-algorithm": "SHA256"})
    room = asyncio.Semaphore(max(1, in_flight))
    sent: list[SentPart] = []
    total = 0

    async def send(number: int, data: bytes) -> None:
        try:
            sized = await _digested(data)
            etag = await multipart.send_part(bucket, key, upload_id, number, data, sha256=sized.sha256)
            sent.append(SentPart(number, etag, sized.sha256))
        finally:
            room.release()

    try:
        async with asyncio.TaskGroup() as tasks:
            number = 0
            async for data in _with(first, rest):
                number += 1
                if number > S3_PARTS_MAX:
                    raise TooManyParts
                total += len(data)
                await room.acquire()
                tasks.create_task(send(number, data))
        await multipart.complete_with_checksums(bucket, key, upload_id, sorted(sent))
    except BaseException as error:
        # The abort must not be given up because the one who waits for it is.
        with contextlib.suppress(S3Failure):
            await asyncio.shield(multipart.abort(bucket, key, upload_id))
        if isinstance(error, BaseExceptionGroup):
            # What ended the group first is what the caller has to hear of.
            raise error.exceptions[0] from None
        raise
    return total


async def _with(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for data in rest:
        yield data


async def _digested(data: bytes) -> _Sized:
    """The SHA-256 as S3 wants it; hashlib lets other threads run meanwhile."""
    digest = await asyncio.to_thread(lambda: hashlib.sha256(data).digest())
    return _Sized(data, base64.b64encode(digest).decode())
