"""Digests of sent bytes: declare them to the store, and compare them with its answer.

S3 compares each body with its declared SHA-256 and repeats it in the answer; a HEAD with checksum mode returns it
later. For a store without SHA-256 the ETag is compared instead, which is then an MD5.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from image_upload.limits import KIB

if TYPE_CHECKING:
    from image_upload.s3.multipart import UploadPart
    from image_upload.s3.objects import StoredObject

Checksums = Literal["sha256", "md5", "off"]

SHA256_HEADER: Final = "x-amz-checksum-sha256"
# Headers that declare, request or announce a checksum. Stores without support answer them with 400 or 501.
_HEADERS = frozenset({SHA256_HEADER, "x-amz-checksum-algorithm", "x-amz-checksum-mode"})
_MD5_HEX_CHARS = 32
_HASHED_AT_ONCE_BYTES = 64 * KIB


class Digest(NamedTuple):
    """The digest of bytes. `sha256` is base64; for an object in parts `{SHA-256 of the parts' digests}-{their number}`.

    `etag` computes the ETag, without quotes, of a store without SHA-256; None if it cannot be computed.
    """

    size_bytes: int
    sha256: str
    etag: Callable[[], str | None]


async def request_headers(
    headers: Mapping[str, str] | None, body: bytes | memoryview, checksums: Checksums
) -> dict[str, str]:
    """Return the headers in the store's form: a declared SHA-256 may become a Content-MD5, or be left out."""
    given = dict(headers or {})
    if checksums == "sha256":
        return given
    left = {name: value for name, value in given.items() if name not in _HEADERS}
    if checksums == "md5" and SHA256_HEADER in given:
        # hashlib lets other threads run meanwhile.
        digest = await asyncio.to_thread(lambda: hashlib.md5(body, usedforsecurity=False).digest())
        left["Content-MD5"] = base64.b64encode(digest).decode()
    return left


async def digest_of(data: bytes | memoryview) -> Digest:
    """Return the digest of a body. Its `etag` reads the data again."""
    # A thread costs more than the hash of a small file.
    if len(data) <= _HASHED_AT_ONCE_BYTES:
        sha256 = _base64_sha256(data)
    else:
        sha256 = await asyncio.to_thread(_base64_sha256, data)
    return Digest(len(data), sha256, lambda: _md5(data))


def digest_of_parts(size_bytes: int, parts: Sequence["UploadPart"]) -> Digest:
    """Return the digest of an object from its parts, in order. Each part must have a SHA-256.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html (composite checksums)
    """
    joined = b"".join(base64.b64decode(part.sha256 or "") for part in parts)
    etags = [part.etag.strip('"') for part in parts]

    def etag() -> str | None:
        if not all(len(etag) == _MD5_HEX_CHARS for etag in etags):
            return None
        return f"{_md5(b''.join(bytes.fromhex(etag) for etag in etags))}-{len(etags)}"

    return Digest(size_bytes, f"{_base64_sha256(joined)}-{len(parts)}", etag)


async def confirms(stored: "StoredObject | UploadPart", digest: Digest) -> bool:
    """Return whether S3 has the bytes of this digest."""
    if stored.size_bytes != digest.size_bytes:
        return False
    if stored.sha256 is not None:
        # Not every store appends the number of parts. Base64 has no hyphen.
        return stored.sha256.partition("-")[0] == digest.sha256.partition("-")[0]
    return stored.etag.strip('"') == await asyncio.to_thread(digest.etag)


def _base64_sha256(data: bytes | memoryview) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def _md5(data: bytes | memoryview) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
