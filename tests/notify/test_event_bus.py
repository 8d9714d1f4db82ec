"""EventBridge: what moto's passes on to a queue, and every answer that AWS documents."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from image_upload.aws.endpoints import suffix_of
from image_upload.notify.delivery import Delivery, Outcome
from image_upload.notify.event import Event
from image_upload.notify.event_bus import EventBusTarget
from image_upload.settings import load
from image_upload.settings.notify import NotifySettings
from local.embedded_s3 import EmbeddedS3
from tests.notify.receiver import ENVIRON, NOW, Answer, Receiver, event

BUS = "uploads"


def deliver(settings: NotifySettings, events: Sequence[Event], timeout_s: float = 10) -> list[Outcome]:
    async def whole() -> list[Outcome]:
        target = EventBusTarget(settings)
        try:
            return await target.deliver(
                [Delivery(str(each.id), "event_bus", each.type, each.body, 1) for each in events], timeout_s
            )
        finally:
            await target.aclose()

    return asyncio.run(whole())


def settings_for(endpoint: str, bus: str = BUS) -> NotifySettings:
    return load(ENVIRON | {"EVENT_BUS": bus, "AWS_ENDPOINT_URL_EVENTBRIDGE": endpoint}).notify


class Queue:
    """A queue on AWS's API that a rule of the bus fills."""

    def __init__(self, endpoint: str) -> None:
        usual = {"endpoint_url": endpoint, "region_name": ENVIRON["AWS_REGION"],
                 "aws_access_key_id": "x", "aws_secret_access_key": "x"}  # fmt: skip
        self._sqs, self._events = boto3.client("sqs", **usual), boto3.client("events", **usual)
        self.url = self._sqs.create_queue(QueueName="told")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self._events.create_event_bus(Name=BUS)
        pattern = {"source": ["image-upload"], "detail-type": ["upload.stored"]}
        self._events.put_rule(Name="stored", EventBusName=BUS, EventPattern=json.dumps(pattern))
        self._events.put_targets(Rule="stored", EventBusName=BUS, Targets=[{"Id": "1", "Arn": arn}])

    def messages(self) -> list[dict[str, Any]]:
        found = self._sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(each["Body"]) for each in found]

    def close(self) -> None:
        self._events.remove_targets(Rule="stored", EventBusName=BUS, Ids=["1"])
        self._events.delete_rule(Name="stored", EventBusName=BUS)
        self._events.delete_event_bus(Name=BUS)
        self._sqs.delete_queue(QueueUrl=self.url)


@pytest.fixture
def queue(s3: EmbeddedS3) -> Iterator[Queue]:
    """It is on the S3 server of the tests, which is moto's and knows other services, too."""
    made = Queue(s3.endpoint_url)
    yield made
    made.close()


def test_events_reach_the_rules_of_a_bus(s3: EmbeddedS3, queue: Queue) -> None:
    other = Event.about("k", "upload.rejected", NOW)
    events = [event(1), other, event(2)]
    assert deliver(settings_for(s3.endpoint_url), events) == [Outcome("delivered", "200")] * 3
    came = queue.messages()
    assert [each["detail"] for each in came] == [json.loads(each.body) for each in (events[0], events[2])]
    assert {(each["source"], each["detail-type"]) for each in came} == {("image-upload", "upload.stored")}


def test_a_bus_that_is_missing_is_a_failure(s3: EmbeddedS3) -> None:
    (outcome,) = deliver(settings_for(s3.endpoint_url, "missing"), [event()])
    assert outcome.verdict == "failed"


def said(status: int, document: Any) -> Answer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/x-amz-json-1.1")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def origin(hooks: Receiver) -> str:
    return hooks.url.removesuffix("/hooks/uploads")


