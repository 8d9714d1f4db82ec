"""A file that goes in parts: begun, gone on with after a kill, and ended by what S3 confirms.

The file is always read from its beginning to its end. Parts that S3 has already, byte for byte, are not sent again.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from image_upload.cli.import_files.journal import Journal, Row
from image_upload.cli.import_files.walking import OpenFile
from image_upload.limits import MIB, S3_PARTS_MAX, UPLOAD_PART_BYTES
from image_upload.outbound.budget import ByteBudget
from image_upload.s3 import multipart
from image_upload.s3.bucket import Bucket
from image_upload.s3.checksums import Digest, Stored, confirms, digest_of, digest_of_parts, head, md5_of, send_part
from image_upload.s3.errors import S3Failure
from image_upload.s3.multipart import SentPart


class Kept(NamedTuple):
    """S3 has the file. `was_there`: it had it before."""

    sha256: str
    etag: str
    was_there: bool


class ForeignObject(Exception):
    """Under the key is an object that is not of this import."""


class _Part(NamedTuple):
    etag: str
    sha256: str


def part_bytes(size_bytes: int) -> int:
    """Return the length of each part but the last."""
    return max(UPLOAD_PART_BYTES, -(-size_bytes // (S3_PARTS_MAX * MIB)) * MIB)


async def store(
    bucket: Bucket,
    row: Row,
    file: OpenFile,
    headers: Mapping[str, str],
    *,
    journal: Journal,
    budget: ByteBudget,
    is_ours: Callable[[Row, Stored], bool],
    progress: Callable[[int], None],
) -> Kept:
    """Store a file in parts. If this raises, the upload stays open, to be gone on with or to be aborted by `give_up`.

    Raises `S3Failure`, `ChangedError`, `ForeignObject`, `OSError`.
    """
    there = await _parts_there(bucket, row)
    overwrite = False
    if there is None:
        found = await head(bucket, row.key)
        if found is not None:
            digest = await digest_of_file(file, with_etag=found.sha256 is None, progress=None)
            if await confirms(found, digest):
                return Kept(digest.sha256, found.etag, was_there=True)
            if not is_ours(row, found):
                raise ForeignObject
            overwrite = True
        upload_id, there = await _begin(bucket, row, headers, journal), {}
    else:
        upload_id = row.upload_id or ""
    parts = await _send(bucket, row, upload_id, file=file, there=there, budget=budget, progress=progress)
    file.check()
    digest = digest_of_parts(file.stat.size_bytes, [part.sha256 for part in parts], [part.etag for part in parts])
    sent = [SentPart(number, f'"{part.etag}"', part.sha256) for number, part in enumerate(parts, 1)]
    # Had there been an object, it would have been seen above: what is there now came in between.
    once = {} if overwrite else {"If-None-Match": "*"}
    failed: S3Failure | None = None
    try:
        await multipart.complete_with_checksums(bucket, row.key, upload_id, sent, once)
    except S3Failure as failure:  # it may have gone well all the same: the object says
        failed = failure
    stored = await head(bucket, row.key)
    if stored is not None and await confirms(stored, digest):
        return Kept(digest.sha256, stored.etag, was_there=False)
    if failed is not None:
        raise failed
    raise S3Failure("CompleteMultipartUpload", None, "BadDigest")


async def give_up(bucket: Bucket, row: Row, journal: Journal) -> None:
    """Leave no upload open that this import has begun for a file. Raises `S3Failure`."""
    if not row.begun:
        return
    upload_ids = [row.upload_id] if row.upload_id else await multipart.list_uploads(bucket, row.key)
    await multipart.abort_each(bucket, row.key, upload_ids)
    journal.ended(row.id)


async def digest_of_file(file: OpenFile, *, with_etag: bool, progress: Callable[[int], None] | None) -> Digest:
    """Return the digest that the object would have, without sending anything."""
    size, length = file.stat.size_bytes, part_bytes(file.stat.size_bytes)
    parts = []
    for start in range(0, size, length):
        data = await asyncio.to_thread(file.read, start, min(length, size - start))
        digest = await asyncio.to_thread(digest_of, data)
        parts.append(_Part(await asyncio.to_thread(md5_of, data) if with_etag else "", digest.sha256))
        if progress is not None:
            progress(len(data))
    file.check()
    return digest_of_parts(size, [part.sha256 for part in parts], [part.etag for part in parts])


async def _parts_there(bucket: Bucket, row: Row) -> dict[int, multipart.StoredPart] | None:
    """Return the parts of the open upload by number, None where none is open."""
    if row.upload_id is None:
        return None
    try:
        return {part.number: part for part in await multipart.list_parts(bucket, row.key, row.upload_id)}
    except S3Failure as failure:
        if failure.is_missing and failure.code != "NoSuchBucket":
            return None  # completed, or aborted by a lifecycle rule
        raise


async def _begin(bucket: Bucket, row: Row, headers: Mapping[str, str], journal: Journal) -> str:
    await give_up(bucket, row, journal)
    # First this, then S3: a kill in between must not leave an upload that nobody knows of.
    journal.begun(row.id, None)
    upload_id = await multipart.create(bucket, row.key, {**headers, "x-amz-checksum-algorithm": "SHA256"})
    journal.begun(row.id, upload_id)
    return upload_id


async def _send(
    bucket: Bucket,
    row: Row,
    upload_id: str,
    *,
    file: OpenFile,
    there: Mapping[int, multipart.StoredPart],
    budget: ByteBudget,
    progress: Callable[[int], None],
) -> list[_Part]:
    """Send what is missing; all parts in order."""
    parts: dict[int, _Part] = {}
    size, length = file.stat.size_bytes, part_bytes(file.stat.size_bytes)

    async def one(number: int, data: bytes) -> None:
        digest = await asyncio.to_thread(digest_of, data)
        known = there.get(number)
        stored = known and Stored(known.size_bytes, known.etag.strip('"'), known.sha256)
        if stored is None or not await confirms(stored, digest):
            stored = await send_part(bucket, row.key, upload_id, number, data=data, digest=digest)
        parts[number] = _Part(stored.etag, digest.sha256)
        progress(len(data))

    try:
        async with asyncio.TaskGroup() as tasks:
            for number, start in enumerate(range(0, size, length), 1):
                taken = await budget.take(min(length, size - start))
                with contextlib.ExitStack() as held:
                    held.callback(budget.give_back, taken)
                    data = await asyncio.to_thread(file.read, start, min(length, size - start))
                    task = tasks.create_task(one(number, data))
                    # Not in the task: one that is cancelled before it begins does not run at all.
                    task.add_done_callback(functools.partial(_close, held.pop_all()))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return [parts[number] for number in sorted(parts)]


def _close(held: contextlib.ExitStack, _task: asyncio.Task[None]) -> None:
    held.close()
