"""Find what interrupted processes leave in S3: open multipart uploads, and objects without a record.

The lifecycle rule `abort-unfinished` (`bucket_config.rules`) aborts the first within a day. Nothing removes the second.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from image_upload.completion.context import CompletionContext
from image_upload.domain import keys
from image_upload.domain.purposes import USER_FILE
from image_upload.limits import LIST_MAX_KEYS, MULTIPART_URL_EXPIRES_S, TICKET_EXPIRES_S
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
    after, more = "", True
    while more:
        page = await objects.page(context.bucket, USER_FILE.prefix, after=after, max_keys=LIST_MAX_KEYS)
        known = await records.known("file", [each.key for each in page.objects])
        for each in page.objects:
            stored_at = datetime.fromisoformat(each.last_modified)
            is_ours = keys.owner_tag_in(each.key) is not None
            # S3 counts whole seconds.
            if is_ours and each.key not in known and since - timedelta(seconds=1) < stored_at < before:
                yield each
        more = page.more and bool(page.objects)
        after = page.objects[-1].key if page.objects else ""


async def remove(context: CompletionContext, found: Listed) -> None:
    """Remove an object of `unrecorded`, if it is unchanged and still has no record."""
    if not await context.database.records.known("file", [found.key]):
        await objects.delete(context.bucket, found.key, etag=found.etag)


def before(age_s: float) -> datetime:
    """Return the moment `age_s` seconds ago."""
    return datetime.now(UTC) - timedelta(seconds=age_s)
