"""Stored objects: what S3 says of them, their bytes, and their end.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

import asyncio
import base64
import hashlib
import random
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus

from image_upload.domain import metadata
from image_upload.limits import HASH_PIECE_BYTES, S3_CALL_ATTEMPTS
from image_upload.s3 import time_limits, xml
from image_upload.s3.bucket import Bucket
from image_upload.s3.checksums import SHA256_HEADER
from image_upload.s3.errors import S3Failure

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

READ_BYTES = 1024 * 1024

# What S3 answers to a conditional DeleteObject when the object is gone or is another one.
_GONE_OR_CHANGED = frozenset({404, 409, 412})


class StoredObject(NamedTuple):
    """An object as HeadObject describes it; `seen_at` is S3's own time of that answer.

    `etag` is in quotes, as S3 sends and takes it. `sha256` is base64, as S3 keeps it: with `-N` behind it, it is that
    of the SHA-256s of N parts. None where the object has none, or HeadObject was not asked for it. `version_id` is
    None in a bucket without versions. `metadata` is decoded, whatever its script; `missing_metadata` counts what S3
    could not put into a header.
    """

    key: str
    size_bytes: int
    etag: str
    content_type: str
    version_id: str | None
    sha256: str | None
    metadata: Mapping[str, str]
    missing_metadata: int
    storage_class: str
    encryption: str | None
    last_modified: datetime
    seen_at: datetime
    in_parts: bool

    @property
    def whole_sha256(self) -> str | None:
        """The SHA-256 of all bytes in base64. None where S3 keeps none, or that of the parts' SHA-256s."""
        return None if self.in_parts else self.sha256


class Listed(NamedTuple):
    """An object as a listing shows it."""

    key: str
    size_bytes: int
    etag: str
    last_modified: str
    storage_class: str


class Page(NamedTuple):
    """Objects in the order of their keys' UTF-8 bytes; `more` if there are others behind them."""

    objects: list[Listed]
    more: bool


async def head(bucket: Bucket, key: str, *, checksums: bool = False, part: int | None = None) -> StoredObject | None:
    """HeadObject, None where S3 says that there is no such object. With `part` the length is that part's.

    `checksums` asks for the SHA-256; under SSE-KMS that takes the permission kms:Decrypt.
    """
    try:
        response = await bucket.call(
            "HeadObject",
            "HEAD",
            key,
            query={"partNumber": str(part)} if part else None,
            headers={"x-amz-checksum-mode": "ENABLED"} if checksums else None,
        )
    except S3Failure as failure:
        if failure.is_missing:
            return None
        raise
    headers = response.headers
    etag, sha256 = headers.get("etag", ""), headers.get(SHA256_HEADER)
    try:
        return StoredObject(
            key=key,
            size_bytes=int(headers["content-length"]),
            etag=etag,
            content_type=headers.get("content-type", ""),
            version_id=headers.get("x-amz-version-id"),
            sha256=sha256,
            metadata=metadata.from_headers(headers),
            missing_metadata=int(headers.get("x-amz-missing-meta", "0")),
            # Absent for every class but the usual one.
            storage_class=headers.get("x-amz-storage-class", "STANDARD"),
            encryption=headers.get("x-amz-server-side-encryption"),
            last_modified=parsedate_to_datetime(headers.get("last-modified", "")),
            seen_at=parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC),
            # Not every store writes the number of parts behind both.
            in_parts="-" in etag + (sha256 or "") or headers.get("x-amz-checksum-type") == "COMPOSITE",
        )
    except (KeyError, ValueError, OverflowError):  # the last: a date with a year of twenty digits
        raise S3Failure("HeadObject", response.status_code) from None


