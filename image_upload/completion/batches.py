"""Handle a batch of messages of the queue between S3, GuardDuty and the function. Each message fails separately.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html

Lambda deletes the messages of a batch except those that the answer names. These come again after the queue's visibility
timeout. After their last attempt they go to the dead-letter queue, where an operator can read and redrive them. So a
message fails if that can help: S3, clamd or the database does not answer, GuardDuty's tag is not there yet, the time is
over, it is not an event of S3, or it is about another bucket, because then a rule or a setting is wrong. A valid
message that needs no work (a deletion, S3's test event, an object without a record) succeeds.
"""

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from image_upload.completion.confirmation import confirm
from image_upload.completion.context import CompletionContext
from image_upload.completion.object_events import Created, NotFromS3, created
from image_upload.completion.sweep import CHECKING, FAILED
from image_upload.domain import keys
from image_upload.errors import InvalidKey, Problem
from image_upload.limits import ARRIVAL_MAX_CHARS, SCAN_MAX_S, SWEEP_BATCH

log = logging.getLogger(__name__)

# The state of an object without a row: `POST /uploads` writes none.
UNKNOWN = "unknown"
# The object is not for this function.
LEFT = "left"


class Poisoned(Exception):
    """A message that no attempt can settle. The text says why, and quotes nothing of the message."""


class Message(NamedTuple):
    """A message with its id at Lambda."""

    id: str
    body: str


def messages_of(records: Sequence[Any]) -> list[Message] | None:
    """Return the messages of a batch; None if one of them has no id, so that it is not a batch of Lambda."""
    messages = []
    for record in records:
        match record:
            case {"eventSource": "aws:sqs", "messageId": str(name), "body": str(body)}:
                messages.append(Message(name, body))
            case _:
                return None
    return messages


def age_s(records: Sequence[Any]) -> float:
    """Return how long the oldest message of a batch has been in the queue; 0 if Lambda does not say it."""
    sent_ms = [
        int(text)
        for record in records
        if isinstance(text := record.get("attributes", {}).get("SentTimestamp"), str) and text.isdecimal()
    ]
    return max(0.0, time.time() - min(sent_ms) / 1000) if sent_ms else 0.0


async def settle(messages: Sequence[Message], context: CompletionContext, within_s: float) -> dict[str, Any]:
    """Handle the messages, several at once, until the time is over; return the answer, which names the failed ones.

    Never raises for one message: after an exception the whole batch would come again.
    """
    tally: Counter[str] = Counter()
    done: set[str] = set()
    at_once = asyncio.Semaphore(SWEEP_BATCH)

    async def handle(message: Message) -> None:
        async with at_once:
            outcomes = await _outcomes(message, context)
        tally.update(outcomes)
        if FAILED not in outcomes:
            done.add(message.id)

    if not context.takes_events:
        log.error(
            "messages came, and there is nothing to do with them: set DATABASE_URL or VERIFY, or remove the queue"
        )
    elif within_s > 0:
        try:
            async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
                for message in messages:
                    group.create_task(handle(message))
        except TimeoutError:
            log.warning("the time was over before the batch was done; what is left comes again")
    failed = [message.id for message in messages if message.id not in done]
    log.info("batch", extra={"fields": {**tally, "messages": len(messages), "come_again": len(failed)}})
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}


async def _outcomes(message: Message, context: CompletionContext) -> list[str]:
    """Return the states of the records of a message, with `FAILED` if the message must come again."""
    try:
        return [await finished(context, each) for each in _told_in(message.body, context.bucket.name)]
    except Poisoned as reason:
        log.warning("a message cannot be handled", extra={"fields": {"message": message.id, "reason": str(reason)}})
    except Problem as problem:
        log.warning("a record could not be finished", extra={"fields": {"message": message.id, "code": problem.code}})
    except Exception:  # a bug must not make the other messages come again
        log.exception("a message could not be handled", extra={"fields": {"message": message.id}})
    return [FAILED]


async def finished(context: CompletionContext, told: Created) -> str:
    """Confirm the upload that an object is of; return the state of its record, `FAILED` to be told again.

    Raises what `confirm` raises.
    """
    if not context.concerns(told.key):
        return LEFT
    try:
        key = keys.published(keys.check(told.key))
    except InvalidKey:
        return UNKNOWN  # no row has an invalid key, and some databases would raise for it
    confirmation = await confirm(context, key, is_news=True, scan_s=SCAN_MAX_S)
    if confirmation.is_checking:
        # GuardDuty tells of the end of its scan. No event tells of a clamd that is back, or of a tag that was late.
        awaited = context.arrivals.scans_when_asked or (told.is_scanned and context.arrivals.verify_here)
        return FAILED if awaited else CHECKING
    if confirmation.record is not None:
        return confirmation.record.state
    return "rejected" if confirmation.fault is not None else UNKNOWN


def _told_in(body: str, own: str) -> list[Created]:
    """Return the new objects in the service's bucket. Raises `Poisoned`."""
    if len(body) > ARRIVAL_MAX_CHARS:
        raise Poisoned("it is longer than any event of S3")
    try:
        event: Mapping[str, Any] = json.loads(body)
    except (ValueError, RecursionError):
        raise Poisoned("it is not JSON") from None
    try:
        objects = created(event)
    except NotFromS3:
        raise Poisoned("it is no event of S3") from None
    if any(each.bucket != own for each in objects):
        raise Poisoned("it is about another bucket than S3_BUCKET_NAME")
    return objects
