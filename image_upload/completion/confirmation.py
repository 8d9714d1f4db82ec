"""Confirm an upload that may have ended: ask S3, verify the object, settle row and quota.

The files of a checked purpose are published on the way, or kept out: `verification.arrivals`.

The client that completes, a reader, an event of S3, the end of a multipart upload or of a form, a quota and the sweep
all call `confirm`. No transaction is open during a call to S3. A failure of S3 (403, timeout, 5xx) changes nothing.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, Protocol

from image_upload.database.database import Database
from image_upload.database.values import ExpectedObject, Record
from image_upload.domain import keys
from image_upload.domain.faults import Fault
from image_upload.errors import DatabaseUnavailable
from image_upload.languages.wording import Sentence
from image_upload.limits import SCAN_WAIT_S
from image_upload.s3 import objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import map_s3_errors
from image_upload.s3.objects import StoredObject
from image_upload.usage.quotas import Quotas
from image_upload.verification.arrivals import Arrivals, Published, Removed, Undecided

log = logging.getLogger(__name__)

UNTYPED = "application/octet-stream"

# The states of rows whose object was not kept.
_KEPT_OUT = ("rejected", "quarantined")

# `required`: a failing database is an error. `if_reachable`: it is logged, and the row is left to the next call.
# `none`: the upload has no row, so the database is not asked.
RowPolicy = Literal["required", "if_reachable", "none"]


class Context(Protocol):
    """Bucket, arrivals, database and quotas of the service; see `CompletionContext`."""

    bucket: Bucket
    arrivals: Arrivals
    database: Database
    quotas: Quotas


class AllowedSize(NamedTuple):
    """The allowed length of an object. If `exact_bytes` is None, any length up to `max_bytes`."""

    exact_bytes: int | None
    max_bytes: int


class Confirmation(NamedTuple):
    """The outcome of an upload.

    `stored` is S3's object; None if there is none, or if S3 was not asked because all was settled. `fault` is the
    reason for which the object was removed, and `why` says more of it where it is known. `is_checking`: the file has
    arrived, and is not verified yet.
    """

    stored: StoredObject | None
    record: Record | None
    fault: Fault | None = None
    why: Sentence | None = None
    is_checking: bool = False


async def confirm(
    context: Context,
    key: str,
    *,
    record: Record | None = None,
    row: RowPolicy = "required",
    allowed: AllowedSize | None = None,
    found: StoredObject | None = None,
    is_over: bool = False,
    scan_s: float = SCAN_WAIT_S,
) -> Confirmation:
    """Ask S3 once about a key, verify the object, and settle its row and quota. Safe to repeat, also concurrently.

    `record` is the key's row, if the caller has it; `allowed` is the size that the caller's ticket allows; `found` is
    the object, if S3 has just described it. An object that is not as expected is removed, and its row rejected. If S3
    has no object, nothing changes; but with `is_over`, when none can come any more, the row expires and its quota is
    released. A scan for malware that takes more than `scan_s` seconds is left to a later call.

    Raises `StorageDenied`, `StorageUnavailable`, `StorageTimedOut`; with row="required" `DatabaseUnavailable`.
    """
    if record is None and row != "none" and context.database.is_configured:
        with _postponed(row):
            record = await context.database.records.by_key(key)
    if context.arrivals.takes(key):
        return await _confirm_arrival(context, key, record, row, allowed, is_over=is_over, scan_s=scan_s)
    if found is None:
        if _is_settled(context, record, allowed):
            return Confirmation(None, record)
        async with map_s3_errors():
            # Only a row expects a SHA-256, and asking for it takes kms:Decrypt under SSE-KMS.
            found = await objects.head(context.bucket, key, checksums=record is not None)
    if found is None:
        return await _settle_missing(context, key, record, row, is_over=is_over)
    return await _confirm_object(context, found, record, row, allowed, is_over=is_over)


async def _confirm_object(
    context: Context,
    found: StoredObject,
    record: Record | None,
    row: RowPolicy,
    allowed: AllowedSize | None,
    *,
    is_over: bool,
) -> Confirmation:
    """Compare an object with what was promised; settle its row and quota; remove it if it differs."""
    fault = None
    if record is None or record.state not in _KEPT_OUT:
        async with map_s3_errors():
            fault = await _mismatch(context.bucket, found, None if record is None else record.expected_object, allowed)
            if fault is None:
                await context.arrivals.report(found)
    # What a ticket leads to is completed once.
    settled = await _settle(context, found, record, row, fault, is_over=is_over or allowed is not None)
    if settled.fault is not None:
        # Row first: if this call is interrupted here, the next one still finds the object and removes it.
        async with map_s3_errors():
            await objects.delete(context.bucket, found.key, etag=found.etag)
    return settled


async def _confirm_arrival(
    context: Context,
    key: str,
    record: Record | None,
    row: RowPolicy,
    allowed: AllowedSize | None,
    *,
    is_over: bool,
    scan_s: float,
) -> Confirmation:
    """Verify what has arrived for a key, and settle its row and quota by what became of it."""
    if record is not None and record.state in ("stored", *_KEPT_OUT) and allowed is None:
        return Confirmation(None, record, record.fault)
    expected = None if record is None else record.expected_object

    async def compare(arrival: StoredObject) -> Fault | None:
        return await _mismatch(context.bucket, arrival, expected, allowed)

    async with map_s3_errors():
        outcome = await context.arrivals.settle(key, compare, scan_s=scan_s)
    match outcome:
        case None:
            return await _settle_missing(context, key, record, row, is_over=is_over)
        case Undecided(arrival):
            return Confirmation(arrival, record, is_checking=True)
        case Published(stored, verified=True):
            return await _settle(context, stored, record, row, None, is_over=True)
        case Published(stored):
            # It was stored before the operator turned verification on.
            return await _confirm_object(context, stored, record, row, allowed, is_over=is_over)
        case Removed(arrival, fault, why, quarantined):
            settled = await _settle(context, arrival, record, row, fault, quarantined=quarantined, is_over=True)
            return settled._replace(why=why if settled.fault == fault else None)


async def confirm_record(
    context: Context, record: Record, *, is_over: bool = False, scan_s: float = SCAN_WAIT_S
) -> Record:
    """Call `confirm` for a row; return the row as it is afterwards."""
    key = record.expected_object.key
    return (await confirm(context, key, record=record, is_over=is_over, scan_s=scan_s)).record or record


def _is_settled(context: Context, record: Record | None, allowed: AllowedSize | None) -> bool:
    """Return whether S3 need not be asked: the caller needs no object, and neither row nor quota can change."""
    if allowed is not None:
        return False
    return not context.quotas.enabled if record is None else record.state == "stored"


async def _settle_missing(
    context: Context, key: str, record: Record | None, row: RowPolicy, *, is_over: bool
) -> Confirmation:
    """Settle row and quota of a key without an object, if none can come any more."""
    if is_over:
        if record is not None:
            with _postponed(row):
                record = await context.database.records.expire(record)
        await context.quotas.settle(key, None)
    return Confirmation(None, record)


async def _settle(
    context: Context,
    found: StoredObject,
    record: Record | None,
    row: RowPolicy,
    fault: Fault | None,
    *,
    quarantined: bool = False,
    is_over: bool,
) -> Confirmation:
    """Settle row and quota by S3's description and the fault that was found. An earlier fault of the row counts."""
    if record is not None:
        records = context.database.records
        if record.state in ("pending", "expired"):
            with _postponed(row):
                if fault is None:
                    record = await records.store(record, found.size_bytes, found.etag)
                else:
                    record = await records.reject(record, fault, found.size_bytes, found.etag, quarantined=quarantined)
        # Another call may have settled the row; then its state counts.
        if record.state in _KEPT_OUT:
            fault = record.fault
        elif record.state == "stored":
            fault = None
    await context.quotas.settle(keys.published(found.key), found.size_bytes if fault is None else None, is_over=is_over)
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
