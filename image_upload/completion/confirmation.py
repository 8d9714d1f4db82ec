"""Confirm an upload that may have ended: ask S3, verify the object, settle row and quota.

The client that completes, a reader, an event of S3, the end of a multipart upload or of a form, a quota and the sweep
all call `confirm`. No transaction is open during a call to S3. A failure of S3 (403, timeout, 5xx) changes nothing.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, Protocol

from image_upload.database.database import Database
from image_upload.database.values import ExpectedObject, Fault, Record
from image_upload.domain import keys
from image_upload.errors import DatabaseUnavailable
from image_upload.s3 import objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import map_s3_errors
from image_upload.s3.objects import StoredObject
from image_upload.usage.quotas import Quotas

log = logging.getLogger(__name__)

UNTYPED = "application/octet-stream"

# `required`: a failing database is an error. `if_reachable`: it is logged, and the row is left to the next call.
# `none`: the upload has no row, so the database is not asked.
RowPolicy = Literal["required", "if_reachable", "none"]


class Context(Protocol):
    """Bucket, database and quotas of the service; see `CompletionContext`."""

    bucket: Bucket
    database: Database
    quotas: Quotas


class AllowedSize(NamedTuple):
    """The allowed length of an object. If `exact_bytes` is None, any length up to `max_bytes`."""

    exact_bytes: int | None
    max_bytes: int


class Confirmation(NamedTuple):
    """The outcome of an upload.

    `stored` is S3's object; None if there is none, or if S3 was not asked because all was settled. `fault` is the
    reason for which the object was removed.
    """

    stored: StoredObject | None
    record: Record | None
    fault: Fault | None = None


async def confirm(
    context: Context,
    key: str,
    *,
    record: Record | None = None,
    row: RowPolicy = "required",
    allowed: AllowedSize | None = None,
    found: StoredObject | None = None,
    is_over: bool = False,
) -> Confirmation:
    """Ask S3 once about a key, verify the object, and settle its row and quota. Safe to repeat, also concurrently.

    `record` is the key's row, if the caller has it; `allowed` is the size that the caller's ticket allows; `found` is
    the object, if S3 has just described it. An object that is not as expected, or larger than its key allows, is
    removed, and its row rejected. If S3 has no object, nothing changes; but with `is_over`, when none can come any
    more, the row expires and its quota is released.

    Raises `StorageDenied`, `StorageUnavailable`, `StorageTimedOut`; with row="required" `DatabaseUnavailable`.
    """
    if record is None and row != "none" and context.database.is_configured:
        with _postponed(row):
            record = await context.database.records.by_key(key)
    if found is None:
        if _is_settled(context, key, record, allowed):
            return Confirmation(None, record)
        async with map_s3_errors():
            # Only a row expects a SHA-256, and asking for it takes kms:Decrypt under SSE-KMS.
            found = await objects.head(context.bucket, key, checksums=record is not None)
    if found is None:
        if is_over:
            if record is not None:
                with _postponed(row):
                    record = await context.database.records.expire(record)
            await context.quotas.settle(key, None)
        return Confirmation(None, record)
    # What a ticket leads to is completed once.
    return await _settle(context, found, record, row, allowed, is_over=is_over or allowed is not None)


async def confirm_record(context: Context, record: Record, *, is_over: bool = False) -> Record:
    """Call `confirm` for a row; return the row as it is afterwards."""
    return (await confirm(context, record.expected_object.key, record=record, is_over=is_over)).record or record


def _is_settled(context: Context, key: str, record: Record | None, allowed: AllowedSize | None) -> bool:
    """Return whether S3 need not be asked: the caller needs no object, and neither row nor quota can change."""
    if allowed is not None:
        return False
    if record is not None:
        return record.state == "stored"
    return not context.quotas.enabled and keys.max_bytes_in(key) is None


async def _settle(
    context: Context,
    found: StoredObject,
    record: Record | None,
    row: RowPolicy,
    allowed: AllowedSize | None,
    *,
    is_over: bool,
) -> Confirmation:
    """Settle row, object and quota by S3's description."""
    fault = None
    if record is None or record.state != "rejected":
        async with map_s3_errors():
            fault = await _mismatch(context.bucket, found, None if record is None else record.expected_object, allowed)
    if record is not None:
        records = context.database.records
        if record.state in ("pending", "expired"):
            with _postponed(row):
                if fault is None:
                    record = await records.store(record, found.size_bytes, found.etag)
                else:
                    record = await records.reject(record, fault, found.size_bytes, found.etag)
        # Another call may have settled the row; then its state counts.
        if record.state == "rejected":
            fault = record.fault
        elif record.state == "stored":
            fault = None
    if fault is not None:
        # Row first: if this call is interrupted here, the next one still finds the object and removes it.
        async with map_s3_errors():
            await objects.delete(context.bucket, found.key, etag=found.etag)
    # While a presigned URL can store another file, what was removed keeps its reservation.
    if fault is None or is_over:
        await context.quotas.settle(found.key, found.size_bytes if fault is None else None, is_over=is_over)
    return Confirmation(found, record, fault)


@contextmanager
def _postponed(row: RowPolicy) -> Iterator[None]:
    """With `if_reachable`, leave the row to a later call if the database fails."""
    try:
        yield
    except DatabaseUnavailable as problem:
        if row == "required":
            raise
        log.warning("a record could not be settled yet", extra={"fields": {"code": problem.code}})


async def _mismatch(
    bucket: Bucket, found: StoredObject, expected: ExpectedObject | None, allowed: AllowedSize | None
) -> Fault | None:
    """Return the property in which the object differs from what was signed or recorded; None if it may stay."""
    if allowed is not None and (
        allowed.exact_bytes not in (None, found.size_bytes) or found.size_bytes > allowed.max_bytes
    ):
        return "size"
    max_bytes = keys.max_bytes_in(found.key)
    if max_bytes is not None and found.size_bytes > max_bytes:
        return "size"
    if expected is None:
        return None
    if expected.size_bytes not in (None, found.size_bytes):
        return "size"
    # "No particular type" (RFC 2046, section 4.5.1): SeaweedFS names the one of the key's extension.
    if expected.content_type.lower() not in (found.content_type.lower(), UNTYPED):
        return "type"
    if expected.sha256 is not None and expected.sha256 != await objects.sha256_of(bucket, found):
        return "checksum"
    return None
