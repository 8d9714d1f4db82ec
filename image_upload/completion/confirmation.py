"""The one place where a record learns from S3 what has become of its upload.

The client that completes, a later GET, an event of S3, the end of a multipart upload and the sweep all come
here. S3 is asked before the row is touched, and no transaction is open while S3 is asked. A failure of S3
(403, time-out, 5xx) changes no row.
"""

import logging

from image_upload.database.database import CompletionContext
from image_upload.database.values import ExpectedObject, Fault, Record
from image_upload.errors import Problem
from image_upload.s3 import objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import map_s3_errors
from image_upload.s3.objects import StoredObject

log = logging.getLogger(__name__)

UNTYPED = "application/octet-stream"


async def finish(stores: CompletionContext, record: Record) -> Record:
    """Ask S3 about a record's object and settle the row; the row as it is now. Safe to repeat, at any time, at once.

    A row that S3 has nothing for stays as it is. What is not what was promised is rejected and removed.
    Raises `StorageDenied`, `StorageUnavailable`, `DatabaseUnavailable`.
    """
    if record.state == "stored":
        return record
    async with map_s3_errors():
        found = await objects.head(stores.bucket, record.expected_object.key, checksums=True)
        if found is None:
            return record
        records = stores.database.records
        if record.state != "rejected":
            fault = await _fault(stores.bucket, record.expected_object, found)
            if fault is None:
                stored = await records.store(record, found.size_bytes, found.etag)
                await _settle(stores, stored, found.size_bytes)
                return stored
            record = await records.reject(record, fault, found.size_bytes, found.etag)
        if record.state == "rejected":
            # Row first: whoever is interrupted here comes back, and removes what is still there.
            await objects.delete(stores.bucket, found.key, etag=found.etag)
            await _settle(stores, record, None)
    return record


async def _settle(stores: CompletionContext, record: Record, stored_bytes: int | None) -> None:
    if stores.settled is not None:
        await stores.settled(record.expected_object.key, stored_bytes)


async def finish_key(stores: CompletionContext, key: str) -> Record | None:
    """The same for whoever knows only the object's key; None where no record has it."""
    record = await stores.database.records.by_key(key)
    return None if record is None else await finish(stores, record)


async def notice(stores: CompletionContext, key: str) -> None:
    """The same for whoever has already succeeded: a failure is logged, and left to the next one who looks."""
    try:
        await finish_key(stores, key)
    except Problem as problem:
        log.warning("a record could not be finished yet", extra={"fields": {"code": problem.code}})


async def _fault(bucket: Bucket, expected_object: ExpectedObject, found: StoredObject) -> Fault | None:
    """What of the promise was not kept."""
    if expected_object.size_bytes not in (None, found.size_bytes):
        return "size"
    # "No particular type" (RFC 2046, section 4.5.1): SeaweedFS names the one of the key's extension.
    if expected_object.content_type.lower() not in (found.content_type.lower(), UNTYPED):
        return "type"
    if expected_object.sha256 is not None and expected_object.sha256 != await objects.sha256_of(bucket, found):
        return "checksum"
    return None
