"""The sweep: confirm pending rows whose time is over, and delete old quotas. Rows without an object expire."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from image_upload.completion.confirmation import confirm_record
from image_upload.completion.context import CompletionContext
from image_upload.database.values import Record
from image_upload.errors import Problem
from image_upload.limits import SWEEP_BATCH

log = logging.getLogger(__name__)

# Counted beside the states of settled rows.
FAILED = "failed"


async def sweep(
    context: CompletionContext, within_s: float, report: Callable[[Counter[str]], None] | None = None
) -> Counter[str]:
    """Confirm all overdue rows in batches, for at most `within_s` seconds; return the number of rows by state.

    Then delete what the quotas keep of days that are over. Rows that could not be settled (S3 or the database failed)
    count as `failed` and stay pending for a later sweep. Any number of sweeps may run at once. Raises
    `DatabaseUnavailable`.
    """
    tally: Counter[str] = Counter()
    if within_s <= 0:
        return tally
    try:
        async with asyncio.timeout(within_s):
            while batch := await context.database.records.claim(datetime.now(UTC), SWEEP_BATCH):
                outcomes = await asyncio.gather(*(_end(context, record) for record in batch))
                tally.update(outcomes)
                if report is not None:
                    report(tally)
                if set(outcomes) == {FAILED}:
                    break  # S3 is down, so the next rows would fail too
            while await context.quotas.prune():
                pass  # another batch
    except TimeoutError:
        log.info("the sweep's time was over before its work", extra={"fields": dict(tally)})
    return tally


async def _end(context: CompletionContext, record: Record) -> str:
    try:
        record = await confirm_record(context, record, is_over=True)
    except Problem as problem:
        log.warning("a row could not be swept", extra={"fields": {"code": problem.code, "id": record.id}})
        return FAILED
    return record.state
