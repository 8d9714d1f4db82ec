"""Objects and parts whose bytes we hold: store them, and compare what S3 says of its copy.

S3 compares each body with the SHA-256 that is declared for it and repeats it in the answer; a HEAD with checksum
mode gives it again later. A server that keeps no SHA-256 is held to its ETag instead, which is then an MD5.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from image_upload.s3 import objects, time_limits
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import S3Failure

if TYPE_CHECKING:
    import httpx

_SHA256 = "x-amz-checksum-sha256"
_MD5_HEX_CHARS = 32


class Stored(NamedTuple):
    """What S3 says of an object or a part.

    `sha256` in base64, of an object in parts `{that of the parts' digests}-{their number}`; None from a server that
    keeps none. `etag` is without quotes.
    """

    size_bytes: int
    etag: str
    sha256: str | None


class Digest(NamedTuple):
    """What the bytes are that we hold. `etag` computes what a server without SHA-256 must call them."""

    size_bytes: int
    sha256: str
    etag: Callable[[], str | None]


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 in base64, as S3 wants it."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def md5_of(data: bytes) -> str:
    """Return the ETag of an object or part with these bytes, on a server that does not encrypt by KMS."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def digest_of(data: bytes) -> Digest:
    """Return the digest of what is sent in one request."""
    return Digest(len(data), sha256_of(data), lambda: md5_of(data))


def digest_of_parts(size_bytes: int, sha256s: Sequence[str], etags: Sequence[str]) -> Digest:
    """Return the digest of an object from those of its parts, in order.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html (composite checksums)
    """
    joined = b"".join(base64.b64decode(sha256) for sha256 in sha256s)

    def etag() -> str | None:
        if not all(len(etag) == _MD5_HEX_CHARS for etag in etags):
            return None
        return f"{md5_of(b''.join(bytes.fromhex(etag) for etag in etags))}-{len(etags)}"

    return Digest(size_bytes, f"{sha256_of(joined)}-{len(sha256s)}", etag)


async def confirms(stored: Stored, digest: Digest) -> bool:
    """Return whether S3 has the bytes that we hold."""
    if stored.size_bytes != digest.size_bytes:
        return False
    if stored.sha256 is not None:
        # The number of parts behind it is not written by every server; base64 knows no hyphen.
        return stored.sha256.partition("-")[0] == digest.sha256.partition("-")[0]
    return stored.etag == await asyncio.to_thread(digest.etag)


async def head(bucket: Bucket, key: str) -> Stored | None:
    """HeadObject with checksum mode, None where S3 says that there is no such object."""
    found = await objects.head(bucket, key, checksums=True)
    return None if found is None else Stored(found.size_bytes, found.etag.strip('"'), found.sha256)


async def put(
    bucket: Bucket, key: str, data: bytes, digest: Digest, headers: Mapping[str, str], *, overwrite: bool
) -> Stored:
    """PutObject with the declared SHA-256. Unless it may overwrite, S3 answers 412 where there is an object already.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    every = {**headers, "Content-Length": str(len(data)), _SHA256: digest.sha256}
    if not overwrite:
        every["If-None-Match"] = "*"
    response = await bucket.call("PutObject", "PUT", key, headers=every, body=data, limit=time_limits.DATA)
    return _said(response, len(data))


async def send_part(bucket: Bucket, key: str, upload_id: str, number: int, *, data: bytes, digest: Digest) -> Stored:
    """UploadPart with the declared SHA-256. Raises `S3Failure` BadDigest if S3 got something else."""
    response = await bucket.call(
        "UploadPart",
        "PUT",
        key,
        query={"partNumber": str(number), "uploadId": upload_id},
        headers={"Content-Length": str(len(data)), _SHA256: digest.sha256},
        body=data,
        limit=time_limits.DATA,
    )
    stored = _said(response, len(data))
    if not await confirms(stored, digest):
        raise S3Failure("UploadPart", response.status_code, "BadDigest")
    return stored


def _said(response: "httpx.Response", size_bytes: int) -> Stored:
    return Stored(size_bytes, response.headers.get("etag", "").strip('"'), response.headers.get(_SHA256))
