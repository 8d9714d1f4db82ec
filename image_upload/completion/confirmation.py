"""Confirm an upload that may have ended: ask S3, verify the object, settle row and quota.

The files of a checked purpose are published on the way, or kept out: `verification.arrivals`.

The client that completes, a reader, an event of S3, the end of a multipart upload or of a form, a quota and the sweep
all call `confirm`. No transaction is open during a call to S3. A failure of S3 (403, timeout, 5xx) changes nothing.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from image_upload.completion import announcement
from image_upload.database.database import Database
from image_upload.database.values import ExpectedObject, Record
from image_upload.domain import keys, purposes
from image_upload.domain.faults import Fault
from image_upload.domain.metadata import facts_in
from image_upload.errors import DatabaseUnavailable
from image_upload.jobs.tasks import Tasks
from image_upload.languages.wording import Sentence
from image_upload.limits import SCAN_WAIT_S
from image_upload.notify.notifier import Notifier
from image_upload.s3 import objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import map_s3_errors
from image_upload.s3.objects import StoredObject
from image_upload.telemetry import metrics
from image_upload.usage.quotas import Quotas
from image_upload.verification.arrivals import Arrivals, Published, Removed, Undecided

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from image_upload.jobs.task import Task
    from image_upload.notify.event import Event, StoredFacts

log = logging.getLogger(__name__)

UNTYPED = "application/octet-stream"

# The states of rows whose object was not kept.
_KEPT_OUT = ("rejected", "quarantined")

# `required`: a failing database is an error. `if_reachable`: it is logged, and the row is left to the next call.
# `none`: the upload has no row, so the database is not asked.
RowPolicy = Literal["required", "if_reachable", "none"]


class Context(Protocol):
    """What the service keeps uploads in, and tells of them with; see `CompletionContext`."""

    bucket: Bucket
    arrivals: Arrivals
    database: Database
    quotas: Quotas
    notifier: Notifier

    @property
    def tasks(self) -> Tasks:
        """What hands tasks to workers."""

    def receipt(self, facts: "StoredFacts") -> str | None:
        """Return the signed receipt of an object; None without JWT_SECRET."""


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
    is_news: bool = False,
    scan_s: float = SCAN_WAIT_S,
) -> Confirmation:
    """Ask S3 once about a key, verify the object, and settle its row and quota. Safe to repeat, also concurrently.

    `record` is the key's row, if the caller has it; `allowed` is the size that the caller's ticket allows; `found` is
    the object, if S3 has just described it. An object that is not as expected, or larger than its key allows, is
    removed, and its row rejected. If S3 has no object, nothing changes; but with `is_over`, when none can come any
    more, the row expires and its quota is released. `is_news`: the caller learns that the object is there, so the
    application is told even if it has no row. A scan for malware that takes more than `scan_s` seconds is left to a
    later call.

    Raises `StorageDenied`, `StorageUnavailable`, `StorageTimedOut`; with row="required" `DatabaseUnavailable`.
    """
    if record is None and row != "none" and context.database.is_configured:
        with _postponed(row):
            record = await context.database.records.by_key(key)
    if context.arrivals.takes(key):
        return await _confirm_arrival(
            context, key, record, row, allowed, is_over=is_over, is_news=is_news, scan_s=scan_s
        )
    if found is None:
        if _is_settled(context, key, record, allowed, is_news=is_news):
            return Confirmation(None, record)
        async with map_s3_errors():
            # Only a row expects a SHA-256, and asking for it takes kms:Decrypt under SSE-KMS.
            found = await objects.head(context.bucket, key, checksums=record is not None)
    if found is None:
        return await _settle_missing(context, key, record, row, is_over=is_over)
    return await _confirm_object(context, found, record, row, allowed, is_over=is_over, is_news=is_news)


async def _confirm_object(
    context: Context,
    found: StoredObject,
    record: Record | None,
    row: RowPolicy,
    allowed: AllowedSize | None,
    *,
    is_over: bool,
    is_news: bool,
    is_published: bool = False,
) -> Confirmation:
    """Compare an object with what was promised; settle its row and quota; remove it if it differs."""
    fault = None
    if record is None or record.state not in _KEPT_OUT:
        async with map_s3_errors():
            expected = None if record is None else record.expected_object
            fault = await _mismatch(context.bucket, found, expected, allowed, is_published=is_published)
            if fault is None:
                await context.arrivals.report(found)
    # What a ticket leads to is completed once.
    ends = allowed is not None
    is_news = is_news or ends or fault is not None
    settled = await _settle(
        context,
        found,
        record,
        row,
        fault,
        is_over=is_over or ends,
        is_news=is_news,
        is_first=is_news and not is_published,
    )
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
    is_news: bool,
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
        case Published(stored, now=True):
            return await _settle(context, stored, record, row, None, is_over=True, is_news=True, is_first=True)
        case Published(stored, verified):
            # Published by a process that knows neither row nor ticket, or stored before verification was turned on.
            return await _confirm_object(
                context, stored, record, row, allowed, is_over=True, is_news=is_news, is_published=verified
            )
        case Removed(arrival, fault, why, quarantined, now):
            settled = await _settle(
                context,
                arrival,
                record,
                row,
                fault,
                quarantined=quarantined,
                is_over=True,
                is_news=is_news or now,
                is_first=now,
            )
            return settled._replace(why=why if settled.fault == fault else None)


async def confirm_record(
    context: Context, record: Record, *, is_over: bool = False, scan_s: float = SCAN_WAIT_S
) -> Record:
    """Call `confirm` for a row; return the row as it is afterwards."""
    key = record.expected_object.key
    return (await confirm(context, key, record=record, is_over=is_over, scan_s=scan_s)).record or record


def _is_settled(
    context: Context, key: str, record: Record | None, allowed: AllowedSize | None, *, is_news: bool
) -> bool:
    """Return whether S3 need not be asked: the caller needs no object, and nothing can change or be told."""
    if allowed is not None:
        return False
    if record is not None:
        return record.state == "stored"
    is_told = is_news and context.notifier.enabled
    is_asked = context.quotas.enabled or is_told or context.tasks.starts(key)
    return not is_asked and keys.max_bytes_in(key) is None


async def _settle_missing(
    context: Context, key: str, record: Record | None, row: RowPolicy, *, is_over: bool
) -> Confirmation:
    """Settle row and quota of a key without an object, if none can come any more."""
    if is_over:
        if record is not None:
            was_pending = record.state == "pending"
            with _postponed(row):
                record = await context.database.records.expire(record)
            if was_pending and record.state == "expired":
                _count(context, key, "abandoned")
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
    is_news: bool,
    is_first: bool,
) -> Confirmation:
    """Settle row and quota by S3's description and the fault that was found. An earlier fault of the row counts.

    What is told of it, and the task that it starts, are written with the row. An upload without one is told of where
    `is_news`, and counted where `is_first`; one with a row is counted where its state changes.
    """
    before = record
    news = _News(context, found, record, fault, quarantined=quarantined, is_told=is_news or record is not None)
    if record is None:
        with _postponed(row):
            await news.record(None)
    else:
        records = context.database.records
        if record.state in ("pending", "expired"):
            with _postponed(row):
                if fault is None:
                    record = await records.store(record, found.size_bytes, found.etag, also=news.record)
                else:
                    record = await records.reject(
                        record, fault, found.size_bytes, found.etag, quarantined=quarantined, also=news.record
                    )
        # Another call may have settled the row; then its state counts.
        if record.state in _KEPT_OUT:
            fault = record.fault
        elif record.state == "stored":
            fault = None
    is_counted = is_first if record is None or before is None else record.state != before.state
    if is_counted:
        _count(context, found.key, "completed" if fault is None else "rejected")
    # While a presigned URL can store another file, what was removed keeps its reservation.
    if fault is None or is_over:
        counted = found.size_bytes if fault is None else None
        await context.quotas.settle(keys.published(found.key), counted, is_over=is_over)
    await news.send()
    return Confirmation(found, record, fault)


def _count(context: Context, key: str, state: str) -> None:
    """Count an upload among those of its purpose."""
    purpose = purposes.of_key(keys.published(key), context.bucket.purposes.every())
    metrics.record(metrics.UPLOADS, 1, "" if purpose is None else purpose.name, state)


class _News:
    """What is told of one upload, and its task: recorded by the transaction that settles its row, then sent."""

    def __init__(
        self,
        context: Context,
        found: StoredObject,
        record: Record | None,
        fault: Fault | None,
        *,
        quarantined: bool,
        is_told: bool,
    ) -> None:
        self._context = context
        self._about = (found, record, fault, quarantined)
        self._is_told = is_told and context.notifier.enabled
        self._events: list[Event] = []
        self._tasks: Sequence[Task] = ()

    async def record(self, connection: "AsyncConnection | None", _: Record | None = None) -> None:
        """Write task and event. See `Notifier.record`."""
        found, record, fault, _quarantined = self._about
        if fault is None:
            owner = announcement.owner_of(found, record, self._context.bucket.purposes)
            self._tasks = self._context.tasks.due(found, owner)
            await self._context.tasks.record(connection, self._tasks)
        if not self._is_told:
            return
        if not self._events:
            self._events.append(self._event())
        await self._context.notifier.record(connection, self._events)

    async def send(self) -> None:
        """Send what was recorded. Never fails."""
        await self._context.tasks.send(self._tasks)
        if self._events:
            await self._context.notifier.send(self._events)

    def _event(self) -> "Event":
        found, record, fault, quarantined = self._about
        among = self._context.bucket.purposes
        if fault is not None:
            return announcement.kept_out(found, record, fault, among, quarantined=quarantined)
        from image_upload.notify.event import Event  # services that tell nothing need none of it

        facts = announcement.facts_of(found, record, among)
        return Event.stored(facts, self._context.receipt(facts))


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
    bucket: Bucket,
    found: StoredObject,
    expected: ExpectedObject | None,
    allowed: AllowedSize | None,
    *,
    is_published: bool = False,
) -> Fault | None:
    """Return the property in which the object differs from what was signed or recorded; None if it may stay.

    `is_published`: verification wrote it, so its facts are true.
    """
    if is_published and facts_in(found.metadata).get("changed"):
        return None  # its bytes are not those that were sent
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
    # The type of a published file is the one that verification found.
    if not is_published and expected.content_type.lower() not in (found.content_type.lower(), UNTYPED):
        return "type"
    if expected.sha256 is not None and expected.sha256 != await objects.sha256_of(bucket, found):
        return "checksum"
    return None
