"""Traces, as a collector receives them over HTTP."""

import asyncio
import json
import logging
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from image_upload.jobs.task import Task
from image_upload.limits import SPANS_ANSWER_MAX_BYTES, SPANS_BATCH, SPANS_WAITING_MAX
from image_upload.outbound.collector import Collector as HttpCollector
from image_upload.telemetry import ongoing, trace
from image_upload.telemetry.metrics import SPANS
from image_upload.telemetry.ongoing import Ongoing
from image_upload.telemetry.otlp import CLIENT, SERVER
from image_upload.telemetry.prometheus import Registry
from image_upload.telemetry.tracing import Tracer
from local.embedded_s3 import EmbeddedS3
from tests.conftest import Start
from tests.database.databases import Place
from tests.faults.watching import eventually
from tests.jobs.queues import sqs
from tests.jobs.test_tasks import SECRET as JWT_SECRET
from tests.jobs.test_tasks import scan, stored
from tests.notify.receiver import SECRET, Receiver, answer, receiver
from tests.telemetry.collector import Collector, Span, collector, spans_of
from tests.telemetry.scraped import samples, value
from tests.telemetry.test_trace_context import SPAN_ID, TRACE_ID, VALID
from tests.usage.redis_server import redis

SPEC = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5, "metadata": {"owner": "alice@example.com"}}


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def collecting() -> Iterator[Collector]:
    with collector() as running:
        yield running


def arrived(collecting: Collector, route: str) -> Span:
    """The span of the last request for a route, once it is there."""
    found: list[Span] = []

    def is_there() -> bool:
        found[:] = [span for span in collecting.spans if span.name == route]
        return bool(found)

    eventually(is_there, f"no span of {route}", within_s=20)
    return found[-1]


def test_an_upload_is_one_trace_from_the_browser_to_database_and_s3(
    start: Start, web: httpx.Client, collecting: Collector, place: Place
) -> None:
    service = start(TRACES_ENDPOINT=collecting.url, DATABASE_URL=place.url)
    browser = {"traceparent": VALID.decode(), "tracestate": "vendor=secret"}
    post = web.post(f"{service}/posts", json=SPEC, headers=browser).json()
    web.put(post["presignedUrl"], content=b"12345", headers=post["headers"]).raise_for_status()
    web.post(f"{service}/posts/{post['id']}/complete", headers=browser).raise_for_status()

    ended = arrived(collecting, "POST /posts/{post_id}/complete")
    begun = arrived(collecting, "POST /posts")
    assert collecting.paths == {"/v1/traces"}
    for root in (begun, ended):
        assert (root.trace_id, root.parent_id, root.kind, root.failed) == (TRACE_ID, SPAN_ID, SERVER, False)
    assert begun.attributes["http.request.method"] == "POST"
    assert begun.attributes["http.route"] == "/posts"
    assert begun.attributes["http.response.status_code"] == 201
    below = [span for span in collecting.spans if span.parent_id == ended.span_id]
    assert {"HeadObject", "Records.settle"} <= {span.name for span in below}
    for span in below:
        assert (span.trace_id, span.kind, span.failed) == (TRACE_ID, CLIENT, False)
        assert ended.began_ns <= span.began_ns <= span.ended_ns <= ended.ended_ns
    systems = {span.attributes.get("db.system.name") or span.attributes["rpc.service"] for span in below}
    assert systems == {"S3", "sqlite" if place.is_sqlite else "postgresql"}
    ids = [span.span_id for span in collecting.spans]
    assert len(set(ids)) == len(ids)


def below_with(collecting: Collector, name: str) -> Span:
    """The first span of a call with this name, once it is there."""
    eventually(lambda: any(span.name == name for span in collecting.spans), f"no span of {name}", within_s=20)
    (span, *_) = (span for span in collecting.spans if span.name == name)
    assert span.parent_id in {other.span_id for other in collecting.spans if other.trace_id == span.trace_id}
    return span


