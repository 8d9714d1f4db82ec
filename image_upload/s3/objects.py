"""What S3 can say of stored objects, and the bytes themselves.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus

from image_upload.domain import metadata
from image_upload.limits import S3_CALL_ATTEMPTS
from image_upload.s3 import xml
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import S3Failure

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

READ_BYTES = 1024 * 1024


class StoredObject(NamedTuple):
    """An object as HeadObject describes it; `seen_at` is S3's own time of that answer.

    `metadata` is decoded, whatever its script; `missing_metadata` counts what S3 could not put into a header.
    `sha256` is base64, as S3 keeps it: with `-N` behind it, it is that of the SHA-256s of N parts. None where the
    object has none, or nobody asked for it.
    """

    size_bytes: int
    etag: str
    last_modified: datetime
    seen_at: datetime
    content_type: str
    metadata: Mapping[str, str]
    missing_metadata: int
    storage_class: str
    encryption: str | None
    sha256: str | None


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
    try:
        return StoredObject(
            size_bytes=int(headers["content-length"]),
            etag=headers.get("etag", ""),
            last_modified=parsedate_to_datetime(headers.get("last-modified", "")),
            seen_at=parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC),
            content_type=headers.get("content-type", ""),
            metadata=metadata.from_headers(headers),
            missing_metadata=int(headers.get("x-amz-missing-meta", "0")),
            # S3 names every class but the usual one.
            storage_class=headers.get("x-amz-storage-class", "STANDARD"),
            encryption=headers.get("x-amz-server-side-encryption"),
            sha256=headers.get("x-amz-checksum-sha256"),
        )
    except (KeyError, ValueError, OverflowError):  # the last: a date with a year of twenty digits
        raise S3Failure("HeadObject", response.status_code) from None


async def delete(bucket: Bucket, key: str) -> None:
    """DeleteObject; in a bucket with versions that adds a delete marker. Nothing there is no failure."""
    try:
        await bucket.call("DeleteObject", "DELETE", key)
    except S3Failure as failure:
        # AWS answers 204 either way; other stores may say that there was nothing.
        if not failure.is_missing or failure.code == "NoSuchBucket":
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


async def read(bucket: Bucket, key: str, stored: StoredObject) -> AsyncGenerator[bytes, None]:
    """Return the bytes of exactly this object, going on where a connection broke.

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
            async with bucket.opened("GetObject", "GET", key, headers=headers) as response:
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
