import asyncio
import json
import logging
import socket
import time

import httpx
import pytest
from fastapi import FastAPI

from image_upload.app import create_app
from image_upload.errors import every_problem
from image_upload.telemetry import logs
from local.embedded_s3 import EmbeddedS3
from local.ports import claim_port
from local.service import running
from tests.conftest import Start, problem, settings_for

ORIGIN = {"Origin": "https://app.example.com"}


def test_health_says_what_runs_and_whether_the_bucket_answers(service: str, web: httpx.Client) -> None:
    health = web.get(f"{service}/").json()
    assert health.pop("message")
    assert health == {"version": "0.1.0", "environment": "local", "bucket": "ok"}


def test_a_missing_bucket_is_told(start: Start, web: httpx.Client) -> None:
    assert web.get(start(S3_BUCKET_NAME="nowhere")).json()["bucket"] == "missing"


def test_a_slow_s3_does_not_hang_health(start: Start, web: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        service = start(AWS_S3_ENDPOINT_URL=f"http://127.0.0.1:{mute.getsockname()[1]}")
        started = time.monotonic()
        response = web.get(service)
        assert response.status_code == 200
        assert response.json()["bucket"] == "unreachable"
        assert time.monotonic() - started < 10
        # The answer is reused: a public route must not be a way to make S3 requests.
        mute.settimeout(10)
        mute.accept()[0].close()
        assert web.get(service).json()["bucket"] == "unreachable"
        mute.setblocking(False)
        with pytest.raises(BlockingIOError):
            mute.accept()


def test_an_unknown_path_is_a_problem(service: str, web: httpx.Client) -> None:
    problem(web.get(f"{service}/nothing"), 404, "not-found")


def test_a_wrong_method_is_a_problem_that_names_the_right_one(service: str, web: httpx.Client) -> None:
    response = web.put(f"{service}/uploads")
    assert "POST" in problem(response, 405, "method-not-allowed")["detail"]
    assert response.headers["allow"] == "POST"


def test_every_code_is_explained_where_its_type_points(service: str, web: httpx.Client) -> None:
    listed = web.get(f"{service}/errors").json()
    assert {entry["code"] for entry in listed} == {kind.code for kind in every_problem()}
    for entry in listed:
        assert web.get(f"{service}/errors/{entry['code']}").json() == entry
    problem(web.get(f"{service}/errors/nonsense"), 404, "not-found")


def test_no_two_problems_share_a_code() -> None:
    codes = [kind.code for kind in every_problem()]
    assert len(codes) == len(set(codes))


def broken_app(s3: EmbeddedS3) -> FastAPI:
    app = create_app(settings_for(s3, CORS_ALLOW_ORIGINS=ORIGIN["Origin"]))

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("see https://x/?X-Amz-Signature=abcdef0123&X-Amz-Security-Token=FwoG%2F")

    return app


def test_an_unforeseen_error_is_a_500_without_details(
    s3: EmbeddedS3, web: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with running(broken_app(s3), claim_port("127.0.0.1", 0, "PORT")) as url:
        response = web.get(f"{url}/broken", headers=ORIGIN)
    document = problem(response, 500, "internal-error")
    assert "X-Amz" not in response.text
    assert response.headers["access-control-allow-origin"] == ORIGIN["Origin"], "a browser must see the error too"
    record = next(record for record in caplog.records if record.exc_info)
    line = logs.JsonFormatter().format(record)
    assert "abcdef0123" not in line
    assert "FwoG" not in line
    assert json.loads(line)["request_id"] == document["request_id"]
    assert "RuntimeError" in json.loads(line)["exception"]


def test_one_structured_line_a_request_without_secrets(
    s3: EmbeddedS3, jpeg: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    app = create_app(settings_for(s3))
    spec = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": len(jpeg)}

    async def exchange() -> tuple[str, httpx.Response]:
        # In this process: the call ends after the line was written, not when the client has its answer.
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            url: str = (await client.post("/uploads", json=spec)).json()["presignedUrl"]
            caplog.clear()
            response = await client.post(
                "/upload-with-presigned",
                data={"uploadUrl": url},
                files={"file": ("cat.jpg", jpeg, "image/jpeg")},
                headers={"Authorization": "Bearer abc.def.ghi"},
            )
            return url, response

    url, response = asyncio.run(exchange())
    assert response.status_code == 200
    lines = [logs.JsonFormatter().format(record) for record in caplog.records]
    ours = [json.loads(line) for line in lines if '"image_upload.requests"' in line]
    assert len(ours) == 1
    assert ours[0]["request_id"] == response.headers["x-request-id"]
    assert (ours[0]["method"], ours[0]["path"], ours[0]["status"]) == ("POST", "/upload-with-presigned", 200)
    assert ours[0]["duration_ms"] > 0
    assert url.rpartition("X-Amz-Signature=")[2] not in "".join(lines)
    assert "abc.def.ghi" not in "".join(lines)


def test_configured_logging_keeps_foreign_urls_out(s3: EmbeddedS3, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        logs.configure(settings_for(s3, LOG_LEVEL="DEBUG").service)
        for name in logs.CHATTY:
            assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        logging.getLogger("x").warning(
            "PUT /a?X-Amz-Credential=AKIA%%2F&X-Amz-Signature=%s Bearer %s", "c0ffee", "t.o.k"
        )
    finally:
        root.handlers[:], root.level = before
        for name in logs.CHATTY:
            logging.getLogger(name).setLevel(logging.NOTSET)
    line = json.loads(capsys.readouterr().err)
    assert line["message"] == "PUT /a?X-Amz-Credential=[redacted]&X-Amz-Signature=[redacted] Bearer [redacted]"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("GET /u/eyJhbGciOi.eyJzdWIi.c2ln/s3/params", "GET /u/eyJ[redacted]/s3/params"),
        ("GET /uploads/upl1.WyJmaWxlcy9h.bWFj/parts", "GET /uploads/upl1.[redacted]/parts"),
        ("GET /images/uploads/monkeyJump.jpg", "GET /images/uploads/monkeyJump.jpg"),
    ],
)
def test_tokens_and_tickets_in_a_path_are_not_logged(line: str, shown: str) -> None:
    assert logs.redact(line) == shown


def test_a_listed_origin_may_call_and_others_may_not(start: Start, web: httpx.Client) -> None:
    service = start(CORS_ALLOW_ORIGINS="https://app.example.com")
    preflight = {
        **ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, authorization",
    }
    allowed = web.options(f"{service}/uploads", headers=preflight)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
    refused = web.options(f"{service}/uploads", headers=preflight | {"Origin": "https://evil.example"})
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers
    error = web.post(f"{service}/uploads", json={}, headers=ORIGIN)
    assert error.headers.get_list("access-control-allow-origin") == ["https://app.example.com"]


def preflight(web: httpx.Client, service: str, origin: str, headers: str) -> httpx.Response:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": headers}
    return web.options(f"{service}/uploads", headers={"Origin": origin, **asked})


@pytest.mark.parametrize(
    "headers",
    [
        "cache-control, x-requested-with",  # Dropzone
        "content-type, x-requested-with",  # axios as many projects set it up
        "baggage, content-type, sentry-trace",
        "authorization, content-type, traceparent, tracestate",
        "content-type, uppy-auth-token, uppy-credentials-params",
    ],
)
def test_the_headers_of_common_clients_may_be_sent(start: Start, web: httpx.Client, headers: str) -> None:
    service = start(CORS_ALLOW_ORIGINS=ORIGIN["Origin"])
    answer = preflight(web, service, ORIGIN["Origin"], headers)
    assert answer.status_code == 200, answer.text
    assert set(headers.split(", ")) <= set(answer.headers["access-control-allow-headers"].lower().split(", "))
    assert preflight(web, service, ORIGIN["Origin"], "x-tenant").status_code == 400


def test_the_operator_says_which_headers_may_be_sent(start: Start, web: httpx.Client) -> None:
    named = start(CORS_ALLOW_ORIGINS=ORIGIN["Origin"], CORS_ALLOW_HEADERS="X-Tenant, Authorization")
    assert preflight(web, named, ORIGIN["Origin"], "authorization, x-tenant").status_code == 200
    assert preflight(web, named, ORIGIN["Origin"], "traceparent").status_code == 400
    any_at_all = start(CORS_ALLOW_ORIGINS=ORIGIN["Origin"], CORS_ALLOW_HEADERS="*")
    assert preflight(web, any_at_all, ORIGIN["Origin"], "x-anything").headers["access-control-allow-headers"]
    assert preflight(web, any_at_all, "https://evil.example", "x-anything").status_code == 400


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://a.example.com", True),
        ("https://b.a.example.com", True),
        ("https://app.example.org", True),
        ("https://evilexample.com", False),
        ("https://example.com", False),
        ("https://.example.com", False),
        ("https://evil.com/.example.com", False),
        ("https://evil.com?.example.com", False),
        ("https://user@a.example.com", False),
        ("https://a.example.com.evil.com", False),
        ("https://a.example.com:8443", False),
        ("http://a.example.com", False),
        ("https://*.example.com", False),
    ],
)
def test_a_wildcard_stands_for_the_hosts_below_a_domain(
    start: Start, web: httpx.Client, origin: str, allowed: bool
) -> None:
    service = start(CORS_ALLOW_ORIGINS="https://*.example.com,https://app.example.org")
    found = preflight(web, service, origin, "content-type").headers.get("access-control-allow-origin")
    assert found == (origin if allowed else None)
    assert web.get(service, headers={"Origin": origin}).headers.get("access-control-allow-origin") == found


