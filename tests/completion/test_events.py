"""What Lambda is called with beside HTTP, through `upload.handler` as Lambda loads it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from image_upload.completion.context import CompletionContext
from image_upload.completion.events import Incomplete, UnknownEvent, receive
from image_upload.database.values import Record
from image_upload.outbound import retry
from local.embedded_s3 import BUCKET, EmbeddedS3
from local.replay import Context
from tests.completion.stores import do, expected_object, put
from tests.completion.test_sweeping import rows
from tests.conftest import settings_for
from tests.database.databases import Place
from tests.faults.hostile import answering, hostile_store, raw

ROOT = Path(__file__).resolve().parents[2]
EVENTS = ROOT / "events"


def sample(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / name).read_text(encoding="utf-8"))
    return event


def notification(*keys: str, bucket: str = BUCKET, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    """What S3 sends to a function: keys encoded as in a form, the slash left alone."""
    event = sample("s3-notification.json")
    (record,) = event["Records"]

    def of(key: str) -> dict[str, Any]:
        told = {**record["s3"], "bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/")}}
        return {**record, "eventName": name, "s3": told}

    return {"Records": [of(key) for key in keys]}


def created(key: str, bucket: str = BUCKET) -> dict[str, Any]:
    """What EventBridge sends: the key as it is."""
    event = sample("s3-object-created.json")
    return event | {"detail": event["detail"] | {"object": {"key": key}, "bucket": {"name": bucket}}}


def received(
    event: dict[str, Any],
    s3: EmbeddedS3,
    place: Place | None,
    remaining_ms: int = 30_000,
    environ: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """`receive` on a loop of its own, as the main thread of Lambda has it."""
    settings = settings_for(s3, **({"DATABASE_URL": place.url} if place else {}), **(environ or {}))
    context = CompletionContext(settings)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return receive(event, Context("id", remaining_ms), context)
    finally:
        loop.run_until_complete(context.aclose())
        asyncio.set_event_loop(None)
        loop.close()


def stored_rows(s3: EmbeddedS3, place: Place, count: int = 1) -> list[Record]:
    """Pending rows whose objects are there; the keys hold what has to be encoded."""

    async def work(context: CompletionContext) -> list[Record]:
        found = [await context.database.records.insert("post", expected_object()) for _ in range(count)]
        for row in found:
            await put(context, row.expected_object.key)
        return found

    return do(s3, place, work)


def states(place: Place) -> list[tuple[Any, ...]]:
    return place.sql("SELECT state, count(*) FROM uploads GROUP BY state ORDER BY state")


def test_a_notification_settles_its_records_and_a_repeated_one_changes_nothing(s3: EmbeddedS3, place: Place) -> None:
    event = notification(*(row.expected_object.key for row in stored_rows(s3, place, 2)), "uploads/somebody's.jpg")
    assert received(event, s3, place) == {"stored": 2, "unknown": 1}
    before = place.sql("SELECT id, updated_at FROM uploads ORDER BY id")
    assert received(event, s3, place) == {"stored": 2, "unknown": 1}
    assert place.sql("SELECT id, updated_at FROM uploads ORDER BY id") == before


def test_eventbridge_names_the_key_as_it_is(s3: EmbeddedS3, place: Place) -> None:
    (row,) = stored_rows(s3, place)
    assert "+" in row.expected_object.key
    assert received(created(row.expected_object.key), s3, place) == {"stored": 1}


def test_an_event_that_comes_before_its_row_or_after_the_object_has_gone_does_no_harm(
    s3: EmbeddedS3, place: Place
) -> None:
    async def work(context: CompletionContext) -> Record:
        return await context.database.records.insert("post", expected_object())

    row = do(s3, place, work)
    assert received(created(row.expected_object.key), s3, place) == {"pending": 1}
    assert received(created("uploads/not-yet.jpg"), s3, place) == {"unknown": 1}


def test_other_buckets_and_other_news_are_left_alone(s3: EmbeddedS3, place: Place) -> None:
    (row,) = stored_rows(s3, place)
    assert received(notification(row.expected_object.key, bucket="another-bucket"), s3, place) == {}
    assert received(notification(row.expected_object.key, name="ObjectRemoved:Delete"), s3, place) == {}
    assert states(place) == [("pending", 1)]


def test_a_schedule_sweeps(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> None:
        await rows(context, 2)

    do(s3, place, work)
    assert received(sample("schedule.json"), s3, place) == {"expired": 2}
    assert received(sample("schedule.json"), s3, place) == {}


@pytest.mark.parametrize("event", ["schedule.json", "s3-notification.json", "s3-object-created.json"])
def test_without_a_database_there_is_nothing_to_do(event: str, s3: EmbeddedS3) -> None:
    assert received(sample(event), s3, None) == {}


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"Records": []},
        {"Records": [{"eventSource": "aws:sqs"}]},
        {"source": "aws.ec2", "detail-type": "x"},
        {"a": 1},
    ],
)
def test_an_event_for_another_function_is_refused_with_what_would_do(event: dict[str, Any], s3: EmbeddedS3) -> None:
    with pytest.raises(UnknownEvent, match="Function URL, S3 event notifications"):
        received(event, s3, None)


def test_what_could_not_be_settled_is_raised_so_that_lambda_calls_again(
    s3: EmbeddedS3, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.01)
    found = stored_rows(s3, place, 2)
    event = notification(*(row.expected_object.key for row in found))
    with hostile_store() as store:
        store.play(*[answering(raw(503))] * 20)
        with pytest.raises(Incomplete, match="2 of 2 records"):
            received(event, EmbeddedS3(store.endpoint_url), place)
    assert states(place) == [("pending", 2)]
    assert received(event, s3, place) == {"stored": 2}


def test_a_scheduled_sweep_ends_before_lambdas_deadline(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> None:
        await rows(context, 2)

    do(s3, place, work)
    assert received(sample("schedule.json"), s3, place, remaining_ms=2_000) == {}
    assert states(place) == [("pending", 2)]


def test_requests_and_events_share_one_loop_and_one_connection(s3: EmbeddedS3, place: Place) -> None:
    """One process, as Lambda keeps it: a post by HTTP, an event about it, its row by HTTP, the schedule."""
    program = f"""
import json, sys, urllib.request
import upload
from local.replay import Context

def http(method, path, body=None):
    event = json.load(open("events/mint.json"))
    event["rawPath"] = path
    event["requestContext"]["http"] |= {{"method": method, "path": path}}
    event["body"] = json.dumps(body) if body else ""
    event["headers"].pop("content-length")
    answer = upload.handler(event, Context("id"))
    return json.loads(answer["body"])

post = http("POST", "/posts", {{"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5}})
request = urllib.request.Request(post["presignedUrl"], b"five!", post["headers"], method="PUT")
urllib.request.urlopen(request).close()
event = json.load(open("events/s3-object-created.json"))
event["detail"]["bucket"]["name"], event["detail"]["object"]["key"] = {BUCKET!r}, post["imageKey"]
told = [upload.handler(event, Context("id")) for _ in range(2)]
row = http("GET", f"/posts/{{post['id']}}")
swept = upload.handler(json.load(open("events/schedule.json")), Context("id"))
print(json.dumps([told, row["state"], swept]))
"""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environ |= {"ENVIRONMENT": "local", "AWS_LAMBDA_FUNCTION_NAME": "f", "DATABASE_URL": place.url, **s3.environ}
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", program],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[{"stored": 1}] * 2, "stored", {}]
    assert quote("X-Amz-Signature") not in done.stderr
