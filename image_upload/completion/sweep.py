"""The sweep: confirm pending rows whose time is over, and arrivals that no event and no client has confirmed.

Rows without an object expire. Old quotas are deleted.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from image_upload.completion.confirmation import confirm, confirm_record
from image_upload.completion.context import CompletionContext
from image_upload.database.values import Record
from image_upload.errors import Problem
from image_upload.limits import SCAN_MAX_S, SWEEP_BATCH
from image_upload.s3.errors import map_s3_errors

log = logging.getLogger(__name__)

# Counted beside the states of settled rows.
FAILED = "failed"
# The same: a scan is not over, or another function verifies it.
CHECKING = "checking"


async def sweep(
    context: CompletionContext, within_s: float, report: Callable[[Counter[str]], None] | None = None
) -> Counter[str]:
    """Confirm overdue rows in batches, then arrivals, then deliver events and tasks, for at most `within_s` seconds.

    Return their number by state.

    Then delete what the quotas keep of days that are over. Rows that could not be settled (S3 or the database failed)
    count as `failed` and stay pending for a later sweep. Any number of sweeps may run at once. Raises
    `DatabaseUnavailable`.
    """
    tally: Counter[str] = Counter()
    until = time.monotonic() + within_s
    if within_s <= 0:
        return tally
    try:
        async with asyncio.timeout(within_s):
            async for batch in _due(context):
                outcomes = await asyncio.gather(*batch)
                tally.update(outcomes)
                if report is not None:
                    report(tally)
                if set(outcomes) == {FAILED}:
                    break  # S3 is down, so the next ones would fail too
            while await context.quotas.prune():
                pass  # another batch
    except TimeoutError:
        log.info("the sweep's time was over before its work", extra={"fields": dict(tally)})
    deliveries = await context.notifier.retry_due(until - time.monotonic())
    tally.update({f"event {outcome}": count for outcome, count in deliveries.items()})
    queued = await context.tasks.retry_due(until - time.monotonic())
    tally.update({f"task {outcome}": count for outcome, count in queued.items()})
    return tally


async def _due(context: CompletionContext) -> AsyncIterator[list[Coroutine[Any, Any, str]]]:
    """Yield batches of what is to be confirmed."""
    if context.database.is_configured:
        while records := await context.database.records.claim(datetime.now(UTC), SWEEP_BATCH):
            yield [_end(context, record) for record in records]
    if context.arrivals.verify_here:
        async with map_s3_errors():
            async for arrivals in context.arrivals.left_over(SWEEP_BATCH):
                if arrivals:
                    yield [_publish(context, key) for key in arrivals]


async def _publish(context: CompletionContext, key: str) -> str:
    try:
        confirmation = await confirm(context, key, scan_s=SCAN_MAX_S)
    except Problem as problem:
        log.warning("an arrival could not be swept", extra={"fields": {"code": problem.code}})
        return FAILED
    if confirmation.is_checking:
        return CHECKING
    return confirmation.record.state if confirmation.record is not None else "confirmed"


async def _end(context: CompletionContext, record: Record) -> str:
    try:
        record = await confirm_record(context, record, is_over=True, scan_s=SCAN_MAX_S)
    except Problem as problem:
        log.warning("a row could not be swept", extra={"fields": {"code": problem.code, "id": record.id}})
        return FAILED
    return record.state
