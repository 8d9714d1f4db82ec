"""Describe, read, list and delete stored objects.

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
from image_upload.telemetry.metrics import RETRIES, record

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

READ_BYTES = 1024 * 1024

# S3's answers to a conditional DeleteObject if the object is missing or was replaced.
_GONE_OR_CHANGED = frozenset({404, 409, 412})


class StoredObject(NamedTuple):
    """An object as HeadObject describes it. `seen_at` is S3's own time of that answer.

    `etag` is in quotes, as S3 sends and takes it. `sha256` is base64, as S3 stores it; with `-N` it is that of the
    SHA-256s of N parts. It is None if the object has none, or HeadObject was not asked for it. `version_id` is
    None in a bucket without versions. `metadata` is decoded; `missing_metadata` counts the entries that S3 could not
    put into a header.
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
    """An object in a listing."""

    key: str
    size_bytes: int
    etag: str
    last_modified: str
    storage_class: str


class Page(NamedTuple):
    """Objects in the order of their keys' UTF-8 bytes. `more`: there are further ones."""

    objects: list[Listed]
    more: bool


async def head(bucket: Bucket, key: str, *, checksums: bool = False, part: int | None = None) -> StoredObject | None:
    """Call HeadObject; return None if the object does not exist. With `part` the length is that part's.

    `checksums` requests the SHA-256, which under SSE-KMS needs the permission kms:Decrypt.
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
    except (KeyError, ValueError, OverflowError):  # OverflowError: a date with a year of twenty digits
        raise S3Failure("HeadObject", response.status_code) from None


async def tags(bucket: Bucket, key: str) -> dict[str, str]:
    """Call GetObjectTagging; return the tags of the object that is there now. Raises `S3Failure`.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html
    """
    response = await bucket.call("GetObjectTagging", "GET", key, query={"tagging": ""})
    root = xml.parse(response.content, "Tagging")
    return {
        xml.text(tag, "Key"): xml.text(tag, "Value")
        for tag_set in xml.children(root, "TagSet")
        for tag in xml.children(tag_set, "Tag")
    }


async def sha256_of(bucket: Bucket, stored: StoredObject) -> str:
    """Return the object's SHA-256 in base64: S3's own, or computed. Raises `S3Failure`, also if the object changes.

    AWS keeps that of every object that was sent with one; other stores may keep the object without it.
    """
    if stored.whole_sha256 is not None:
        return stored.whole_sha256
    digest = hashlib.sha256()
    for start in range(0, stored.size_bytes, HASH_PIECE_BYTES):
        digest.update(await read_range(bucket, stored, start, HASH_PIECE_BYTES))
    return base64.b64encode(digest.digest()).decode()


async def read_range(bucket: Bucket, stored: StoredObject, first: int, length: int) -> bytes:
    """Return up to `length` bytes of exactly this object from `first` on. Raises `S3Failure`: 412 if it was replaced.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    """
    last = min(first + length, stored.size_bytes) - 1
    if last < first:
        return b""
    headers = {"Range": f"bytes={first}-{last}", "If-Match": stored.etag}
    response = await bucket.call("GetObject", "GET", stored.key, headers=headers, limit=time_limits.READ)
    if len(response.content) != last - first + 1:
        raise S3Failure("GetObject", response.status_code, "WrongLength")
    return response.content


async def delete(bucket: Bucket, key: str, *, etag: str | None = None) -> None:
    """Call DeleteObject, which adds a delete marker in a versioned bucket. A missing object is no error.

    With an `etag` delete only the object with this ETag. LocalStack refuses the condition; then the object is deleted
    without it. Other stores may ignore the condition.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
    """
    try:
        await bucket.call("DeleteObject", "DELETE", key, headers=None if etag is None else {"If-Match": etag})
    except S3Failure as failure:
        if etag is not None and failure.code == "NotImplemented":
            await delete(bucket, key)
        # For a missing object AWS answers 204; other stores may answer 404.
        elif failure.code == "NoSuchBucket" or failure.status not in (_GONE_OR_CHANGED if etag else (404,)):
            raise


async def page(bucket: Bucket, prefix: str, *, after: str, max_keys: int) -> Page:
    """Call ListObjectsV2: up to `max_keys` (1 to 1,000) objects below a prefix whose keys come after `after`."""
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

    XML cannot contain every character of a key. Only then the keys are requested percent-encoded, because LocalStack
    compares `start-after` with encoded keys.
    """
    try:
        response = await bucket.call("ListObjectsV2", "GET", "", query=query)
        return xml.parse(response.content, "ListBucketResult")
    except xml.Unreadable:
        query = {**query, "encoding-type": "url"}
        response = await bucket.call("ListObjectsV2", "GET", "", query=query)
        return xml.parse(response.content, "ListBucketResult")


async def read(bucket: Bucket, stored: StoredObject) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of exactly this object; after a broken connection, continue where it stopped.

    Raises `S3Failure`: 412 if the object was replaced meanwhile; else the failure of the third attempt in a row without
    a byte.
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
                    # This is not the requested rest, so it must not be appended.
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
            record(RETRIES, 1, "GetObject")
            pause = broken.retry_after_s
            await asyncio.sleep(random.uniform(0, BACKOFF_FIRST_S) if pause is None else pause)  # jitter
