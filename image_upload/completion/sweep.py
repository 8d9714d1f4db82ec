"""The sweep: rows whose upload never came end as expired, after one more look at S3."""

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

# Beside the states that rows end in.
FAILED = "failed"


async def sweep(
    context: CompletionContext, within_s: float, report: Callable[[Counter[str]], None] | None = None
) -> Counter[str]:
    """Look after every row whose time is over, in batches, until none is left or the time is; how many ended how.

    Rows that could not be settled (S3 or the database failed) count as `failed`, stay pending, and are taken again
    by a later sweep. Any number of sweeps may run at once. Raises `DatabaseUnavailable`.
    """
    tally: Counter[str] = Counter()
    if within_s <= 0:
        return tally
    try:
        async with asyncio.timeout(within_s):
            while batch := await context.database.records.claim(datetime.now(UTC), SWEEP_BATCH):
                ends = await asyncio.gather(*(_end(context, record) for record in batch))
                tally.update(ends)
                if report is not None:
                    report(tally)
                if set(ends) == {FAILED}:
                    break  # S3 is down: the next rows would fare no better
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
