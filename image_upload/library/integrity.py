"""Compare a download with the digest that S3 stores.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html (when an ETag is an MD5)
"""

import base64
import hashlib
import re
from typing import Protocol

from image_upload.s3.objects import StoredObject

# Base64; after a hyphen, the number of parts.
_SHA256 = re.compile(r"([A-Za-z0-9+/]{43}=)(?:-\d{1,5})?", re.ASCII)
_PARTS = re.compile(r".*-(\d{1,5})", re.ASCII)
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
# With these encryptions the ETag of a single PUT is the MD5 of the bytes; with SSE-KMS it is not.
_PLAIN = (None, "AES256")


class Fingerprint(Protocol):
    """A digest that is updated with the bytes in order and then compared with S3's."""

    def update(self, data: bytes, /) -> None:
        """Add the next bytes."""

    def matches(self) -> bool:
        """Return whether the bytes were the object's."""


class FullObjectDigest:
    """The digest of all bytes."""

    def __init__(self, algorithm: str, expected: bytes) -> None:
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self._expected = expected

    def update(self, data: bytes) -> None:
        """Add the next bytes."""
        self._hash.update(data)

    def matches(self) -> bool:
        """Return whether the digest is S3's."""
        return self._hash.digest() == self._expected


class CompositeDigest:
    """The SHA-256 of the SHA-256s of parts of one length; the last may be shorter."""

    def __init__(self, part_bytes: int, expected: bytes) -> None:
        self._part_bytes = part_bytes
        self._expected = expected
        self._all = hashlib.sha256()
        self._part = hashlib.sha256()
        self._left = part_bytes

    def update(self, data: bytes) -> None:
        """Add the next bytes."""
        view = memoryview(data)
        while view:
            taken = view[: self._left]
            self._part.update(taken)
            self._left -= len(taken)
            view = view[len(taken) :]
            if self._left == 0:
                self._end_part()

    def _end_part(self) -> None:
        self._all.update(self._part.digest())
        self._part, self._left = hashlib.sha256(), self._part_bytes

    def matches(self) -> bool:
        """Return whether the digest is S3's."""
        if self._left < self._part_bytes:
            self._end_part()
        return self._all.digest() == self._expected


def fingerprint_of(stored: StoredObject, first_part_bytes: int | None) -> Fingerprint | None:
    """Return the fingerprint to compare a download with; None if S3 stores no digest that can be computed.

    `first_part_bytes` is the length of the first part, for a SHA-256 of parts. All parts but the last must have that
    length, as this service sends them.
    """
    if stored.sha256 is not None:
        sha256 = _SHA256.fullmatch(stored.sha256)
        if sha256 is None:
            return None
        digest = base64.b64decode(sha256[1])
        # The ETag may have the number of parts too: a multipart object's SHA-256 is never that of all bytes.
        count = _PARTS.fullmatch(stored.sha256) or _PARTS.fullmatch(stored.etag.strip('"'))
        if count is None:
            return FullObjectDigest("sha256", digest) if not stored.in_parts else None
        if first_part_bytes and -(-stored.size_bytes // first_part_bytes) == int(count[1]):
            return CompositeDigest(first_part_bytes, digest)
        return None
    md5 = _MD5.fullmatch(stored.etag)
    return FullObjectDigest("md5", bytes.fromhex(md5[1])) if md5 and stored.encryption in _PLAIN else None
