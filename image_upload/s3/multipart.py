"""The calls of a multipart upload that the service itself makes.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from image_upload.errors import CredentialsUnavailable
from image_upload.limits import S3_LOOK_TIMEOUT_S
from image_upload.s3 import time_limits, xml
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import S3Failure, error_code
from image_upload.s3.time_limits import TimeLimit


class StoredPart(NamedTuple):
    """A part as S3 lists it. `etag` carries its quotes, as S3 wants it back; `sha256` is None where S3 keeps none."""

    number: int
    etag: str
    size_bytes: int
    last_modified: str
    sha256: str | None = None


class SentPart(NamedTuple):
    """A part that the service has sent itself."""

    number: int
    etag: str
    sha256: str


class OpenUpload(NamedTuple):
    """An upload that is neither completed nor aborted; S3 says when it began."""

    key: str
    upload_id: str
    began_at: datetime


class Begun(NamedTuple):
    """An upload in parts. After more than one attempt S3 may have begun others, whose answers were lost."""

    upload_id: str
    attempts: int


async def create(bucket: Bucket, key: str, headers: Mapping[str, str]) -> str:
    """Begin the only upload under a key: its id. `headers` become the object's: type, metadata, checksum algorithm.

    Uploads whose answers were lost are aborted, as far as S3 tells of them within `S3_LOOK_TIMEOUT_S`.
    """
    try:
        begun = await begin(bucket, key, headers)
    except S3Failure:
        await _abort_lost(bucket, key)
        raise
    if begun.attempts > 1:
        await _abort_lost(bucket, key, but=begun.upload_id)
    return begun.upload_id


async def begin(bucket: Bucket, key: str, headers: Mapping[str, str]) -> Begun:
    """CreateMultipartUpload, and the attempts that it took."""
    response = await bucket.call("CreateMultipartUpload", "POST", key, query={"uploads": ""}, headers=headers)
    upload_id = xml.text(xml.parse(response.content, "InitiateMultipartUploadResult"), "UploadId")
    if not upload_id:
        raise S3Failure("CreateMultipartUpload", response.status_code, error_code(response.content))
    return Begun(upload_id, response.extensions["attempts"])


async def list_parts(bucket: Bucket, key: str, upload_id: str) -> list[StoredPart]:
    """ListParts, all pages: what S3 has, by ascending number."""
    parts: list[StoredPart] = []
    marker = "0"
    while True:
        query = {"uploadId": upload_id, "part-number-marker": marker}
        response = await bucket.call("ListParts", "GET", key, query=query)
        root = xml.parse(response.content)
        parts += [
            StoredPart(
                xml.number(part, "PartNumber"),
                xml.text(part, "ETag"),
                xml.number(part, "Size"),
                xml.text(part, "LastModified"),
                xml.text(part, "ChecksumSHA256") or None,
            )
            for part in xml.children(root, "Part")
        ]
        following = xml.text(root, "NextPartNumberMarker")
        if xml.text(root, "IsTruncated") != "true" or following in ("", marker):
            return parts
        marker = following


async def list_uploads(bucket: Bucket, key: str) -> list[str]:
    """ListMultipartUploads: the ids of all uploads under way for exactly this key."""
    response = await bucket.call("ListMultipartUploads", "GET", "", query={"uploads": "", "prefix": key})
    # Uploads come in the order of their keys, so those of the prefix itself are on the first page.
    uploads = xml.children(xml.parse(response.content), "Upload")
    return [xml.text(upload, "UploadId") for upload in uploads if xml.text(upload, "Key") == key]


async def every_upload(bucket: Bucket) -> AsyncIterator[OpenUpload]:
    """ListMultipartUploads, page by page: all uploads of the bucket that are under way.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
    """
    query = {"uploads": ""}
    while True:
        response = await bucket.call("ListMultipartUploads", "GET", "", query=query)
        root = xml.parse(response.content, "ListMultipartUploadsResult")
        for upload in xml.children(root, "Upload"):
            began = datetime.fromisoformat(xml.text(upload, "Initiated"))
            yield OpenUpload(xml.text(upload, "Key"), xml.text(upload, "UploadId"), began)
        following = {
            "uploads": "",
            "key-marker": xml.text(root, "NextKeyMarker"),
            "upload-id-marker": xml.text(root, "NextUploadIdMarker"),
        }
        if xml.text(root, "IsTruncated") != "true" or following == query:
            return
        query = following


async def abort_each(bucket: Bucket, key: str, upload_ids: Iterable[str]) -> None:
    """Abort uploads of one key; one that is gone is no failure. Raises `S3Failure`."""
    for upload_id in upload_ids:
        try:
            await abort(bucket, key, upload_id)
        except S3Failure as failure:
            if not failure.is_missing:
                raise


async def _abort_lost(bucket: Bucket, key: str, but: str | None = None) -> None:
    with contextlib.suppress(S3Failure, CredentialsUnavailable, TimeoutError):
        async with asyncio.timeout(S3_LOOK_TIMEOUT_S):
            await abort_each(bucket, key, [each for each in await list_uploads(bucket, key) if each != but])


async def send_part(
    bucket: Bucket, key: str, upload_id: str, number: int, data: bytes | memoryview, *, sha256: str
) -> str:
    """UploadPart with a SHA-256 (base64) that S3 compares; the part's ETag.

    Raises `S3Failure` also if S3 names another digest than was sent.
    """
    response = await bucket.call(
        "UploadPart",
        "PUT",
        key,
        query={"partNumber": str(number), "uploadId": upload_id},
        headers={"Content-Length": str(len(data)), "x-amz-checksum-sha256": sha256},
        body=data,
        limit=time_limits.DATA,
    )
    if response.headers.get("x-amz-checksum-sha256", sha256) != sha256:
        raise S3Failure("UploadPart", response.status_code, "BadDigest")
    etag: str = response.headers["etag"]
    return etag


async def complete_with_checksums(
    bucket: Bucket, key: str, upload_id: str, parts: Iterable["SentPart"], headers: Mapping[str, str] | None = None
) -> None:
    """CompleteMultipartUpload of parts that the service has sent itself, their digests named once more."""
    if bucket.checksums != "sha256":
        await complete(bucket, key, upload_id, [(part.number, part.etag) for part in parts], headers or {})
        return
    listed = "".join(
        f"<Part><PartNumber>{part.number}</PartNumber><ETag>{part.etag}</ETag>"
        f"<ChecksumSHA256>{part.sha256}</ChecksumSHA256></Part>"
        for part in parts
    )
    await _complete(bucket, key, upload_id, listed, headers or {}, limit=time_limits.COMPLETE_OWN)


async def complete(
    bucket: Bucket, key: str, upload_id: str, parts: Iterable[tuple[int, str]], headers: Mapping[str, str]
) -> None:
    """CompleteMultipartUpload of (number, etag) by ascending number; an etag holds nothing that XML would escape.

    S3 answers 200 before it knows the end; an `<Error>` in that answer is raised like any other.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    """
    listed = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
    await _complete(bucket, key, upload_id, listed, headers, limit=time_limits.COMPLETE)


async def _complete(
    bucket: Bucket, key: str, upload_id: str, listed: str, headers: Mapping[str, str], *, limit: TimeLimit
) -> None:
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    body = f'<CompleteMultipartUpload xmlns="{namespace}">{listed}</CompleteMultipartUpload>'
    query = {"uploadId": upload_id}
    response = await bucket.call(
        "CompleteMultipartUpload", "POST", key, query=query, headers=headers, body=body.encode(), limit=limit
    )
    if b"<CompleteMultipartUploadResult" not in response.content:
        raise S3Failure("CompleteMultipartUpload", response.status_code, error_code(response.content))


async def abort(bucket: Bucket, key: str, upload_id: str) -> None:
    """AbortMultipartUpload: S3 forgets the upload and its parts."""
    await bucket.call("AbortMultipartUpload", "DELETE", key, query={"uploadId": upload_id})
