"""Is what came down what was sent up? A digest to compare with, where S3 keeps one.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html (when an ETag is an MD5)
"""

import base64
import hashlib
import re
from typing import Protocol

from image_upload.s3.objects import StoredObject

# Base64, and behind a hyphen how many parts it is of.
_SHA256 = re.compile(r"([A-Za-z0-9+/]{43}=)(?:-\d{1,5})?", re.ASCII)
_PARTS = re.compile(r".*-(\d{1,5})", re.ASCII)
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
# Under these an ETag of a single request is the MD5 of the bytes; under SSE-KMS it is not.
_PLAIN = (None, "AES256")


class Fingerprint(Protocol):
    """Fed with the bytes in their order, it says whether they were the right ones."""

    def update(self, data: bytes, /) -> None:
        """The next bytes."""

    def matches(self) -> bool:
        """Return whether these were the object's bytes."""


class Whole:
    """The digest of all bytes."""

    def __init__(self, algorithm: str, expected: bytes) -> None:
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self._expected = expected

    def update(self, data: bytes) -> None:
        """The next bytes."""
        self._hash.update(data)

    def matches(self) -> bool:
        """Return whether the digest is the one that S3 has."""
        return self._hash.digest() == self._expected


class OfParts:
    """The SHA-256 of the SHA-256s of parts that are equally long but for the last."""

    def __init__(self, part_bytes: int, expected: bytes) -> None:
        self._part_bytes = part_bytes
        self._expected = expected
        self._all = hashlib.sha256()
        self._part = hashlib.sha256()
        self._left = part_bytes

    def update(self, data: bytes) -> None:
        """The next bytes."""
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
        """Return whether the digest is the one that S3 has."""
        if self._left < self._part_bytes:
            self._end_part()
        return self._all.digest() == self._expected


def fingerprint_of(stored: StoredObject, first_part_bytes: int | None) -> Fingerprint | None:
    """Return what to compare a download of this object with; None where S3 keeps nothing that we can compute.

    `first_part_bytes` is the length of its first part, where it has a SHA-256 of parts: only parts of one length,
    as this service sends them, can be told apart in a stream.
    """
    if stored.sha256 is not None:
        sha256 = _SHA256.fullmatch(stored.sha256)
        if sha256 is None:
            return None
        digest = base64.b64decode(sha256[1])
        # A count behind the ETag tells parts, too: no SHA-256 of an object in parts is one of the whole.
        count = _PARTS.fullmatch(stored.sha256) or _PARTS.fullmatch(stored.etag.strip('"'))
        if count is None:
            return Whole("sha256", digest) if "-" not in stored.etag else None
        if first_part_bytes and -(-stored.size_bytes // first_part_bytes) == int(count[1]):
            return OfParts(first_part_bytes, digest)
        return None
    md5 = _MD5.fullmatch(stored.etag)
    return Whole("md5", bytes.fromhex(md5[1])) if md5 and stored.encryption in _PLAIN else None
