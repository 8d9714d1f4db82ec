"""On Lambda metrics are members of log lines, in CloudWatch's embedded metric format."""

import json
import time
from pathlib import Path
from typing import Any

from image_upload.telemetry.emf import Invocation
from image_upload.telemetry.metrics import QUEUE_AGE, REQUEST_SECONDS, REQUESTS, S3_CALLS, S3_SECONDS, STARTS, UPLOADS
from local.embedded_s3 import EmbeddedS3
from local.replay import read_event
from tests.runtime.process import function
from tests.test_docs import ROOT

EVENTS = ROOT / "events"
NAMESPACE = "ImageUpload/uploads-production"


def checked(document: dict[str, Any]) -> dict[str, Any]:
    """A document, which is as CloudWatch takes it; returns its own members.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    metadata = document["_aws"]
    assert isinstance(metadata["Timestamp"], int)
    named = set()
    for directive in metadata["CloudWatchMetrics"]:
        assert directive["Namespace"] == NAMESPACE
        for dimensions in directive["Dimensions"]:
            assert len(dimensions) <= 30
            for dimension in dimensions:
                assert isinstance(document[dimension], str)
                assert 1 <= len(document[dimension]) <= 1024
        assert 1 <= len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            values = document[metric["Name"]]
            assert all(isinstance(each, int | float) for each in (values if isinstance(values, list) else [values]))
            assert not isinstance(values, list) or len(values) <= 100
            assert metric["Unit"] in ("Count", "Seconds", "Bytes")
            named.add(metric["Name"])
    own = {name: value for name, value in document.items() if name in named}
    assert len(own) == len(named)
    return own


def documents_of(invocation: Invocation) -> list[dict[str, Any]]:
    return [json.loads(f"{{{members}}}") for members in invocation.documents()]


def test_what_differs_in_a_label_is_in_another_document() -> None:
    invocation = Invocation("uploads-production")
    for outcome in ("ok", "ok", "failed"):
        invocation.record(S3_CALLS, 1, ("HeadObject", outcome))
        invocation.record(S3_SECONDS, 0.5, ("HeadObject",))
    first, second = documents_of(invocation)
    assert checked(first) == {STARTS.name: 1, S3_CALLS.name: 2, S3_SECONDS.name: [0.5, 0.5, 0.5]}
    assert (first["operation"], first["outcome"]) == ("HeadObject", "ok")
    assert checked(second) == {S3_CALLS.name: 1}
    assert second["outcome"] == "failed"
    assert invocation.documents() == []


def test_no_array_is_longer_than_cloudwatch_takes() -> None:
    invocation = Invocation("uploads-production")
    for _ in range(250):
        invocation.record(S3_SECONDS, 0.5, ("UploadPart",))
    assert sorted(len(checked(each)[S3_SECONDS.name]) for each in documents_of(invocation)) == [50, 100, 100]


def test_a_mint_s_metrics_are_in_the_line_that_it_writes_anyway(s3: EmbeddedS3, tmp_path: Path) -> None:
    health = read_event(EVENTS / "health.json", s3.endpoint_url)
    scrape = {**health, "rawPath": "/metrics"}
    arrivals = json.loads((EVENTS / "arrivals.json").read_text())
    del arrivals["Records"][1:]
    arrivals["Records"][0]["attributes"]["SentTimestamp"] = str(int(time.time() * 1000) - 90_000)
    with function(
        tmp_path, s3.environ, METRICS="on", AWS_LAMBDA_FUNCTION_NAME="uploads-production", VERIFY="publish"
    ) as running:
        running.api.wait_for_polls(1)
        for _ in range(2):
            minted = running.api.invoke(read_event(EVENTS / "mint.json", s3.endpoint_url))
            assert minted.answer is not None
            assert minted.answer["statusCode"] == 200
        refused = running.api.invoke(scrape)
        assert refused.answer is not None
        assert refused.answer["statusCode"] == 404
        running.api.invoke(arrivals)
    lines = [json.loads(line) for line in running.log.read_text().splitlines() if line.startswith("{")]
    first, audited, second, _, third, *batch = lines
    assert [first["message"], audited["message"], second["message"]] == ["request", "audit", "request"]
    assert "_aws" not in audited
    assert checked(first)[STARTS.name] == 1
    assert STARTS.name not in checked(second)
    for line in (first, second):
        assert (line["route"], line["outcome"], line["state"]) == ("POST /uploads", "200", "begun")
        assert {REQUESTS.name, REQUEST_SECONDS.name, UPLOADS.name} <= checked(line).keys()
    assert (third["route"], third["outcome"]) == ("none", "404 not-found")
    (measured,) = [line for line in batch if QUEUE_AGE.name in line]
    assert 90 <= checked(measured)[QUEUE_AGE.name] < 150
    assert measured["queue"] == "arrivals"
