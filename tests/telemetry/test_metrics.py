"""GET /metrics: what is counted, by which labels, and for whom."""

import json
import secrets
import socket

import httpx
import pytest

from image_upload.outbound import retry
from image_upload.settings import SettingsError, load
from image_upload.telemetry.metrics import OUTBOX_AGE, REQUEST_SECONDS, REQUESTS, STARTS, TABLE
from image_upload.telemetry.prometheus import BUCKETS_S, Registry
from tests.conftest import Start, problem
from tests.database.databases import Place
from tests.telemetry.scraped import Samples, samples, value

SPEC = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5}
TOKEN = "t" * 32
PRODUCTION = {"S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1", "JWT_SECRET": "s" * 32}


def scraped(web: httpx.Client, service: str, **headers: str) -> Samples:
    response = web.get(f"{service}/metrics", headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples(response.text)


def test_the_text_is_prometheus_s_form() -> None:
    registry = Registry()
    registry.record(REQUESTS, 1, ('GET /"a\\b\nc', "200"))
    for seconds in (0.001, 0.3, 301):
        registry.record(REQUEST_SECONDS, seconds, ("none",))
    found = samples(registry.text([(OUTBOX_AGE, 1.5, ("webhook",))]))
    assert value(found, "requests_total", route='GET /\\"a\\\\b\\nc', outcome="200") == 1
    assert value(found, "outbox_age_seconds", target="webhook") == 1.5
    assert value(found, STARTS.name) == 1
    buckets = [value(found, "request_seconds_bucket", route="none", le=str(bound)) for bound in BUCKETS_S]
    assert buckets == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert value(found, "request_seconds_bucket", route="none", le="+Inf") == 3
    assert value(found, "request_seconds_count", route="none") == 3
    assert value(found, "request_seconds_sum", route="none") == 301.301
    # A gauge that is not known now has no line.
    assert not value(samples(registry.text([])), "outbox_age_seconds", target="webhook")


def test_a_name_says_the_unit_of_its_metric() -> None:
    for metric in TABLE:
        assert metric.name.endswith("_total") is (metric.kind == "counter")
        assert ("seconds" in metric.name) is (metric.unit == "Seconds")
        assert ("bytes" in metric.name) is (metric.unit == "Bytes")
    assert len({metric.name for metric in TABLE}) == len(TABLE)


def test_a_request_is_counted_by_its_route_and_how_it_ended(start: Start, web: httpx.Client) -> None:
    service = start()
    minted = web.post(f"{service}/uploads", json=SPEC)
    problem(web.post(f"{service}/uploads", json={**SPEC, "filename": "cat.exe"}), 400, "unsupported-file-type")
    found = scraped(web, service)
    route = "POST /uploads"
    assert value(found, "requests_total", route=route, outcome="200") == 1
    assert value(found, "requests_total", route=route, outcome="400 unsupported-file-type") == 1
    assert value(found, "request_seconds_count", route=route) == 2
    sent = sum(len(json.dumps({**SPEC, "filename": name}, separators=(",", ":"))) for name in ("cat.jpg", "cat.exe"))
    assert value(found, "request_bytes_total", route=route) == sent
    assert value(found, "response_bytes_total", route=route) > len(minted.content)
    assert value(found, "uploads_total", purpose="upload", state="begun") == 1


def test_what_a_client_writes_becomes_no_label(start: Start, web: httpx.Client) -> None:
    """Else every client could fill the memory of the service and of Prometheus."""
    service = start()
    odd = secrets.token_hex(8)
    for method, path in [
        (odd.upper(), "/uploads"),
        ("GET", f"/{odd}"),
        ("GET", f"/images/uploads/{odd}.jpg"),
        ("GET", f"/u/{odd}/s3/params?filename={odd}.jpg&type=image/jpeg"),
        ("POST", f"/files/upload-url?filename={odd}.txt"),
        ("OPTIONS", f"/images/{odd}"),
    ]:
        web.request(method, f"{service}{path}", headers={"X-Odd": odd, "Origin": f"https://{odd}.example"})
    web.post(f"{service}/uploads", json={**SPEC, "purpose": odd})
    text = web.get(f"{service}/metrics").text
    assert odd not in text.lower()
    routes = {dict(labels)["route"] for name, labels in samples(text) if name == "requests_total"}
    assert routes == {"none", "GET /images/{key}", "GET /s3/params", "POST /files/upload-url", "POST /uploads"}


def test_calls_of_s3_and_the_database_are_counted_by_how_they_ended(
    start: Start, web: httpx.Client, place: Place
) -> None:
    service = start(DATABASE_URL=place.url)
    post = web.post(f"{service}/posts", json=SPEC).json()
    web.put(post["presignedUrl"], content=b"12345", headers=post["headers"]).raise_for_status()
    web.post(f"{service}/posts/{post['id']}/complete").raise_for_status()
    web.get(f"{service}/api/v1/s3/file/uploads/missing.jpg/exists")
    found = scraped(web, service)
    assert value(found, "s3_calls_total", operation="HeadObject", outcome="ok") >= 1
    assert value(found, "s3_calls_total", operation="HeadObject", outcome="missing") >= 1
    assert value(found, "database_calls_total", operation="Records.insert", outcome="ok") == 1
    assert value(found, "uploads_total", purpose="upload", state="begun") == 1
    assert value(found, "uploads_total", purpose="upload", state="completed") == 1
    # Once is enough: the row has settled.
    web.post(f"{service}/posts/{post['id']}/complete").raise_for_status()
    assert value(scraped(web, service), "uploads_total", purpose="upload", state="completed") == 1


def test_an_s3_that_does_not_answer_is_counted_with_its_retries(
    start: Start, web: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    service = start(AWS_S3_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    assert web.get(f"{service}/api/v1/s3/file/uploads/a.jpg/exists").status_code == 502
    found = scraped(web, service)
    assert value(found, "s3_calls_total", operation="HeadObject", outcome="unreachable") == 3
    assert value(found, "retries_total", operation="HeadObject") == 2


def test_with_a_token_it_is_for_its_holder_alone(start: Start, web: httpx.Client) -> None:
    service = start(METRICS_TOKEN=TOKEN)
    problem(web.get(f"{service}/metrics"), 401, "token-missing")
    for wrong in ("", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer \xe9"):
        problem(
            web.get(f"{service}/metrics", headers={b"Authorization": wrong.encode("latin-1")}), 401, "token-invalid"
        )
    assert scraped(web, service, Authorization=f"Bearer {TOKEN}")


def test_where_metrics_are_off_there_is_no_such_route(start: Start, web: httpx.Client) -> None:
    service = start(METRICS="off")
    problem(web.get(f"{service}/metrics"), 404, "not-found")
    assert "/metrics" not in web.get(f"{service}/openapi.json").json()["paths"]


def test_in_production_they_are_off_and_need_a_token() -> None:
    assert load(PRODUCTION).telemetry.metrics is False
    with pytest.raises(SettingsError, match="METRICS_TOKEN: missing"):
        load(PRODUCTION | {"METRICS": "on"})
    with pytest.raises(SettingsError, match="METRICS_TOKEN: shorter"):
        load(PRODUCTION | {"METRICS": "on", "METRICS_TOKEN": TOKEN[1:]})
    assert load(PRODUCTION | {"METRICS": "on", "METRICS_TOKEN": TOKEN}).telemetry.metrics is True


def test_on_lambda_they_are_asked_for_and_need_the_lines_that_hold_them() -> None:
    function = PRODUCTION | {"AWS_LAMBDA_FUNCTION_NAME": "f"}
    assert load(function | {"ENVIRONMENT": "development"}).telemetry.metrics is False
    assert load(function | {"METRICS": "on"}).telemetry.metrics is True
    with pytest.raises(SettingsError, match="LOG_LEVEL: above INFO"):
        load(function | {"METRICS": "on", "LOG_LEVEL": "warning"})