def test_of_several_events_each_is_accepted_or_refused_by_itself(hooks: Receiver) -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html (Handling failures with PutEvents)."""
    hooks.usual = said(
        200,
        {
            "FailedEntryCount": 2,
            "Entries": [
                {"EventId": "11710aed-b79e-4468-a20b-bb3c0c3b4860"},
                {"ErrorCode": "InternalFailure", "ErrorMessage": "Internal Service Failure"},
                {"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"},
            ],
        },
    )
    assert deliver(settings_for(origin(hooks)), [event(1), event(2), event(3)]) == [
        Outcome("delivered", "200"),
        Outcome("failed", "InternalFailure"),
        Outcome("failed", "ThrottlingException"),
    ]


@pytest.mark.parametrize(
    ("respond", "status"),
    [
        (said(400, {"__type": "com.amazonaws.events#ResourceNotFoundException"}), "400 ResourceNotFoundException"),
        (said(400, {"__type": "AccessDeniedException", "message": "no"}), "400 AccessDeniedException"),
        (said(500, {"__type": "InternalException"}), "500 InternalException"),
        (said(400, {"__type": "<script>"}), "400 unknown"),
        (said(503, b"busy"), "503 not understood"),
        (said(200, b"[" * 60_000), "200 not understood"),
        (said(200, {}), "200 not understood"),
        (said(200, {"Entries": []}), "200 not understood"),
        (said(200, {"Entries": [{}, {}]}), "200 not understood"),
        (said(200, {"Entries": [{}]}), "200 not understood"),
        (said(200, {"Entries": [{"EventId": ""}]}), "200 not understood"),
        (said(200, {"Entries": ["x"]}), "200 not understood"),
        (said(200, {"Entries": [{"EventId": "1"}], "more": "x" * 70_000}), "200 not understood"),
        (said(302, {"Entries": [{"EventId": "1"}]}), "302 not understood"),
    ],
)
def test_only_what_aws_documents_confirms_an_event(hooks: Receiver, respond: Answer, status: str) -> None:
    hooks.usual = respond
    assert deliver(settings_for(origin(hooks)), [event()]) == [Outcome("failed", status)]


def test_a_bus_that_does_not_answer_costs_no_more_than_the_timeout(hooks: Receiver) -> None:
    hooks.usual = hooks.hang
    assert deliver(settings_for(origin(hooks)), [event()], timeout_s=0.3) == [Outcome("failed", "timeout")]
    assert deliver(settings_for("http://127.0.0.1:1"), [event()]) == [Outcome("failed", "ConnectError")]


def test_a_call_is_signed_as_botocore_signs_it(hooks: Receiver) -> None:
    hooks.usual = said(200, {"Entries": [{"EventId": "1"}]})
    bus = "arn:aws:events:us-west-2:123456789012:event-bus/uploads"
    deliver(settings_for(origin(hooks), bus), [event()])
    (came,) = hooks.received
    assert json.loads(came.body)["Entries"] == [
        {"Source": "image-upload", "DetailType": "upload.stored", "Detail": event().body, "EventBusName": bus}
    ]
    names = ("content-type", "x-amz-target", "x-amz-date")
    request = AWSRequest("POST", f"{origin(hooks)}/", {name: came.headers[name] for name in names}, came.body)
    request.context["timestamp"] = came.headers["x-amz-date"]
    signer = SigV4Auth(
        Credentials(ENVIRON["AWS_ACCESS_KEY_ID"], ENVIRON["AWS_SECRET_ACCESS_KEY"]), "events", "us-west-2"
    )
    signer._inject_signature_to_request(
        request, signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    )
    assert came.headers["authorization"] == request.headers["Authorization"]
    assert abs(datetime.now(UTC) - datetime.strptime(came.headers["x-amz-date"], "%Y%m%dT%H%M%S%z")).seconds < 60


@pytest.mark.parametrize("region", ["eu-north-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "us-iso-east-1"])
def test_the_host_of_a_region_is_botocore_s(region: str) -> None:
    client = boto3.client("events", region_name=region, aws_access_key_id="x", aws_secret_access_key="x")
    assert client.meta.endpoint_url == f"https://events.{region}.{suffix_of(region)}"
