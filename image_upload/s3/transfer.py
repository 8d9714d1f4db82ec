"""Send bytes to the bucket: one PUT for few bytes, parts in parallel for more.

S3 compares every part with its SHA-256, and `store` the finished object with its length.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import count

from image_upload.errors import CredentialsUnavailable
from image_upload.limits import S3_ANSWER_TIMEOUT_S, S3_PARTS_MAX, UPLOAD_IN_FLIGHT_BYTES, UPLOAD_PART_BYTES
from image_upload.s3 import multipart, objects, time_limits
from image_upload.s3.bucket import Bucket
from image_upload.s3.checksums import SHA256_HEADER, Digest, confirms, digest_of
from image_upload.s3.errors import S3Failure
from image_upload.s3.multipart import UploadPart
from image_upload.s3.objects import StoredObject
from image_upload.s3.part_reader import Part, PartReader, Source


class NothingSent(Exception):
    """The source was empty."""


class TooManyParts(Exception):
    """The source is longer than announced, or one of its parts exceeds all buffers."""


async def put(
    bucket: Bucket,
    key: str,
    data: bytes | memoryview,
    digest: Digest,
    headers: Mapping[str, str],
) -> UploadPart:
    """PutObject with the declared SHA-256; return the object as S3's answer describes it. Raises `S3Failure`.

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
    """Send the parts, several at once, except those that S3 has (`there`, by number); return all parts in order.

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
                # Not in the task itself: a task that is cancelled before it starts runs nothing.
                task.add_done_callback(functools.partial(_done, part, room))
    except BaseExceptionGroup as group:
        # The first failure ended the group, so it is the one for the caller.
        raise group.exceptions[0] from None
    return sorted(sent)


def _done(part: Part, room: asyncio.Semaphore, _: "asyncio.Task[None]") -> None:
    part.free()
    room.release()


async def store(
    bucket: Bucket,
    key: str,
    source: Source,
    headers: Mapping[str, str],
    *,
    expected_bytes: int | None,
    progress: Callable[[int], None] | None = None,
) -> StoredObject:
    """Store a source under a key that no other upload has, with these headers (type, metadata); return the object.

    `expected_bytes` is an upper bound that decides the length of parts. `progress` as in `send_parts`. Raises
    `S3Failure`, `NothingSent`, `TooManyParts` and what the source raises; then nothing of it is left in S3, as far as
    S3 can be asked.
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
            sent = await send_parts(bucket, key, upload_id, parts, progress=progress)
            await multipart.complete(bucket, key, upload_id, sent, {}, limit=time_limits.COMPLETE_OWN)
        else:
            await put(bucket, key, first.data, await digest_of(first.data), headers)
        return await _confirmed(bucket, key, parts.total_bytes)
    except BaseException as error:
        # Shielded: what is left is removed also if the caller was cancelled.
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
    """Return the object after a failure, if S3 has it whole though its answer was lost; else None, and nothing is left.

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
    """Suppress what fails after a failure: the first one is what the caller hears of."""
    with contextlib.suppress(S3Failure, CredentialsUnavailable, TimeoutError):
        async with asyncio.timeout(S3_ANSWER_TIMEOUT_S):
            yield