@pytest.mark.parametrize("environ", [{"CORS_ALLOW_ORIGINS": ""}, {"AWS_LAMBDA_FUNCTION_NAME": "upload"}])
def test_the_app_is_silent_about_cors_where_it_is_not_the_owner(
    start: Start, web: httpx.Client, environ: dict[str, str]
) -> None:
    service = start(**{"CORS_ALLOW_ORIGINS": "https://app.example.com"} | environ)
    response = web.get(service, headers=ORIGIN)
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_a_json_body_above_the_limit_is_refused(service: str, web: httpx.Client) -> None:
    big = b'{"filename": "' + b"x" * (1024 * 1024) + b'"}'
    headers = {"Content-Type": "application/json"}
    document = problem(web.post(f"{service}/uploads", content=big, headers=headers), 413, "body-too-large")
    assert document["max_bytes"] == 1024 * 1024

    def in_chunks() -> object:
        yield from (big[start : start + 65536] for start in range(0, len(big), 65536))

    problem(web.post(f"{service}/uploads", content=in_chunks(), headers=headers), 413, "body-too-large")  # type: ignore[arg-type]


def test_lambda_takes_no_more_than_its_own_limit(start: Start, web: httpx.Client) -> None:
    service = start(AWS_LAMBDA_FUNCTION_NAME="upload")
    response = web.post(
        f"{service}/upload-with-presigned",
        content=b"x" * 4_400_001,
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert problem(response, 413, "body-too-large")["max_bytes"] == 4_400_000


def test_a_head_request_gets_no_body(service: str, web: httpx.Client) -> None:
    response = web.head(f"{service}/nothing")
    assert response.status_code == 404
    assert response.content == b""


def test_every_json_answer_ends_with_a_newline(service: str, web: httpx.Client) -> None:
    spec = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5}
    answers = [web.get(f"{service}{path}") for path in ("/", "/errors", "/errors/not-found", "/nothing", "/images/k")]
    answers += [web.post(f"{service}{path}", json=spec) for path in ("/uploads", "/posts")]
    for answer in answers:
        assert answer.content.endswith(b"}\n") or answer.content.endswith(b"]\n"), answer.text
        assert int(answer.headers["content-length"]) == len(answer.content)
