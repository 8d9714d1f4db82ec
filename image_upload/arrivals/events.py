"""What Lambda is called with beside HTTP: S3's word that an object is there, and the clock.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html

Lambda calls again, twice, after an exception. Events repeat, come late and in any order; `finish` does not mind.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from image_upload import deadline
from image_upload.arrivals.finishing import finish_key
from image_upload.arrivals.sweeping import FAILED, sweep
from image_upload.errors import Problem
from image_upload.limits import LAMBDA_DEADLINE_MARGIN_S
from image_upload.records.database import Stores

log = logging.getLogger(__name__)

# An object for which there is no row: `POST /uploads` writes none.
UNKNOWN = "unknown"


class UnknownEvent(Exception):
    """Nothing here is meant for this event. The message says what is."""


class Incomplete(Exception):
    """Some of the work could not be done now. Raised so that Lambda counts it, and calls again."""


def receive(event: Mapping[str, Any], context: Any, stores: Stores) -> dict[str, int]:
    """Handle one event; how many records ended how. Raises `UnknownEvent`, `Incomplete`, `DatabaseUnavailable`.

    It runs on the loop that Mangum uses, because connections to S3 and the database belong to their loop.
    """
    return asyncio.get_event_loop().run_until_complete(_receive(event, context, stores))


async def _receive(event: Mapping[str, Any], context: Any, stores: Stores) -> dict[str, int]:
    deadline.enter(context)
    within_s = context.get_remaining_time_in_millis() / 1000 - LAMBDA_DEADLINE_MARGIN_S
    match event:
        case {"source": "aws.events" | "aws.scheduler", "detail-type": "Scheduled Event"}:
            keys = None
        case {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}},
        }:
            # Unlike in a notification the key is not encoded here.
            keys = [key] if bucket == stores.bucket.name else []
        case {"Records": [{"eventSource": "aws:s3"}, *_] as records}:
            keys = [key for record in records for key in _created(record, stores.bucket.name)]
        case _:
            raise UnknownEvent(
                "This function handles requests of its Function URL, S3 event notifications, EventBridge's Object "
                "Created of S3, and EventBridge schedules. Remove whatever else is configured to invoke it."
            )
    if not stores.database.is_configured:
        log.info("an event came, and there is no database to note it in: set DATABASE_URL or remove the trigger")
        return {}
    tally = await sweep(stores, within_s) if keys is None else await _finish_all(stores, keys)
    log.info("event", extra={"fields": dict(tally)})
    if tally[FAILED]:
        raise Incomplete(f"{tally[FAILED]} of {tally.total()} records could not be settled. The log says why.")
    return dict(tally)


def _created(record: Mapping[str, Any], own: str) -> list[str]:
    """The key of a notification's record, if it tells of a new object in our bucket."""
    match record:
        case {"eventName": str(name), "s3": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}} if (
            bucket == own and name.startswith("ObjectCreated:")
        ):
            return [unquote_plus(key)]
    log.warning("a notification that is not about a new object in this bucket was left alone")
    return []


async def _finish_all(stores: Stores, keys: list[str]) -> Counter[str]:
    tally: Counter[str] = Counter()
    for key in keys:
        try:
            record = await finish_key(stores, key)
        except Problem as problem:
            log.warning("a record could not be finished", extra={"fields": {"code": problem.code}})
            tally[FAILED] += 1
        else:
            tally[UNKNOWN if record is None else record.state] += 1
    return tally
