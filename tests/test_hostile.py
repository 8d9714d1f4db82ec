"""Requests that no client would write: refused as the caller's fault, and harmless in the log."""

import base64
import contextlib
import json
import logging
from collections.abc import Iterator

import pytest

from image_upload.app import create_app
from image_upload.domain.metadata import FACTS_MAX_BYTES
from image_upload.limits import ACCEPTS_MAX, HEAD_MAX_BYTES, JSON_BRACKETS_MAX, LOGGED_MAX_CHARS
from image_upload.telemetry import logs
from local.database import local_database
from local.embedded_s3 import EmbeddedS3
from tests.conftest import settings_for
from tests.in_process import InProcess
from tests.test_docs import operations

JSON = ((b"content-type", b"application/json"),)
SPEC = {"filename": "a.jpg", "contentType": "image/jpeg", "size": 5}

# What stands in place of a path parameter, or of a query.
TEXTS = (
    b"%00", b"%ff", b"%C0%80", b"%ED%A0%80", b"%", b"%zz", b"%2F%2E%2E", b"%0d%0aX-A:%20b", b"\xff\xfe", b"..",
    b"%25" * 40, b"%E2%80%AE", b"a" * 65536, b"9" * 5000, b"%D9%A3", b"-1", b"1e9", b"",
)  # fmt: skip


@pytest.fixture(scope="module")
def app(s3: EmbeddedS3, own_bucket: dict[str, str]) -> Iterator[InProcess]:
    with (
        local_database() as database,
        contextlib.closing(InProcess(create_app(settings_for(s3, **own_bucket, **database)))) as app,
    ):
        yield app


def check_answer(status: int, body: bytes, asked: object) -> None:
    if status >= 500:
        assert json.loads(body)["code"] == "sign-in-not-configured", asked


@pytest.mark.full
@pytest.mark.parametrize("operation", sorted(operations()))
def test_nothing_in_a_path_a_query_or_a_method_is_a_fault_of_ours(app: InProcess, operation: str) -> None:
    method, template = operation.split()
    names = [each["name"] for each in operations()[operation].get("parameters", []) if each["in"] == "query"]
    for text in TEXTS:
        path = template.encode()
        for each in operations()[operation].get("parameters", []):
            path = path.replace(f"{{{each['name']}}}".encode(), text)
        queries = [b"", text, text + b"=" + text, b"a=1&a=2&" * 1000, b"&;=&" * 1000]
        queries += [name.encode() + b"=" + text + b"&" + name.encode() + b"=" + text for name in names]
        for target in (path, b"/u/" + text + path, path + b"/" + text, *(path + b"?" + query for query in queries)):
            answer = app.ask(method, target, headers=JSON, body=b"{}")
            check_answer(answer.status, answer.body, (method, target[:200]))
        # A server may decode a path otherwise than uvicorn does.
        for path_text in ("\udcff", "/\udcff", "/images/\ud800", "*", ""):
            check_answer(*app.ask(method, path, path=path_text)[0:3:2], (method, path_text))
    for odd in ("FOO", "get", "CONNECT", "TRACE", "OPTIONS", "HEAD", "A" * 5000):
        check_answer(*app.ask(odd, path)[0:3:2], odd)


@pytest.mark.parametrize("length", [b"9" * 5000, b"-1", b"1e3", b"\xb2", b"\xd9\xa3", b" 5", b"", b"5, 5"])
@pytest.mark.parametrize("path", [b"/uploads", b"/upload-with-presigned", b"/api/v1/s3/upload"])
def test_a_content_length_that_is_none_is_no_fault_of_ours(app: InProcess, length: bytes, path: bytes) -> None:
    headers = [(b"content-length", length), (b"content-type", b"multipart/form-data; boundary=b")]
    answer = app.ask("POST", path, headers=headers, body=b"--b--\r\n")
    assert answer.status == 413 if len(length) == 5000 else 400 <= answer.status < 500, answer


