"""The service under the real awslambdaric, one process, a Runtime API server of ours on the other side."""

import base64
import gzip
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from image_upload.limits import (
    LAMBDA_ANSWER_MARGIN_S,
    LAMBDA_DEADLINE_MARGIN_S,
    LAMBDA_FORM_MAX_BYTES,
    LAMBDA_RESPONSE_MAX_BYTES,
)
from local.database import local_database
from local.embedded_s3 import EmbeddedS3
from local.replay import read_event, signed
from tests.faults.hostile import Exchange, hostile_store
from tests.runtime.api import WITHIN_S
from tests.runtime.process import ROOT, Function, function
from tests.test_lambda import DOCUMENTED, OTHERS

EVENTS = ROOT / "events"
STORED = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n'
NO_CONTENT = 204
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 6 MB, which is MiB
EVENT_MAX_BYTES = 6 * 1024 * 1024


@pytest.fixture(scope="module")
def service(s3: EmbeddedS3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    """One process for all of these tests: whatever one of them does to it, the next one needs it."""
    with (
        local_database() as database,
        function(tmp_path_factory.mktemp("function"), {**s3.environ, **database}) as running,
    ):
        yield running


def form_event(file: bytes, endpoint_url: str, key: str = "uploads/sample-event.jpg") -> dict[str, Any]:
    """The proxied upload with another file and key in it, and nothing that says how long it is."""
    event = json.loads((EVENTS / "proxied-upload.json").read_text(encoding="utf-8"))
    head, separator, rest = base64.b64decode(event["body"]).partition(b"image/jpeg\r\n\r\n")
    tail = rest[rest.index(b"\r\n------WebKitFormBoundary") :].replace(b"uploads/sample-event.jpg", key.encode())
    event["body"] = base64.b64encode(head + separator + file + tail).decode()
    event = signed(event, endpoint_url)
    del event["headers"]["content-length"]
    return event


def document(answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer["body"]) if answer["statusCode"] != NO_CONTENT else {}
    return found


@pytest.mark.parametrize("file", sorted(OTHERS))
def test_an_event_that_is_no_request_gets_the_documented_answer(file: str, service: Function) -> None:
    assert service.api.answer(json.loads((EVENTS / file).read_text(encoding="utf-8"))) == OTHERS[file]


@pytest.mark.parametrize("file", sorted(DOCUMENTED))
def test_an_event_gets_the_documented_answer(file: str, service: Function, s3: EmbeddedS3) -> None:
    answer = service.api.answer(read_event(EVENTS / file, s3.endpoint_url))
    status, code = DOCUMENTED[file]
    assert (answer["statusCode"], document(answer).get("code")) == (status, code), answer
    assert answer["isBase64Encoded"] is False, "JSON and problem documents are text"
    assert status == NO_CONTENT or answer["body"].endswith("}\n")
    assert not [name for name in answer["headers"] if name.startswith("access-control")]


def test_what_raises_ends_the_invocation_and_not_the_process(service: Function) -> None:
    health = json.loads((EVENTS / "health.json").read_text())
    foreign: list[Any] = [{}, {"Records": [{"eventSource": "aws:sqs"}]}, [], "text", None]
    for nothing_of_ours in foreign:
        assert service.api.invoke(nothing_of_ours).error is not None
    assert service.api.invoke(b"{ this is no JSON").error is not None
    assert service.api.answer(health)["statusCode"] == 200
    assert service.process.poll() is None


def test_an_answer_carries_the_id_that_lambda_logs_the_invocation_by(service: Function) -> None:
    answer = service.api.answer(json.loads((EVENTS / "unknown-path.json").read_text()))
    request_id = answer["headers"]["x-request-id"]
    assert re.fullmatch(r"[0-9a-f-]{36}", request_id)
    assert document(answer)["request_id"] == request_id
    assert f'"request_id":"{request_id}"' in service.said()


def test_a_form_of_any_bytes_up_to_the_limit_is_stored(service: Function, s3: EmbeddedS3) -> None:
    file = (bytes(range(256)) * (LAMBDA_FORM_MAX_BYTES // 256))[: LAMBDA_FORM_MAX_BYTES - 4_096]
    answer = service.api.answer(form_event(file, s3.endpoint_url))
    assert document(answer)["file_size"] == len(file)


def test_a_form_above_the_limit_is_413_whether_or_not_it_says_its_length(service: Function, s3: EmbeddedS3) -> None:
    event = form_event(bytes(LAMBDA_FORM_MAX_BYTES), s3.endpoint_url)
    answer = service.api.answer(event)
    assert (answer["statusCode"], document(answer)["code"]) == (413, "body-too-large")
    # The largest event that Lambda hands over at all.
    event = form_event(b"", s3.endpoint_url)
    event["body"] = base64.b64encode(bytes((EVENT_MAX_BYTES - len(json.dumps(event | {"body": ""}))) // 4 * 3)).decode()
    assert EVENT_MAX_BYTES - 4 < len(json.dumps(event)) <= EVENT_MAX_BYTES
    assert service.api.answer(event)["statusCode"] == 413


def test_a_body_that_is_wrong_in_a_hundred_thousand_places_gets_a_short_answer(service: Function) -> None:
    event = json.loads((EVENTS / "mint.json").read_text())
    event["rawPath"] = event["requestContext"]["http"]["path"] = "/uploads/batch"
    event["body"] = json.dumps({"uploads": [{"size": ["x"] * 100}] * 1_000})
    event["headers"]["content-length"] = str(len(event["body"]))
    answer = service.api.answer(event)
    assert (answer["statusCode"], document(answer)["code"]) == (422, "validation-failed")
    assert len(document(answer)["errors"]) == 100
    assert document(answer)["detail"].endswith("; and 2900 more.")


def test_the_page_of_routes_and_its_files_fit_into_answers_compressed_or_not(service: Function) -> None:
    event = json.loads((EVENTS / "health.json").read_text())
    page = service.api.answer({**event, "rawPath": "/docs"})
    assert page["isBase64Encoded"] is False
    (bundle,) = re.findall(r'src="(docs/[^"]+/swagger-ui-bundle.js)"', page["body"])
    bodies = []
    for accepted in ("identity", "gzip"):
        headers = {**event["headers"], "accept-encoding": accepted}
        answer = service.api.answer({**event, "rawPath": f"/{bundle}", "headers": headers})
        assert answer["statusCode"] == 200
        assert len(json.dumps(answer)) < LAMBDA_RESPONSE_MAX_BYTES
        body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
        assert answer["headers"].get("content-encoding", "identity") == accepted
        bodies.append(gzip.decompress(body) if accepted == "gzip" else body)
    assert bodies[0] == bodies[1]
    assert b"SwaggerUIBundle" in bodies[0]


def test_nothing_is_left_behind_on_the_disk(service: Function) -> None:
    """Last of those that share the process. That nothing is written at all is shown by the image's tests."""
    assert list(service.temporary.iterdir()) == []


def test_an_answer_that_lambda_cannot_carry_becomes_a_500(tmp_path: Path, s3: EmbeddedS3) -> None:
    event = json.loads((EVENTS / "health.json").read_text())
    with function(tmp_path, s3.environ, handler="tests.runtime.handlers.guarded", forks=True) as running:
        fits = running.api.answer({**event, "rawQueryString": str(LAMBDA_RESPONSE_MAX_BYTES - 500)})
        assert fits["statusCode"] == 200
        answer = running.api.answer({**event, "rawQueryString": str(LAMBDA_RESPONSE_MAX_BYTES)})
        assert (answer["statusCode"], document(answer)["code"]) == (500, "internal-error")
        assert answer["headers"]["x-request-id"] == document(answer)["request_id"] == "request-1"
        assert "answer too large for Lambda" in running.said()
        assert running.api.refused == []


def test_without_the_guard_such_an_answer_would_end_the_process(tmp_path: Path, s3: EmbeddedS3) -> None:
    event = json.loads((EVENTS / "health.json").read_text())
    with function(tmp_path, s3.environ, handler="tests.runtime.handlers.unguarded", forks=True) as running:
        running.api.send({**event, "rawQueryString": str(LAMBDA_RESPONSE_MAX_BYTES)})
        assert running.process.wait(WITHIN_S) != 0
        assert len(running.api.refused) == 1


def test_a_binary_answer_arrives_byte_for_byte(tmp_path: Path, s3: EmbeddedS3) -> None:
    with function(tmp_path, s3.environ, handler="tests.runtime.handlers.guarded", forks=True) as running:
        answer = running.api.answer(json.loads((EVENTS / "health.json").read_text()))
    assert answer["isBase64Encoded"] is True
    assert base64.b64decode(answer["body"], validate=True) == bytes(range(256))


def test_wrong_settings_are_reported_once_in_one_message_and_the_process_ends(tmp_path: Path) -> None:
    with function(tmp_path, {}, ENVIRONMENT="production", JWT_SECRET="short") as running:
        assert running.process.wait(WITHIN_S) == 1
        (error,) = running.api.init_errors
        assert running.api.polls == []
    assert error["errorType"] == "SettingsError"
    for fault in ("S3_BUCKET_NAME: missing", "AWS_REGION: missing", "JWT_SECRET: shorter than 32 bytes"):
        assert fault in error["errorMessage"]
    said = running.said()
    assert said.count("The service cannot start: 3 settings are missing or wrong.") == 1
    assert "short\n" not in said, "a secret is not repeated"
    assert "pydantic" not in said


def test_an_s3_that_does_not_answer_is_504_before_the_deadline(tmp_path: Path, s3: EmbeddedS3) -> None:
    timeout_s = LAMBDA_DEADLINE_MARGIN_S + 1
    with hostile_store() as store:
        store.play(Exchange.stall)
        with function(tmp_path, {**s3.environ, "AWS_S3_ENDPOINT_URL": store.endpoint_url}, forks=True) as running:
            running.api.wait_for_polls(1)
            began = time.monotonic()
            event = read_event(EVENTS / "proxied-upload.json", store.endpoint_url)
            outcome = running.api.invoke(event, timeout_s=timeout_s)
        store.end()
    assert outcome.answer is not None
    assert (outcome.answer["statusCode"], document(outcome.answer)["code"]) == (504, "upload-timed-out")
    assert outcome.at - began < timeout_s
    assert len(store.exchanges) == 1


@pytest.mark.parametrize("path", ["/uploads", "/images/uploads/a.jpg/metadata"])
def test_a_silent_s3_is_answered_before_the_deadline_also_without_a_form(
    tmp_path: Path, s3: EmbeddedS3, path: str
) -> None:
    timeout_s = LAMBDA_ANSWER_MARGIN_S + 2
    event = json.loads((EVENTS / "mint.json").read_text(encoding="utf-8"))
    spec = {"filename": "a.bin", "contentType": "a/b", "size": 1 << 30, "purpose": "file", "accepts": ["multipart"]}
    del event["headers"]["content-length"]
    event |= {"rawPath": path, "body": json.dumps(spec)}
    event["requestContext"]["http"] |= {"path": path, "method": "POST" if path == "/uploads" else "GET"}
    with hostile_store() as store:
        store.play(*[Exchange.stall] * 5)
        with function(tmp_path, {**s3.environ, "AWS_S3_ENDPOINT_URL": store.endpoint_url}, forks=True) as running:
            running.api.wait_for_polls(1)
            began = time.monotonic()
            outcome = running.api.invoke(event, timeout_s=timeout_s)
        store.end()
    assert outcome.answer is not None
    assert (outcome.answer["statusCode"], document(outcome.answer)["code"]) == (504, "storage-timed-out")
    assert outcome.at - began < timeout_s


@pytest.mark.full
def test_warm_invocations_keep_their_connection_to_s3(tmp_path: Path, s3: EmbeddedS3) -> None:
    def store_three(exchange: Exchange) -> None:
        for _ in range(3):
            exchange.line, exchange.received_bytes = "", 0
            exchange.store(STORED)

    with hostile_store() as store:
        store.play(store_three)
        with function(tmp_path, {**s3.environ, "AWS_S3_ENDPOINT_URL": store.endpoint_url}, forks=True) as running:
            event = read_event(EVENTS / "proxied-upload.json", store.endpoint_url)
            assert [running.api.answer(event)["statusCode"] for _ in range(3)] == [200, 200, 200]
        store.end()
    assert len(store.exchanges) == 1
