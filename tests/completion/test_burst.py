"""A burst of arrivals: as many functions as the queue allows take all of it, none is lost, and none counts twice."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from image_upload.completion.context import CompletionContext
from image_upload.s3 import objects
from local.embedded_s3 import EmbeddedS3
from tests.completion.stores import do, put
from tests.completion.test_batches import batch, failures
from tests.completion.test_events import created, received
from tests.completion.test_telling import PHOTO, SCRIPT, key_of, telling, verified
from tests.database.databases import Place
from tests.notify.receiver import receiver as hooked

# Each takes 0.2 s of processor time, with the S3 in this process. Each of the functions gets three batches of them.
ARRIVALS = 60
CONCURRENCY = 4
BATCH = 10
DELIVERIES_MAX = 5  # as the stack's queue: then a message is a dead letter


@pytest.mark.full
@pytest.mark.parametrize("unmigrated", ["sqlite"], indirect=True)
def test_a_burst_of_arrivals_is_published_and_told_of_once_each(s3: EmbeddedS3, place: Place) -> None:
    sent = {key_of(): SCRIPT if number % 10 == 9 else PHOTO for number in range(ARRIVALS)}
    good = {key for key, content in sent.items() if content is PHOTO}

    async def arrive(context: CompletionContext) -> None:
        for key, content in sent.items():
            await put(context, f"incoming/{key}", content)

    async def left(context: CompletionContext) -> tuple[set[str], set[str]]:
        found = [await objects.head(context.bucket, key) for key in sent]
        waiting = [await objects.head(context.bucket, f"incoming/{key}") for key in sent]
        return {each.key for each in found if each}, {each.key for each in waiting if each}

    with hooked() as receiver:
        environ = telling(receiver)
        do(s3, place, arrive, **environ)
        # SQS delivers a message at least once, in any order.
        queue = [created(f"incoming/{key}") for key in sent] * 2
        random.Random(1).shuffle(queue)

        def invoked(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
            again = failures(received(batch(*events), s3, place, environ=environ))
            return [events[int(each[1:])] for each in again]

        for _ in range(DELIVERIES_MAX):
            with ThreadPoolExecutor(CONCURRENCY) as functions:
                batches = [queue[first : first + BATCH] for first in range(0, len(queue), BATCH)]
                queue = [event for again in functions.map(invoked, batches) for event in again]
        assert queue == [], "dead letters"
        assert do(s3, place, left, **environ) == (good, set())
        told = [verified(each) for each in receiver.received]
    assert Counter(each["type"] for each in told) == {
        "upload.stored": len(good),
        "upload.rejected": ARRIVALS - len(good),
    }
    assert {each["data"]["key"] for each in told} == sent.keys()
