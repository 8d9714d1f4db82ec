"""What S3 can say about a stored object: length, type and checksum; and to remove it if it is still the same.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
"""

import base64
import hashlib
from typing import NamedTuple

from image_upload.limits import HASH_PIECE_BYTES
from image_upload.s3 import time_limits
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import S3Failure

_GONE_OR_CHANGED = frozenset({404, 409, 412})


class Inspected(NamedTuple):
    """An object as S3 describes it. `sha256` (base64) is that of the whole object, None where S3 keeps none."""

    key: str
    size_bytes: int
    content_type: str
    etag: str
    sha256: str | None


async def inspect(bucket: Bucket, key: str) -> Inspected | None:
    """HeadObject with checksums, None where S3 says that there is no such object. Raises `S3Failure`."""
    try:
        response = await bucket.call("HeadObject", "HEAD", key, headers={"x-amz-checksum-mode": "ENABLED"})
    except S3Failure as failure:
        if failure.is_missing:
            return None
        raise
    headers = response.headers
    sha256 = headers.get("x-amz-checksum-sha256")
    if headers.get("x-amz-checksum-type") == "COMPOSITE" or "-" in (sha256 or ""):
        sha256 = None  # of the parts' checksums
    try:
        size_bytes = int(headers["content-length"])
    except (KeyError, ValueError):
        raise S3Failure("HeadObject", response.status_code) from None
    return Inspected(key, size_bytes, headers.get("content-type", ""), headers.get("etag", ""), sha256)


async def sha256_of(bucket: Bucket, found: Inspected) -> str:
    """Return the object's SHA-256 in base64: S3's own, or computed. Raises `S3Failure`, also if the object changes.

    AWS has it for every object that was sent with one; other servers may store the object and forget the digest.
    """
    if found.sha256 is not None:
        return found.sha256
    digest = hashlib.sha256()
    for start in range(0, found.size_bytes, HASH_PIECE_BYTES):
        last = min(start + HASH_PIECE_BYTES, found.size_bytes) - 1
        headers = {"Range": f"bytes={start}-{last}", "If-Match": found.etag}
        response = await bucket.call("GetObject", "GET", found.key, headers=headers, limit=time_limits.READ)
        digest.update(response.content)
    return base64.b64encode(digest.digest()).decode()


async def remove(bucket: Bucket, found: Inspected) -> None:
    """DeleteObject, if it is still the object that was looked at. In a versioned bucket the version stays.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
    LocalStack knows no condition and says so; others may ignore it.
    """
    try:
        await bucket.call("DeleteObject", "DELETE", found.key, headers={"If-Match": found.etag})
    except S3Failure as failure:
        if failure.code == "NotImplemented":
            await bucket.call("DeleteObject", "DELETE", found.key)
        elif failure.status not in _GONE_OR_CHANGED:
            raise
