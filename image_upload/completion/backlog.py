"""How much waits in the outbox and the queue of workers, and how long."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

from image_upload.completion.context import CompletionContext
from image_upload.errors import Problem
from image_upload.limits import BACKLOG_TIMEOUT_S
from image_upload.notify.delivery import PENDING
from image_upload.telemetry.metrics import OUTBOX_AGE, OUTBOX_EVENTS, QUEUE_AGE, Measurement


async def backlog(context: CompletionContext) -> list[Measurement]:
    """Return the gauges of outbox and queue. What does not answer in time is left out."""
    found: list[Measurement] = []
    with suppress(Problem, TimeoutError):
        async with asyncio.timeout(BACKLOG_TIMEOUT_S):
            if context.targets and context.database.is_configured:
                found += await _outbox(context)
            age_s = await context.tasks.age_s()
            if age_s is not None:
                found.append((QUEUE_AGE, age_s, ("tasks",)))
    return found


async def _outbox(context: CompletionContext) -> list[Measurement]:
    from image_upload.notify.outbox import Outbox  # it brings SQLAlchemy

    rows = await Outbox(context.database.records).backlog()
    now = datetime.now(UTC)
    # A target without a row has an age too, for alarms.
    ages = dict.fromkeys(context.targets, 0.0)
    ages |= {row.target: (now - row.oldest_at).total_seconds() for row in rows if row.state == PENDING}
    return [
        *((OUTBOX_AGE, age_s, (target,)) for target, age_s in ages.items()),
        *((OUTBOX_EVENTS, row.rows, (row.target, row.state)) for row in rows),
    ]