def test_a_webhook_an_event_and_a_task_have_spans(
    start: Start, web: httpx.Client, collecting: Collector, hooks: Receiver, s3: EmbeddedS3
) -> None:
    hooks.usual = answer(500)
    with sqs(s3) as queue:
        service = start(
            TRACES_ENDPOINT=collecting.url,
            WEBHOOK_URL=hooks.url,
            WEBHOOK_SECRET=SECRET,
            EVENT_BUS="missing",
            AWS_ENDPOINT_URL_EVENTBRIDGE=s3.endpoint_url,
            QUEUE_URL=queue.url,
            JWT_SECRET=JWT_SECRET,
        )
        assert scan(web, service, stored(web, service, "jane")).status_code == 202
        form = {"file": ("cat.jpg", b"12345", "image/jpeg")}
        web.post(f"{service}/api/v1/s3/upload", files=form).raise_for_status()
        sent = {name: below_with(collecting, name) for name in ("SendMessage", "PutEvents", "webhook")}
    assert sent["SendMessage"].attributes["rpc.service"] == "SQS"
    assert not sent["SendMessage"].failed
    assert sent["PutEvents"].attributes["rpc.service"] == "EventBridge"
    assert sent["webhook"].failed


@pytest.mark.needs("redis")
def test_a_rate_that_redis_counts_has_a_span(start: Start, web: httpx.Client, collecting: Collector) -> None:
    with redis() as store:
        service = start(TRACES_ENDPOINT=collecting.url, REDIS_URL=store.url, RATE_LIMIT_PER_ADDRESS="9/hour")
        web.post(f"{service}/uploads", json=SPEC).raise_for_status()
        counted = below_with(collecting, "SharedWindows.hit")
        assert (counted.attributes["db.system.name"], counted.attributes["outcome"]) == ("redis", "ok")


def test_no_span_tells_a_key_a_name_a_token_or_a_query(start: Start, web: httpx.Client, collecting: Collector) -> None:
    service = start(TRACES_ENDPOINT=collecting.url)
    plan = web.post(f"{service}/uploads", json=SPEC).json()
    key = plan["objectKey"]
    web.put(plan["presignedUrl"], content=b"12345", headers=plan["headers"]).raise_for_status()
    web.get(f"{service}/images/{key}/metadata", params={"secret": "in-a-query"})
    web.get(f"{service}/u/token-in-a-path/s3/params?filename=name-of-a-file.jpg&type=image/jpeg")
    web.get(f"{service}/no-route/alice", headers={"Authorization": "Bearer token-in-a-header"})
    web.request("PURGE", f"{service}/uploads")
    eventually(lambda: len(collecting.spans) >= 6, "not all spans", within_s=20)
    sent = b"".join(collecting.bodies)
    assert b"/images/{key}/metadata" in sent, "texts are sent as they are"
    for secret in (key.rpartition("/")[2], "X-Amz", "in-a", "name-of", "alice", "cat.jpg", "PURGE", "vendor=secret"):
        assert secret.encode() not in sent


def test_without_a_collector_a_webhook_has_the_trace_of_its_request(
    start: Start, web: httpx.Client, hooks: Receiver
) -> None:
    service = start(WEBHOOK_URL=hooks.url, WEBHOOK_SECRET=SECRET)
    form = {"file": ("cat.jpg", b"12345", "image/jpeg")}
    web.post(f"{service}/api/v1/s3/upload", files=form, headers={"traceparent": VALID.decode()}).raise_for_status()
    (received,) = hooks.wait_for(1)
    assert received.headers["traceparent"] == VALID.decode()


def test_the_id_of_a_request_is_that_of_the_trace_that_begins_with_it(
    start: Start, web: httpx.Client, collecting: Collector
) -> None:
    service = start(TRACES_ENDPOINT=collecting.url)
    begun = web.post(f"{service}/uploads", json=SPEC).headers["x-request-id"]
    assert arrived(collecting, "POST /uploads").trace_id == begun
    browser = {"traceparent": VALID.decode()}
    # A trace has many requests, so one that goes on with it has an id of its own; so has one that has no trace.
    ids = {web.get(f"{service}/errors", headers=browser).headers["x-request-id"] for _ in "ab"}
    ids |= {web.get(f"{start()}/errors", headers=each).headers["x-request-id"] for each in ({}, browser)}
    assert len(ids) == 4
    assert TRACE_ID not in ids
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


