"""The digests of bytes that are sent: how they are declared to a store, and how its answer is compared with them.

S3 compares each body with the SHA-256 that is declared for it and repeats it in the answer; a HEAD with checksum
mode gives it again later. A store that keeps no SHA-256 is held to its ETag instead, which is then an MD5.
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
# Declare, ask for or announce a checksum; stores that know none answer them with 400 or 501.
_HEADERS = frozenset({SHA256_HEADER, "x-amz-checksum-algorithm", "x-amz-checksum-mode"})
_MD5_HEX_CHARS = 32
_HASHED_AT_ONCE_BYTES = 64 * KIB


class Digest(NamedTuple):
    """What bytes are. `sha256` is in base64, of an object in parts `{that of the parts' digests}-{their number}`.

    `etag` computes the ETag, without quotes, of a store that keeps no SHA-256; None where it cannot be computed.
    """

    size_bytes: int
    sha256: str
    etag: Callable[[], str | None]


async def request_headers(
    headers: Mapping[str, str] | None, body: bytes | memoryview, checksums: Checksums
) -> dict[str, str]:
    """Return the headers of a call as the store takes them: a declared SHA-256 becomes a Content-MD5, or nothing."""
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
    """Return the digest of what is sent in one request. Its `etag` reads the data again."""
    # A thread costs more than the hash of a small file.
    if len(data) <= _HASHED_AT_ONCE_BYTES:
        sha256 = _base64_sha256(data)
    else:
        sha256 = await asyncio.to_thread(_base64_sha256, data)
    return Digest(len(data), sha256, lambda: _md5(data))


def digest_of_parts(size_bytes: int, parts: Sequence["UploadPart"]) -> Digest:
    """Return the digest of an object from its parts, in order. Each of them has a SHA-256.

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
        # The number of parts behind it is not written by every store; base64 knows no hyphen.
        return stored.sha256.partition("-")[0] == digest.sha256.partition("-")[0]
    return stored.etag.strip('"') == await asyncio.to_thread(digest.etag)


def _base64_sha256(data: bytes | memoryview) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def _md5(data: bytes | memoryview) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
