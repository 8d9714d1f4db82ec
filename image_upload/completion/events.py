"""Handle Lambda's events other than HTTP: new objects in S3, scans of them, with a queue or without one, and schedules.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html

Without a queue Lambda retries twice after an exception. Events may repeat, and may come late and in any order:
`confirm` is idempotent.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from image_upload.completion import batches
from image_upload.completion.backlog import backlog
from image_upload.completion.context import CompletionContext
from image_upload.completion.object_events import Created, NotFromS3, created
from image_upload.completion.sweep import FAILED, sweep
from image_upload.domain import keys
from image_upload.errors import Problem
from image_upload.limits import LAMBDA_DEADLINE_MARGIN_S
from image_upload.outbound import deadline
from image_upload.telemetry import metrics

log = logging.getLogger(__name__)


class UnknownEvent(Exception):
    """The function does not handle this event. The message lists those that it handles."""


class Incomplete(Exception):
    """Some records could not be settled. Raised so that Lambda counts an error and retries."""


def receive(event: Mapping[str, Any], invocation: Any, context: CompletionContext) -> dict[str, Any]:
    """Handle one event; return the number of records by state, or for a queue's batch the failed messages.

    `invocation` is Lambda's context object. Raises `UnknownEvent`, `Incomplete`, `DatabaseUnavailable`.

    It uses Mangum's event loop, because connections to S3 and the database belong to their loop.
    """
    return asyncio.get_event_loop().run_until_complete(_measured(event, invocation, context))


async def _measured(event: Mapping[str, Any], invocation: Any, context: CompletionContext) -> dict[str, Any]:
    async with context.telemetry.event("event"):
        return await _receive(event, invocation, context)


async def _receive(event: Mapping[str, Any], invocation: Any, context: CompletionContext) -> dict[str, Any]:
    deadline.enter(invocation)
    within_s = invocation.get_remaining_time_in_millis() / 1000 - LAMBDA_DEADLINE_MARGIN_S
    match event:
        case {"source": "aws.events" | "aws.scheduler", "detail-type": "Scheduled Event"}:
            told = None
        case {"Records": [{"eventSource": "aws:sqs"}, *_] as records}:
            if (messages := batches.messages_of(records)) is None:
                raise UnknownEvent(_EXPECTED)
            metrics.record(metrics.QUEUE_AGE, batches.age_s(records), "arrivals")
            return await batches.settle(messages, context, within_s)
        case _:
            told = _told_in(event, context.bucket.name)
    if not context.takes_events:
        # Then only an object whose size S3 did not enforce needs a look.
        told = [each for each in told or () if keys.max_bytes_in(each.key) is not None]
        if not told:
            log.info(
                "an event came, and there is nothing to do with it: set DATABASE_URL or VERIFY, or remove the trigger"
            )
            return {}
    tally = await _sweep(context, within_s) if told is None else await _confirm_all(context, told)
    log.info("event", extra={"fields": dict(tally)})
    if tally[FAILED]:
        raise Incomplete(f"{tally[FAILED]} of {tally.total()} records could not be settled. The log says why.")
    return dict(tally)


_EXPECTED = (
    "This function handles requests of its Function URL, S3 event notifications, EventBridge's Object Created of S3, "
    "GuardDuty's scan results, batches of an SQS queue with these, and EventBridge schedules. Remove whatever else is "
    "configured to invoke it."
)


def _told_in(event: Mapping[str, Any], own: str) -> list[Created]:
    """Return the new objects in the service's bucket. Raises `UnknownEvent`."""
    try:
        objects = created(event)
    except NotFromS3:
        raise UnknownEvent(_EXPECTED) from None
    found = [each for each in objects if each.bucket == own]
    if not found:
        log.warning("an event that is not about a new object in this bucket was left alone")
    return found


async def _sweep(context: CompletionContext, within_s: float) -> Counter[str]:
    tally = await sweep(context, within_s)
    if metrics.are_recorded():
        for metric, value, labels in await backlog(context):
            metrics.record(metric, value, *labels)
    return tally


async def _confirm_all(context: CompletionContext, told: list[Created]) -> Counter[str]:
    tally: Counter[str] = Counter()
    for each in told:
        try:
            tally[await batches.finished(context, each)] += 1
        except Problem as problem:
            log.warning("a record could not be finished", extra={"fields": {"code": problem.code}})
            tally[FAILED] += 1
    return tally
