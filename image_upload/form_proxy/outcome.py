"""After a connection broke behind the last byte: is the file stored?

Where it is our own bucket we look. An object of the right length alone proves nothing, it may have been there
before: a file that we still have is compared with the object's ETag, one that has passed through must have been
written since it began, by S3's own clock.
"""

import asyncio
import hashlib
import time
from datetime import timedelta

from image_upload.errors import OutcomeUnknown
from image_upload.form_proxy.spool import Waiting, pieces
from image_upload.form_proxy.target import Target
from image_upload.s3 import objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import S3Failure
from image_upload.s3.objects import StoredObject


async def _look(bucket: Bucket, target: Target) -> StoredObject | None:
    """Return what our own bucket holds under the target's key. None also where we must not look, or get no answer."""
    if target.bucket != bucket.name:
        return None
    try:
        return await objects.head(bucket, target.key)
    except S3Failure:
        return None


async def has_arrived(bucket: Bucket, target: Target, length: int, began: float) -> bool:
    """Return whether there is an object of this length that S3 wrote since `began` (on our monotonic clock).

    S3 tells times in whole seconds, also its own: an object of the same length written less than two seconds before
    passes too.
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
    """Return the honest answer where nobody can tell."""
    return OutcomeUnknown(
        "The connection to S3 broke after the last byte, so the file may be stored or not. Look for it before you send "
        "it again.",
        attempts=attempts,
    )