def test_a_message_for_a_worker_has_the_trace_of_its_request() -> None:
    task = Task("look", "photos/a.jpg", "user-1")
    made: dict[str, Any] = {
        "url": "https://cdn.example.com/a",
        "is_picture": True,
        "token": "upj1.x",
        "result_url": "/jobs/1/result",
    }
    assert "traceparent" not in json.loads(task.message(**made))
    before = ongoing.current.set(Ongoing(trace.parse(VALID), None, None))
    try:
        assert json.loads(task.message(**made))["traceparent"] == VALID.decode()
    finally:
        ongoing.current.reset(before)


def test_a_client_cannot_make_a_trace_be_sent(start: Start, web: httpx.Client, collecting: Collector) -> None:
    service = start(TRACES_ENDPOINT=collecting.url, TRACES_RATIO="0")
    web.post(f"{service}/uploads", json=SPEC, headers={"traceparent": VALID.decode()}).raise_for_status()
    assert value(samples(web.get(f"{service}/metrics").text), "requests_total", route="POST /uploads", outcome="200")
    assert not collecting.bodies


class Refusing:
    """A collector that is slower than the service."""

    def __init__(self) -> None:
        self.documents: list[bytes] = []

    async def send(self, document: bytes) -> bool:
        self.documents.append(document)
        return False

    async def aclose(self) -> None:
        """Nothing is open."""


def test_a_collector_that_takes_nothing_costs_bounded_memory_and_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    registry, refusing = Registry(), Refusing()

    async def spans() -> None:
        tracer = Tracer(1.0, refusing, registry, on_lambda=False)
        for _ in range(SPANS_WAITING_MAX + 10):
            tracer.add_request(tracer.begin(None), "GET /", 200, time.time_ns(), 0.1, problem=None)
        await tracer.aclose()

    with caplog.at_level(logging.WARNING):
        asyncio.run(spans())
    sent = [len(list(spans_of(document))) for document in refusing.documents]
    assert sent == [SPANS_BATCH], "it is not asked again and again"
    assert value(samples(registry.text([])), SPANS.name, outcome="lost") == SPANS_WAITING_MAX + 10
    assert [record.getMessage() for record in caplog.records] == ["spans were not sent to the collector"]


@pytest.mark.parametrize(("answers_with", "connections"), [(b"{}", 1), (b"x" * (SPANS_ANSWER_MAX_BYTES + 1), 3)])
def test_documents_share_a_connection_unless_an_answer_is_long(
    collecting: Collector, answers_with: bytes, connections: int
) -> None:
    collecting.answer = answers_with

    async def send() -> None:
        sender = HttpCollector(collecting.url)
        tracer = Tracer(1.0, sender, None, on_lambda=True)
        for _ in range(3):
            tracer.add_request(tracer.begin(None), "GET /", 200, time.time_ns(), 0.1, problem=None)
            await tracer.flush()
        await tracer.aclose()

    asyncio.run(send())
    assert (len(collecting.spans), collecting.connections) == (3, connections)


def test_a_share_of_the_traces_is_sent_the_same_by_every_service() -> None:
    tracers = [Tracer(ratio, Refusing(), None, on_lambda=True) for ratio in (0.25, 0.25, 0.5)]
    chosen = []
    for number in range(2000):
        received = trace.parse(
            f"00-{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128 or 1:032x}-{SPAN_ID}-00".encode()
        )
        chosen.append([tracer.begin(received).tracer is tracer for tracer in tracers])
    assert all(first == second for first, second, _ in chosen)
    assert all(half for quarter, _, half in chosen if quarter)
    assert 400 < sum(quarter for quarter, _, _ in chosen) < 600


def test_an_unreachable_collector_changes_no_answer(start: Start, web: httpx.Client, collecting: Collector) -> None:
    collecting.status = 503
    service = start(TRACES_ENDPOINT=collecting.url)
    web.post(f"{service}/uploads", json=SPEC).raise_for_status()
    eventually(
        lambda: value(samples(web.get(f"{service}/metrics").text), "spans_total", outcome="lost") > 0,
        "nothing is lost",
        within_s=20,
    )
