"""The calls of a multipart upload, and the length of its parts.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from image_upload.errors import CredentialsUnavailable
from image_upload.limits import MIB, S3_LOOK_TIMEOUT_S, S3_PARTS_MAX
from image_upload.s3 import time_limits, xml
from image_upload.s3.bucket import Bucket
from image_upload.s3.checksums import SHA256_HEADER, Digest, confirms
from image_upload.s3.errors import S3Failure, error_code
from image_upload.s3.time_limits import TimeLimit


class UploadPart(NamedTuple):
    """A part in S3, or a part that a client names to complete an upload, with number and ETag only.

    `etag` is in quotes, as S3 sends and takes it. `sha256` is base64, None if S3 stores none. Only ListParts returns
    the time. An object of one request is its own only part.
    """

    number: int
    etag: str
    size_bytes: int | None = None
    sha256: str | None = None
    last_modified: str = ""


class OpenUpload(NamedTuple):
    """An upload that is neither completed nor aborted, with S3's time of its begin."""

    key: str
    upload_id: str
    began_at: datetime


def part_length(size_bytes: int, least_bytes: int) -> int:
    """Return the bytes of each part but the last: `least_bytes`, or the MiB that a file of `S3_PARTS_MAX` parts takes.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
    """
    return max(least_bytes, -(-size_bytes // (S3_PARTS_MAX * MIB)) * MIB)


async def create(bucket: Bucket, key: str, headers: Mapping[str, str], *, with_sha256: bool = False) -> str:
    """CreateMultipartUpload, the only one under a key; return its id. `headers` become the object's.

    `with_sha256`: every part will declare its SHA-256, as `send_part` does, and the object keeps one. Uploads whose
    answers were lost are aborted, as far as S3 tells of them within `S3_LOOK_TIMEOUT_S`; so are they if this raises.
    """
    if with_sha256:
        headers = {**headers, "x-amz-checksum-algorithm": "SHA256"}
    try:
        upload_id, attempts = await _create(bucket, key, headers)
    except BaseException:
        # Shielded: a cancelled caller leaves no upload either.
        await asyncio.shield(_abort_lost(bucket, key))
        raise
    if attempts > 1:
        await _abort_lost(bucket, key, but=upload_id)
    return upload_id


async def create_agreed(bucket: Bucket, key: str, headers: Mapping[str, str]) -> str:
    """CreateMultipartUpload where others may do the same at once; return the id of the oldest upload of the key.

    All callers get the same one. An upload that is younger is aborted by the caller that made it.
    """
    own, _ = await _create(bucket, key, headers)
    oldest = (await list_uploads(bucket, key) or [own])[0]
    if oldest != own:
        with contextlib.suppress(S3Failure):  # without parts it costs nothing, and the bucket's rule ends it
            await abort_each(bucket, key, [own])
    return oldest


async def _create(bucket: Bucket, key: str, headers: Mapping[str, str]) -> tuple[str, int]:
    """Return the id of a new upload, and how many attempts it took. Each of them may have made an upload."""
    response = await bucket.call("CreateMultipartUpload", "POST", key, query={"uploads": ""}, headers=headers)
    upload_id = xml.text(xml.parse(response.content, "InitiateMultipartUploadResult"), "UploadId")
    if not upload_id:
        raise S3Failure("CreateMultipartUpload", response.status_code, error_code(response.content))
    return upload_id, response.extensions["attempts"]


async def list_parts(bucket: Bucket, key: str, upload_id: str) -> list[UploadPart]:
    """Call ListParts, all pages; return the parts by ascending number, each number once.

    S3 replaces a part that is sent again. SeaweedFS lists both if two requests for one part overlapped; the later
    one in its list counts here.
    """
    parts: dict[int, UploadPart] = {}
    marker = "0"
    while True:
        query = {"uploadId": upload_id, "part-number-marker": marker}
        response = await bucket.call("ListParts", "GET", key, query=query)
        root = xml.parse(response.content)
        for part in xml.children(root, "Part"):
            number = xml.number(part, "PartNumber")
            parts[number] = UploadPart(
                number,
                xml.text(part, "ETag"),
                xml.number(part, "Size"),
                xml.text(part, "ChecksumSHA256") or None,
                xml.text(part, "LastModified"),
            )
        following = xml.text(root, "NextPartNumberMarker")
        if xml.text(root, "IsTruncated") != "true" or following in ("", marker):
            return list(parts.values())
        marker = following


async def list_uploads(bucket: Bucket, key: str) -> list[str]:
    """Call ListMultipartUploads; return the ids of all open uploads of exactly this key, oldest first.

    S3's times are whole seconds. Within one its own order decides, which is that of the begins.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
    """
    response = await bucket.call("ListMultipartUploads", "GET", "", query={"uploads": "", "prefix": key})
    # Uploads come in the order of their keys, so those of the prefix itself are on the first page.
    uploads = xml.children(xml.parse(response.content), "Upload")
    own = [upload for upload in uploads if xml.text(upload, "Key") == key]
    return [xml.text(upload, "UploadId") for upload in sorted(own, key=lambda upload: xml.text(upload, "Initiated"))]


async def every_upload(bucket: Bucket) -> AsyncIterator[OpenUpload]:
    """Call ListMultipartUploads page by page; yield all open uploads of the bucket.

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
    """Abort uploads of one key. A missing upload is no error. Raises `S3Failure`."""
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
    bucket: Bucket,
    key: str,
    upload_id: str,
    number: int,
    data: bytes | memoryview,
    *,
    digest: Digest,
    must_confirm: bool = False,
) -> UploadPart:
    """UploadPart with the declared SHA-256; return the part with it.

    Raises `S3Failure` BadDigest if S3 names another digest; with `must_confirm` also if it names none, and the ETag is
    not the MD5.
    """
    response = await bucket.call(
        "UploadPart",
        "PUT",
        key,
        query={"partNumber": str(number), "uploadId": upload_id},
        headers={"Content-Length": str(len(data)), SHA256_HEADER: digest.sha256},
        body=data,
        limit=time_limits.DATA,
    )
    headers = response.headers
    part = UploadPart(number, headers.get("etag", ""), len(data), headers.get(SHA256_HEADER))
    if (must_confirm or part.sha256 is not None) and not await confirms(part, digest):
        raise S3Failure("UploadPart", response.status_code, "BadDigest")
    return part._replace(sha256=digest.sha256)


async def put_part(bucket: Bucket, key: str, upload_id: str, number: int, data: bytes | memoryview) -> str:
    """UploadPart with a Content-MD5; return the part's ETag. It is completed by that alone.

    A SHA-256 would have to be named when the upload is completed, and not every store lists it.
    """
    digest = await asyncio.to_thread(lambda: hashlib.md5(data, usedforsecurity=False).digest())
    headers = {"Content-Length": str(len(data)), "Content-MD5": base64.b64encode(digest).decode()}
    query = {"partNumber": str(number), "uploadId": upload_id}
    response = await bucket.call(
        "UploadPart", "PUT", key, query=query, headers=headers, body=data, limit=time_limits.DATA
    )
    etag: str = response.headers.get("etag", "")
    return etag


async def complete(
    bucket: Bucket,
    key: str,
    upload_id: str,
    parts: Iterable[UploadPart],
    headers: Mapping[str, str],
    *,
    limit: TimeLimit | None = None,
) -> None:
    """CompleteMultipartUpload of parts by ascending number; an etag holds nothing that XML would escape.

    Parts that have a SHA-256 name it once more. `limit` is `time_limits.COMPLETE` where none is given.
    S3 answers 200 before it knows the end; an `<Error>` in that answer is raised like any other.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    """
    listed = "".join(_listed(part, with_sha256=bucket.checksums == "sha256") for part in parts)
    body = f'<CompleteMultipartUpload xmlns="{xml.NAMESPACE}">{listed}</CompleteMultipartUpload>'
    query = {"uploadId": upload_id}
    response = await bucket.call(
        "CompleteMultipartUpload",
        "POST",
        key,
        query=query,
        headers=headers,
        body=body.encode(),
        limit=limit or time_limits.COMPLETE,
    )
    if b"<CompleteMultipartUploadResult" not in response.content:
        raise S3Failure("CompleteMultipartUpload", response.status_code, error_code(response.content))


def _listed(part: UploadPart, *, with_sha256: bool) -> str:
    sha256 = f"<ChecksumSHA256>{part.sha256}</ChecksumSHA256>" if with_sha256 and part.sha256 else ""
    return f"<Part><PartNumber>{part.number}</PartNumber><ETag>{part.etag}</ETag>{sha256}</Part>"


async def abort(bucket: Bucket, key: str, upload_id: str) -> None:
    """Call AbortMultipartUpload: S3 deletes the upload and its parts."""
    await bucket.call("AbortMultipartUpload", "DELETE", key, query={"uploadId": upload_id})
