"""Find out whether S3 has stored a file, after the connection broke behind its last byte.

Only the service's own bucket can be asked. An object of the right length is no proof, as it may be an earlier one. A
file that is still here is compared with the object's ETag. For a file that was streamed, the object must be newer than
the upload's begin, by S3's clock.
"""

import asyncio
import hashlib
import time
from datetime import timedelta

from image_upload.domain import keys
from image_upload.errors import OutcomeUnknown
from image_upload.form_proxy.spool import Waiting, pieces
from image_upload.form_proxy.target import Target
from image_upload.s3 import objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import S3Failure
from image_upload.s3.objects import StoredObject


async def _look(bucket: Bucket, target: Target) -> StoredObject | None:
    """Return the object under the target's key in the service's bucket; None also for other buckets or no answer."""
    if target.bucket != bucket.name:
        return None
    key = keys.published(target.key)
    try:
        found = await objects.head(bucket, target.key)
        # An event of S3 may have published it meanwhile.
        return await objects.head(bucket, key) if found is None and key != target.key else found
    except S3Failure:
        return None


async def has_arrived(bucket: Bucket, target: Target, length: int, began: float) -> bool:
    """Return whether S3 has an object of this length that is newer than `began` (this process's monotonic clock).

    S3's times are in whole seconds, so an object of the same length that is up to two seconds older counts too.
    """
    found = await _look(bucket, target)
    if found is None or found.size_bytes != length:
        return False
    since = found.seen_at - timedelta(seconds=time.monotonic() - began)
    return found.last_modified >= since.replace(microsecond=0)


async def is_stored(bucket: Bucket, target: Target, file: Waiting) -> bool:
    """Return whether the object's ETag is the file's MD5. Under SSE-KMS an ETag is no MD5: then return False.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    """
    found = await _look(bucket, target)
    return found is not None and found.etag.strip('"') == await _md5(file)


async def _md5(file: Waiting) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    async for chunk in pieces(file):
        await asyncio.to_thread(digest.update, chunk)
    return digest.hexdigest()


def unknown(attempts: int) -> OutcomeUnknown:
    """Return the problem for an upload whose outcome cannot be found out."""
    return OutcomeUnknown(
        "The connection to S3 broke after the last byte, so the file may be stored or not. Look for it before you send "
        "it again.",
        attempts=attempts,
    )
