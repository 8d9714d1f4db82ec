"""Join partial uploads to one object: S3 copies what it can, and the rest passes through memory.

A part below `S3_PART_MIN_BYTES` may only be the last, and S3 copies no range of a source below that.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from image_upload.limits import COPY_PART_BYTES, COPY_PARTS_AT_ONCE, S3_PART_MIN_BYTES
from image_upload.s3 import copies, multipart, objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.objects import StoredObject
from image_upload.uploads.tickets import Ticket


class Range(NamedTuple):
    """Bytes of the source with this index."""

    source: int
    first: int
    size_bytes: int


def parts_of(sizes: Sequence[int]) -> list[list[Range]]:
    """Return the parts of an object that joins sources of these sizes, each out of one range or several.

    A part of several ranges has at most `S3_PART_MIN_BYTES`, and all but the last part have at least as many.
    """
    parts: list[list[Range]] = []
    waiting: list[Range] = []
    for source, size_bytes in enumerate(sizes):
        first = 0
        if waiting:
            wanted = S3_PART_MIN_BYTES - sum(each.size_bytes for each in waiting)
            first = min(wanted, size_bytes)
            waiting.append(Range(source, 0, first))
            if first < wanted:
                continue
            parts.append(waiting)
            waiting = []
        while size_bytes - first >= S3_PART_MIN_BYTES:
            length = min(size_bytes - first, COPY_PART_BYTES)
            parts.append([Range(source, first, length)])
            first += length
        if first < size_bytes:
            waiting.append(Range(source, first, size_bytes - first))
    return [*parts, waiting] if waiting else parts


async def send_parts(bucket: Bucket, ticket: Ticket, sources: Sequence[StoredObject]) -> None:
    """Send all parts of the object to its multipart upload, several at once. Raises `S3Failure`."""
    at_once = asyncio.Semaphore(COPY_PARTS_AT_ONCE)

    async def send(number: int, ranges: list[Range]) -> None:
        async with at_once:
            if ranges[0].size_bytes >= S3_PART_MIN_BYTES:
                source, first, length = ranges[0]
                await copies.copy_part(
                    bucket,
                    sources[source],
                    ticket.upload_key,
                    ticket.upload_id,
                    number=number,
                    first=first,
                    length=length,
                )
                return
            data = b"".join(
                [await objects.read_range(bucket, sources[each.source], each.first, each.size_bytes) for each in ranges]
            )
            await multipart.put_part(bucket, ticket.upload_key, ticket.upload_id, number, data)

    try:
        async with asyncio.TaskGroup() as tasks:
            for number, ranges in enumerate(parts_of([source.size_bytes for source in sources]), 1):
                tasks.create_task(send(number, ranges))
    except BaseExceptionGroup as group:
        # The first failure ended the group, so it is the one for the caller.
        raise group.exceptions[0] from None
