"""Copy an object inside the bucket, once: a key that has an object already keeps it.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

import asyncio
from collections.abc import Mapping
from urllib.parse import quote

from image_upload.limits import COPY_PART_BYTES, COPY_PARTS_AT_ONCE, S3_PUT_MAX_BYTES
from image_upload.s3 import multipart, objects, time_limits, xml
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import S3Failure, error_code
from image_upload.s3.multipart import UploadPart
from image_upload.s3.objects import StoredObject

_ONCE = {"If-None-Match": "*"}
# Neither metadata nor tags of the source. To copy those that a scanner has set would take two more rights.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html#AmazonS3-CopyObject-request-header-TaggingDirective
_NEW = {"x-amz-metadata-directive": "REPLACE", "x-amz-tagging-directive": "REPLACE"}


async def copy(bucket: Bucket, source: StoredObject, key: str, headers: Mapping[str, str]) -> str:
    """Copy exactly this object to a key without an object, with these headers (type, metadata) only; return the ETag.

    Raises `S3Failure`: 412 or 409 if the source was replaced or the key has an object, 404 if the source is missing.
    """
    if source.size_bytes > S3_PUT_MAX_BYTES:
        return await _copy_parts(bucket, source, key, headers)
    every = {**headers, **_ONCE, **_source(bucket, source), **_NEW}
    return await _copied(bucket, "CopyObject", key, every)


async def _copy_parts(bucket: Bucket, source: StoredObject, key: str, headers: Mapping[str, str]) -> str:
    """Copy what exceeds one CopyObject, in ranges."""
    upload_id = await multipart.create(bucket, key, headers)
    length = multipart.part_length(source.size_bytes, COPY_PART_BYTES)
    at_once = asyncio.Semaphore(COPY_PARTS_AT_ONCE)

    async def part(number: int, first: int) -> UploadPart:
        async with at_once:
            return await copy_part(bucket, source, key, upload_id, number=number, first=first, length=length)

    try:
        async with asyncio.TaskGroup() as tasks:
            parts = [
                tasks.create_task(part(number, first))
                for number, first in enumerate(range(0, source.size_bytes, length), 1)
            ]
        sent = [each.result() for each in parts]
        await multipart.complete(bucket, key, upload_id, sent, _ONCE, limit=time_limits.COMPLETE_OWN)
    except BaseException as error:
        # Shielded: a cancelled caller leaves no upload either. What stays is aborted by the lifecycle rule.
        await asyncio.shield(multipart.abort_each(bucket, key, [upload_id]))
        if isinstance(error, BaseExceptionGroup):
            raise error.exceptions[0] from None
        raise
    copied = await objects.head(bucket, key)
    if copied is None:
        raise S3Failure("HeadObject", 404)
    return copied.etag


async def copy_part(
    bucket: Bucket, source: StoredObject, key: str, upload_id: str, *, number: int, first: int, length: int
) -> UploadPart:
    """Copy up to `length` bytes of exactly this object from `first` on into a part. Raises `S3Failure`.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html
    """
    headers = _source(bucket, source)
    last = min(first + length, source.size_bytes) - 1
    if last - first + 1 < source.size_bytes:  # S3 copies no range of what has less than 5 MiB
        headers["x-amz-copy-source-range"] = f"bytes={first}-{last}"
    query = {"partNumber": str(number), "uploadId": upload_id}
    return UploadPart(number, await _copied(bucket, "UploadPartCopy", key, headers, query))


def _source(bucket: Bucket, source: StoredObject) -> dict[str, str]:
    named = quote(f"{bucket.name}/{source.key}", safe="/~")
    return {"x-amz-copy-source": named, "x-amz-copy-source-if-match": source.etag}


async def _copied(
    bucket: Bucket, operation: str, key: str, headers: Mapping[str, str], query: Mapping[str, str] | None = None
) -> str:
    """Make one call; return the copy's ETag. S3 may begin a 200 answer and fail later, with an error in its body."""
    response = await bucket.call(operation, "PUT", key, headers=headers, query=query, limit=time_limits.COMPLETE_OWN)
    etag = xml.text(xml.parse(response.content), "ETag").strip('"')
    if not etag:
        raise S3Failure(operation, response.status_code, error_code(response.content))
    return f'"{etag}"'  # some stores leave the quotes out
