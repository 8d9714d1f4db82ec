"""Find what is left in S3: of multipart and resumable uploads, objects without a record, objects that are too large.

The lifecycle rules `abort-unfinished` and `resumable` (`bucket_config.rules`) remove the first. Nothing removes the
second. The third are removed when they are read, or when S3 reports them; a CDN reads without the service.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from image_upload.completion.confirmation import confirm
from image_upload.completion.context import CompletionContext
from image_upload.domain import keys
from image_upload.domain.purposes import USER_FILE
from image_upload.limits import LIST_MAX_KEYS, MULTIPART_URL_EXPIRES_S, S3_PUT_MAX_BYTES, TICKET_EXPIRES_S
from image_upload.s3 import multipart, objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.multipart import OpenUpload
from image_upload.s3.objects import Listed
from image_upload.settings.storage import StorageSettings


def least_age_s(settings: StorageSettings) -> int:
    """Return the least age of a leftover in seconds: after it, its ticket and all URLs signed for it have expired."""
    return TICKET_EXPIRES_S + max(settings.upload_url_expires_s, MULTIPART_URL_EXPIRES_S)


async def open_uploads(bucket: Bucket, before: datetime) -> AsyncIterator[OpenUpload]:
    """Yield open uploads that began before a moment, under keys of this service. Raises `S3Failure`."""
    async for upload in multipart.every_upload(bucket):
        if keys.owner_tag_in(upload.key) is not None and upload.began_at < before:
            yield upload


async def resumable(bucket: Bucket, before: datetime) -> AsyncIterator[list[Listed]]:
    """Yield page by page what resumable uploads left before a moment: chunks, records, notes. Raises `S3Failure`."""
    async for page in _pages(bucket, keys.RESUMABLE):
        old = [each for each in page if datetime.fromisoformat(each.last_modified) < before]
        if old:
            yield old


async def unrecorded(context: CompletionContext, before: datetime) -> AsyncIterator[Listed]:
    """Yield objects of `POST /files/upload-url` that were stored before a moment and have no file record.

    Only for their keys must a record exist, as its row is written before the URL is returned. A post's image has the
    same kind of key as an upload without a record. Objects older than the oldest row are skipped: they may be from
    before the database, or of another one. Raises `S3Failure`, `DatabaseUnavailable`.
    """
    records = context.database.records
    since = await records.oldest("file")
    if since is None:
        return
    async for page in _pages(context.bucket, USER_FILE.prefix):
        known = await records.known("file", [each.key for each in page])
        for each in page:
            stored_at = datetime.fromisoformat(each.last_modified)
            is_ours = keys.owner_tag_in(each.key) is not None
            # S3 counts whole seconds.
            if is_ours and each.key not in known and since - timedelta(seconds=1) < stored_at < before:
                yield each


async def oversized(context: CompletionContext) -> AsyncIterator[Listed]:
    """Yield objects that are larger than their keys allow: `keys.max_bytes_in`. Raises `S3Failure`."""
    for purpose in context.bucket.purposes.every():
        if purpose.max_bytes >= S3_PUT_MAX_BYTES:
            continue  # S3 itself enforces it in one request, and `uploads.multipart` before it completes an upload
        async for page in _pages(context.bucket, purpose.prefix):
            for each in page:
                max_bytes = keys.max_bytes_in(each.key)
                if max_bytes is not None and each.size_bytes > max_bytes:
                    yield each


async def _pages(bucket: Bucket, prefix: str) -> AsyncIterator[list[Listed]]:
    """Yield all objects below a prefix, page by page."""
    after, more = "", True
    while more:
        page = await objects.page(bucket, prefix, after=after, max_keys=LIST_MAX_KEYS)
        yield page.objects
        more = page.more and bool(page.objects)
        after = page.objects[-1].key if page.objects else ""


async def remove_unrecorded(context: CompletionContext, found: Listed) -> None:
    """Remove an object of `unrecorded`, if it is unchanged and still has no record."""
    if not await context.database.records.known("file", [found.key]):
        await objects.delete(context.bucket, found.key, etag=found.etag)


async def remove_oversized(context: CompletionContext, found: Listed) -> None:
    """Remove an object of `oversized`, if it still is one, and settle its row and quota."""
    await confirm(context, found.key, row="if_reachable")


def before(age_s: float) -> datetime:
    """Return the moment `age_s` seconds ago."""
    return datetime.now(UTC) - timedelta(seconds=age_s)