async def sha256_of(bucket: Bucket, stored: StoredObject) -> str:
    """Return the object's SHA-256 in base64: S3's own, or computed. Raises `S3Failure`, also if the object changes.

    AWS keeps that of every object that was sent with one; other stores may keep the object without it.
    """
    if stored.whole_sha256 is not None:
        return stored.whole_sha256
    digest = hashlib.sha256()
    for start in range(0, stored.size_bytes, HASH_PIECE_BYTES):
        last = min(start + HASH_PIECE_BYTES, stored.size_bytes) - 1
        headers = {"Range": f"bytes={start}-{last}", "If-Match": stored.etag}
        response = await bucket.call("GetObject", "GET", stored.key, headers=headers, limit=time_limits.READ)
        digest.update(response.content)
    return base64.b64encode(digest.digest()).decode()


async def delete(bucket: Bucket, key: str, *, etag: str | None = None) -> None:
    """DeleteObject; in a bucket with versions that adds a delete marker. Nothing there is no failure.

    With an `etag` only the object that has it: another one under the key stays. LocalStack knows no condition and says
    so; then the object goes without one. Other stores may ignore the condition.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
    """
    try:
        await bucket.call("DeleteObject", "DELETE", key, headers=None if etag is None else {"If-Match": etag})
    except S3Failure as failure:
        if etag is not None and failure.code == "NotImplemented":
            await delete(bucket, key)
        # AWS answers 204 where there was nothing; other stores may say so.
        elif failure.code == "NoSuchBucket" or failure.status not in (_GONE_OR_CHANGED if etag else (404,)):
            raise


async def page(bucket: Bucket, prefix: str, *, after: str, max_keys: int) -> Page:
    """ListObjectsV2: up to `max_keys` (1 to 1,000) objects below a prefix whose keys come after `after`."""
    query = {"list-type": "2", "max-keys": str(max_keys), "prefix": prefix}
    if after:
        query["start-after"] = after
    root = await _listed(bucket, query)
    encoded = xml.text(root, "EncodingType") == "url"
    objects = []
    for each in xml.children(root, "Contents"):
        key = xml.text(each, "Key")
        objects.append(
            Listed(
                unquote_plus(key) if encoded else key,
                xml.number(each, "Size"),
                xml.text(each, "ETag"),
                xml.text(each, "LastModified"),
                xml.text(each, "StorageClass") or "STANDARD",
            )
        )
    return Page(objects, xml.text(root, "IsTruncated") == "true")


async def _listed(bucket: Bucket, query: Mapping[str, str]) -> "ET.Element":
    """Return a listing's document.

    XML cannot carry every character that a key can; only then the keys are asked for in the encoding of forms, because
    LocalStack compares `start-after` with what it has encoded.
    """
    try:
        response = await bucket.call("ListObjectsV2", "GET", "", query=query)
        return xml.parse(response.content, "ListBucketResult")
    except xml.Unreadable:
        query = {**query, "encoding-type": "url"}
        response = await bucket.call("ListObjectsV2", "GET", "", query=query)
        return xml.parse(response.content, "ListBucketResult")


async def read(bucket: Bucket, stored: StoredObject) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of exactly this object, going on where a connection broke.

    Raises `S3Failure`: 412 if the object was replaced meanwhile; else what the last of three attempts in a row met
    that brought no byte.
    """
    from image_upload.outbound.retry import BACKOFF_FIRST_S, RetryableError  # see `Bucket.client`

    received, futile = 0, 0
    while received < stored.size_bytes:
        headers = {"If-Match": stored.etag}
        if received:
            headers["Range"] = f"bytes={received}-"
        before = received
        try:
            async with bucket.opened("GetObject", "GET", stored.key, headers=headers) as response:
                if response.status_code != (206 if received else 200):
                    # Not the rest that was asked for: it must not be appended.
                    raise S3Failure("GetObject", response.status_code)
                async for chunk in response.aiter_raw(READ_BYTES):
                    received += len(chunk)
                    if received > stored.size_bytes:
                        raise S3Failure("GetObject", response.status_code, "WrongLength")
                    yield chunk
        except RetryableError as broken:
            futile = futile + 1 if received == before else 0
            if futile == S3_CALL_ATTEMPTS:
                raise S3Failure("GetObject", broken.status, broken.code) from None
            pause = broken.retry_after_s
            await asyncio.sleep(random.uniform(0, BACKOFF_FIRST_S) if pause is None else pause)  # jitter
