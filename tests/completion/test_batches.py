"""Batches of the queue between S3 and the function: what fails, fails alone, and comes again."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from image_upload.completion.context import CompletionContext
from image_upload.completion.events import UnknownEvent
from image_upload.database.values import Record
from image_upload.limits import ARRIVAL_MAX_CHARS
from image_upload.outbound import retry
from local.embedded_s3 import EmbeddedS3
from local.ports import claim_port
from tests.cli.altered import Answer, Asked, altered, denied
from tests.completion.stores import do, expected_object
from tests.completion.test_events import created, notification, received, sample, states, stored_rows
from tests.database.databases import Place

WITHIN_S = 30.0
TEST_EVENT = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": "2026-11-20T09:00:00Z",
    "Bucket": "local-uploads",
}


def batch(*bodies: Any) -> dict[str, Any]:
    """What Lambda hands over of a queue; a body that is no text is written as JSON. The ids are m0, m1 and so on."""
    event = sample("arrivals.json")
    texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return {
        "Records": [
            event["Records"][0] | {"messageId": f"m{number}", "body": text} for number, text in enumerate(texts)
        ]
    }


def failures(answer: dict[str, Any]) -> list[str]:
    """The ids of the messages that come again."""
    assert answer.keys() == {"batchItemFailures"}
    assert all(each.keys() == {"itemIdentifier"} for each in answer["batchItemFailures"])
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.01)


def test_a_batch_settles_what_both_kinds_of_event_tell_of(s3: EmbeddedS3, place: Place) -> None:
    one, two, three = stored_rows(s3, place, 3)
    event = batch(created(one.expected_object.key), notification(two.expected_object.key, three.expected_object.key))
    assert failures(received(event, s3, place)) == []
    assert states(place) == [("stored", 3)]


def test_what_needs_nothing_is_done_with(s3: EmbeddedS3, place: Place) -> None:
    (row,) = stored_rows(s3, place)
    event = batch(
        TEST_EVENT,
        created(row.expected_object.key) | {"detail-type": "Object Deleted"},
        notification(row.expected_object.key, name="ObjectRemoved:Delete"),
        created("uploads/no-row.jpg"),
        created("uploads/no\0row.jpg"),
        created("uploads/\ud800.jpg"),
        created("/" + "x" * 2_000),
    )
    assert failures(received(event, s3, place)) == []
    assert states(place) == [("pending", 1)]


@pytest.mark.parametrize(
    "poison",
    [
        "",
        "not JSON",
        "[" * 100_000,
        "null",
        "[]",
        {},
        {"Records": []},
        {"Records": [None]},
        {"Records": [{"eventSource": "aws:s3"}]},
        {"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": "{}"}]},
        {"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": {"name": "local-uploads"}}},
        {"source": "aws.ec2", "detail-type": "Object Created"},
        {"operation": "migrate"},
        notification("uploads/a.jpg", bucket="another-bucket"),
        created("uploads/a.jpg") | {"padding": "x" * ARRIVAL_MAX_CHARS},
    ],
    ids=lambda poison: json.dumps(poison)[:40],
)
def test_a_poisoned_message_fails_alone(poison: Any, s3: EmbeddedS3, place: Place) -> None:
    before, after = stored_rows(s3, place, 2)
    event = batch(created(before.expected_object.key), poison, created(after.expected_object.key))
    assert failures(received(event, s3, place)) == ["m1"]
    assert states(place) == [("stored", 2)]


def test_the_log_says_why_and_quotes_nothing(s3: EmbeddedS3, place: Place, caplog: pytest.LogCaptureFixture) -> None:
    received(batch("secret, and no JSON"), s3, place)
    (line,) = [each for each in caplog.records if each.message == "a message cannot be handled"]
    assert line.__dict__["fields"] == {"message": "m0", "reason": "it is not JSON"}
    assert "secret" not in caplog.text


@pytest.mark.parametrize("foreign", [None, {}, {"eventSource": "aws:sqs", "body": "{}"}, {"eventSource": "aws:s3"}])
def test_a_batch_that_lambda_cannot_have_sent_is_refused_as_a_whole(foreign: Any, s3: EmbeddedS3) -> None:
    event = batch("{}")
    with pytest.raises(UnknownEvent, match="batches of an SQS queue"):
        received({"Records": [*event["Records"], foreign]}, s3, None)


@pytest.mark.usefixtures("quick_retries")
def test_where_s3_fails_for_one_object_only_its_message_comes_again(s3: EmbeddedS3, place: Place) -> None:
    fine, failing = stored_rows(s3, place, 2)
    event = batch(created(failing.expected_object.key), created(fine.expected_object.key))

    def one_is_away(asked: Asked, behind: Callable[[], Answer]) -> Answer:
        return denied("SlowDown", 503) if failing.expected_object.key[:39] in asked.target else behind()

    with altered(s3.endpoint_url, one_is_away) as url:
        assert failures(received(event, EmbeddedS3(url), place)) == ["m0"]
    assert states(place) == [("pending", 1), ("stored", 1)]
    assert failures(received(event, s3, place)) == []
    assert states(place) == [("stored", 2)]


def test_where_the_database_is_away_every_message_comes_again_and_nothing_is_raised(s3: EmbeddedS3) -> None:
    with claim_port("127.0.0.1", 0, "PORT") as listening:
        port = listening.getsockname()[1]
    away = Place(f"postgresql://user:password@127.0.0.1:{port}/database")
    assert failures(received(batch(created("uploads/a.jpg"), "poison"), s3, away)) == ["m0", "m1"]


def test_without_a_database_nothing_is_lost(s3: EmbeddedS3) -> None:
    assert failures(received(batch(created("uploads/a.jpg"), TEST_EVENT), s3, None)) == ["m0", "m1"]


@pytest.fixture
def stuck(s3: EmbeddedS3) -> Iterator[Callable[[Record], str]]:
    """An S3 that does not answer about one object, and about all others as ever; where it is."""
    released = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retry, "BACKOFF_FIRST_S", 0.01)
        named: list[str] = []

        def silent(asked: Asked, behind: Callable[[], Answer]) -> Answer:
            if any(key in asked.target for key in named):
                released.wait(WITHIN_S)
            return behind()

        with altered(s3.endpoint_url, silent) as url:

            def about(row: Record) -> str:
                named.append(row.expected_object.key[:39])
                return url

            try:
                yield about
            finally:
                released.set()


def test_what_is_not_done_when_the_time_is_over_comes_again(
    s3: EmbeddedS3, place: Place, stuck: Callable[[Record], str], caplog: pytest.LogCaptureFixture
) -> None:
    slow, quick = stored_rows(s3, place, 2)
    event = batch(created(slow.expected_object.key), created(quick.expected_object.key))
    url = stuck(slow)
    # Two seconds of it are kept back; the other three are plenty for the second message.
    assert failures(received(event, EmbeddedS3(url), place, remaining_ms=5_000)) == ["m0"]
    assert "the time was over" in caplog.text, "not S3's own time-out"
    assert states(place) == [("pending", 1), ("stored", 1)]


def test_a_batch_that_comes_too_late_is_not_begun(s3: EmbeddedS3, place: Place) -> None:
    (row,) = stored_rows(s3, place)
    assert failures(received(batch(created(row.expected_object.key)), s3, place, remaining_ms=2_000)) == ["m0"]
    assert states(place) == [("pending", 1)]


def test_repeated_messages_at_once_and_later_change_nothing(s3: EmbeddedS3, place: Place) -> None:
    rows = stored_rows(s3, place, 3)
    event = batch(*[created(row.expected_object.key) for row in rows] * 4)
    assert failures(received(event, s3, place)) == []
    before = place.sql("SELECT id, state, updated_at FROM uploads ORDER BY id")
    assert {state for _, state, _ in before} == {"stored"}
    event["Records"].reverse()
    assert failures(received(event, s3, place)) == []
    assert place.sql("SELECT id, state, updated_at FROM uploads ORDER BY id") == before


def test_a_message_that_overtakes_its_object_leaves_the_row_to_the_next_one(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> Record:
        return await context.database.records.insert("post", expected_object())

    row = do(s3, place, work)
    assert failures(received(batch(created(row.expected_object.key)), s3, place)) == []
    assert states(place) == [("pending", 1)]