def test_a_head_that_is_too_long_is_refused_before_it_is_read(app: InProcess) -> None:
    long = b"a" * HEAD_MAX_BYTES
    for target, headers in ((b"/s3/params?" + long, ()), (b"/" + long, ()), (b"/", [(b"cookie", long)])):
        answer = app.ask("GET", target, headers=headers)
        assert (answer.status, json.loads(answer.body)["code"]) == (431, "head-too-large")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (b"/uploads", {**SPEC, "accepts": ["put"] * (ACCEPTS_MAX + 1)}),
        (b"/uploads", {**SPEC, "metadata": {str(number): "" for number in range(1025)}}),
        (b"/uploads/batch", {"uploads": [SPEC] * 1001}),
        (b"/uploads/x/parts", {"partNumbers": [1] * 10_001}),
        (b"/uploads/x/complete", {"parts": [{"partNumber": 1, "etag": "a"}] * 10_001}),
        (b"/s3/multipart", {"filename": "a", "metadata": {str(number): 1 for number in range(1025)}}),
        (b"/s3/multipart/x/complete", {"parts": [{"PartNumber": 1, "ETag": "a"}] * 10_001}),
        (b"/uploads", {"filename": "[" * (JSON_BRACKETS_MAX + 1)}),
        (b"/uploads", {**SPEC, "metadata": {"a" * 100_000: 1}}),
    ],
)
def test_every_list_and_object_has_a_bound_and_no_answer_repeats_it(app: InProcess, path: bytes, body: object) -> None:
    answer = app.ask("POST", path, headers=JSON, body=json.dumps(body).encode())
    assert answer.status == 422, answer
    assert len(answer.body) < 2000


def test_a_batch_with_as_much_metadata_as_s3_stores_takes_little_time(app: InProcess) -> None:
    # 250 files whose every blank has to be encoded took ten seconds.
    spec = {**SPEC, "metadata": {"a": " " * (1800 - FACTS_MAX_BYTES)}}
    body = json.dumps({"uploads": [spec] * 250}).encode()
    answers = [app.ask("POST", b"/uploads/batch", headers=JSON, body=body) for _ in range(3)]
    assert {each.status for each in answers} == {200}
    assert min(each.cpu_s for each in answers) < 1


# --- caches ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target"),
    [("POST", b"/uploads"), ("GET", b"/images/a"), ("GET", b"/api/v1/s3/files"), ("GET", b"/auth/me"), ("GET", b"/no")],
)
def test_no_answer_is_kept_by_a_cache(app: InProcess, method: str, target: bytes) -> None:
    answer = app.ask(method, target, headers=JSON, body=json.dumps(SPEC).encode())
    assert answer.headers[b"cache-control"] == b"no-store"


# --- logs -----------------------------------------------------------------------------------------


def lines_of(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(logs.JsonFormatter().format(record) for record in caplog.records)


@pytest.mark.parametrize("header", [b'{ "alg":"HS256"}', b'\n{"alg":"HS256"}', b"[1]", b'{"typ":"JWT"}'])
@pytest.mark.parametrize("place", ["/u/{}/s3/params", "/u/{}", "//u/{}/s3/params", "/u/{}/s3/a%0ab", "/U/{}/x"])
def test_a_token_in_a_path_is_not_logged_whatever_it_looks_like(
    app: InProcess, caplog: pytest.LogCaptureFixture, header: bytes, place: str
) -> None:
    token = base64.urlsafe_b64encode(header).decode().rstrip("=") + ".c2VjcmV0LXBheWxvYWQ.c2lnbmF0dXJl"
    caplog.set_level(logging.INFO)
    app.ask("GET", place.format(token).encode())
    assert "c2VjcmV0LXBheWxvYWQ" not in lines_of(caplog)
    assert "[redacted]" in lines_of(caplog)


def test_a_token_for_the_next_page_is_blacked_out() -> None:
    assert logs.redact("token upk1.AbCdEf012345-_x") == "token upk1.[redacted]"


def test_what_could_deceive_the_reader_of_a_log_is_escaped(app: InProcess, caplog: pytest.LogCaptureFixture) -> None:
    raw = "".join(map(chr, [0, 9, 10, 13, 27, *range(0x7F, 0xA0), *range(0x200B, 0x2010), *range(0x2028, 0x202F)]))
    raw += "".join(map(chr, [*range(0x2066, 0x206A), 0x61C, 0xFEFF, 0xDFFF, 0xD800]))
    caplog.set_level(logging.INFO)
    app.ask("GET", b"/x", path=f"/고양이{raw}")
    line = next(each for each in lines_of(caplog).splitlines() if '"image_upload.requests"' in each)
    assert not set(raw) & set(line)
    assert "고양이" in line, "names stay readable"
    assert json.loads(line)["path"] == f"/고양이{raw}"
    line.encode()


def test_a_long_path_is_cut_in_the_log(app: InProcess, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app.ask("GET", b"/" + b"a" * 60_000)
    assert len(lines_of(caplog)) < LOGGED_MAX_CHARS + 1000
