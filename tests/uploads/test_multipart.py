"""Multipart plans against the embedded S3: what the service decides. What S3 decides is in tests/contract."""

import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from tests.conftest import Start, problem

MIB = 1024 * 1024
SECRET = "a-secret-of-more-than-thirty-two-bytes"
JSON = {"Content-Type": "application/json"}
BIG = {"filename": "a.bin", "contentType": "application/octet-stream", "purpose": "file", "accepts": ["multipart"]}


def begin(web: httpx.Client, service: str, size: int = 20 * MIB, **fields: Any) -> dict[str, Any]:
    response = web.post(f"{service}/uploads", json={**BIG, "size": size, **fields})
    assert response.status_code == 200, response.text
    plan: dict[str, Any] = response.json()
    return plan


def send_parts(web: httpx.Client, plan: dict[str, Any], content: bytes) -> list[dict[str, Any]]:
    sent = []
    for part in plan["parts"]:
        start = (part["partNumber"] - 1) * plan["partSize"]
        response = web.put(part["url"], content=content[start : start + part["size"]])
        assert response.status_code == 200
        sent.append({"partNumber": part["partNumber"], "etag": response.headers["etag"]})
    return sent


def test_a_file_in_parts_is_stored_and_completing_twice_is_the_same(service: str, web: httpx.Client) -> None:
    content = bytes(range(256)) * 4096 * 20
    plan = begin(web, service, len(content))
    assert (plan["strategy"], plan["partSize"], plan["partCount"]) == ("multipart", 8 * MIB, 3)
    assert [part["size"] for part in plan["parts"]] == [8 * MIB, 8 * MIB, 4 * MIB]
    parts = send_parts(web, plan, content)
    url = f"{service}/uploads/{plan['ticket']}"
    for body in ({"parts": parts}, {"parts": parts[::-1]}, {}, None):
        done = web.post(f"{url}/complete", content=json.dumps(body), headers=JSON).json()
        assert (done["objectKey"], done["size"]) == (plan["objectKey"], len(content))
    assert web.get(url).json() | {"parts": []} == {
        "objectKey": plan["objectKey"], "completed": True, "size": len(content), "partSize": 8 * MIB, "partCount": 3,
        "parts": [], "missing": [],
    }  # fmt: skip
    assert web.get(web.get(f"{service}/images/{plan['objectKey']}").json()["url"]).content == content


def test_the_presigned_requests_alone_are_enough(service: str, web: httpx.Client) -> None:
    plan = begin(web, service, 5 * MIB)
    etags = send_parts(web, plan, b"x" * 5 * MIB)
    listed = web.request(plan["list"]["method"], plan["list"]["url"])
    assert b"<PartNumber>1</PartNumber>" in listed.content
    body = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{etags[0]['etag']}</ETag></Part></CompleteMultipartUpload>"
    )
    complete = plan["complete"]
    assert complete["headers"] == {"x-amz-mp-object-size": str(5 * MIB)}
    assert (
        web.request(complete["method"], complete["url"], content=body, headers=complete["headers"]).status_code == 200
    )
    assert web.get(f"{service}/uploads/{plan['ticket']}").json()["completed"] is True

    other = begin(web, service, 5 * MIB)
    assert web.request(other["abort"]["method"], other["abort"]["url"]).status_code == 204
    problem(web.get(f"{service}/uploads/{other['ticket']}"), 404, "upload-not-found")


def test_an_interrupted_upload_goes_on_with_what_is_missing(service: str, web: httpx.Client) -> None:
    content = b"abcd" * MIB * 5
    plan = begin(web, service, len(content))
    send_parts(web, plan | {"parts": plan["parts"][1:2]}, content)
    url = f"{service}/uploads/{plan['ticket']}"
    progress = web.get(url).json()
    assert (progress["completed"], progress["missing"]) == (False, [1, 3])
    assert [(part["partNumber"], part["size"]) for part in progress["parts"]] == [(2, 8 * MIB)]
    refused = problem(web.post(f"{url}/complete"), 400, "parts-invalid")
    assert refused["missing"] == [1, 3]
    fresh = web.post(f"{url}/parts", json={"partNumbers": progress["missing"]}).json()
    assert [part["partNumber"] for part in fresh["parts"]] == [1, 3]
    send_parts(web, plan | {"parts": fresh["parts"]}, content)
    assert web.post(f"{url}/complete").json()["size"] == len(content)


def test_a_compact_plan_makes_the_same_urls(service: str, web: httpx.Client) -> None:
    plan = begin(web, service, 20 * MIB, compact=True)
    assert "parts" not in plan
    urls = [
        plan["template"].format(partNumber=number, signature=signature)
        for number, signature in enumerate(plan["signatures"], 1)
    ]
    assert web.put(urls[0], content=b"x" * 8 * MIB).status_code == 200
    signed = parse_qs(urlsplit(urls[2]).query)
    assert signed["partNumber"] == ["3"]
    assert signed["X-Amz-SignedHeaders"] == ["content-length;host"]


def test_the_largest_file_fits_one_compact_answer_and_pages_otherwise(service: str, web: httpx.Client) -> None:
    largest = 10_000 * 5 * 1024 * MIB
    plan = begin(web, service, largest, compact=True)
    assert len(plan["signatures"]) == plan["partCount"] == 10_000
    assert plan["next"] is None
    assert len(json.dumps(plan)) < 1_000_000

    page: dict[str, Any] = begin(web, service, largest)
    numbers = [part["partNumber"] for part in page["parts"]]
    while page["next"]:
        response = web.get(service + page["next"])
        assert len(json.dumps(response.text)) < 6_291_556, "the answer as Lambda puts it into its own JSON"
        page = response.json()
        numbers += [part["partNumber"] for part in page["parts"]]
    assert numbers == list(range(1, 10_001))


def test_a_page_holds_less_where_urls_are_long(start: Start, web: httpx.Client) -> None:
    service = start(AWS_SESSION_TOKEN="t" * 900)
    page = begin(web, service, 10_000 * 5 * 1024 * MIB)
    assert 2_000 < len(page["parts"]) < 5_000
    assert len(json.dumps(json.dumps(page))) < 6_291_556
    assert page["next"].endswith(f"?from={len(page['parts']) + 1}")


@pytest.mark.parametrize(
    ("size", "part_bytes", "count"),
    [
        (1, 8 * MIB, 1),
        (8 * MIB, 8 * MIB, 1),
        (8 * MIB + 1, 8 * MIB, 2),
        (16_000 * MIB, 8 * MIB, 2_000),
        (16_000 * MIB + 1, 16 * MIB, 1_001),
        (5 * 1024 * 1024 * MIB, 525 * MIB, 9_987),
        (10_000 * 5 * 1024 * MIB, 5 * 1024 * MIB, 10_000),
    ],
)
def test_part_sizes_are_what_s3_takes(service: str, web: httpx.Client, size: int, part_bytes: int, count: int) -> None:
    plan = begin(web, service, size, compact=True)
    assert (plan["partSize"], plan["partCount"]) == (part_bytes, count)


@pytest.mark.parametrize(
    ("size", "accepts", "strategy"),
    [
        (5, None, "put"),
        (5, ["put", "multipart"], "put"),
        (5, ["post"], "post"),
        (5, ["multipart"], "multipart"),
        (5, ["proxy"], "proxy"),
        (200 * MIB, None, "put"),
        (200 * MIB, ["put", "multipart"], "multipart"),
        (200 * MIB, ["put"], "put"),
        (6 * 1024 * MIB, None, "multipart"),
        (6 * 1024 * MIB, ["put", "post", "proxy"], None),
    ],
)
def test_the_strategy_follows_size_and_what_the_client_accepts(
    service: str, web: httpx.Client, size: int, accepts: list[str] | None, strategy: str | None
) -> None:
    spec = {**BIG, "size": size, "accepts": accepts, "compact": True}
    response = web.post(f"{service}/uploads", json=spec)
    if strategy is None:
        assert problem(response, 400, "no-strategy")["possible"] == ["multipart", "resumable"]
    else:
        assert response.json()["strategy"] == strategy


def test_a_proxy_plan_respects_lambdas_limit(start: Start, web: httpx.Client) -> None:
    service = start(AWS_LAMBDA_FUNCTION_NAME="upload")
    most = 4_400_000 - 64 * 1024
    large = web.post(f"{service}/uploads", json={**BIG, "size": most + 1, "accepts": ["proxy"]})
    problem(large, 400, "no-strategy")
    plan = web.post(f"{service}/uploads", json={**BIG, "size": most, "accepts": ["proxy"]}).json()
    files = {"file": ("a.bin", b"x" * most, "application/octet-stream")}
    assert web.post(service + plan["formUrl"], data=plan["fields"], files=files).json()["file_size"] == most


def test_a_proxy_plan_is_followed(service: str, web: httpx.Client) -> None:
    plan = web.post(f"{service}/uploads", json={**BIG, "size": 5, "accepts": ["proxy"]}).json()
    files = {"file": ("a.bin", b"12345", "application/octet-stream")}
    assert web.post(service + plan["formUrl"], data=plan["fields"], files=files).json()["success"] is True


def test_a_post_plan_pins_everything(service: str, web: httpx.Client) -> None:
    spec = {**BIG, "size": 5, "accepts": ["post"], "metadata": {}}
    plan = web.post(f"{service}/uploads", json=spec).json()
    assert plan["method"] == "POST"
    assert plan["presignedUrl"].endswith("/")
    assert plan["fields"]["key"] == plan["objectKey"]
    assert web.post(plan["presignedUrl"], data=plan["fields"], files={"file": b"12345"}).status_code == 201


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"partNumbers": []}, "parts-invalid"),
        ({"partNumbers": [0]}, "parts-invalid"),
        ({"partNumbers": [-1]}, "parts-invalid"),
        ({"partNumbers": [4]}, "parts-invalid"),
        ({"partNumbers": [10_001]}, "parts-invalid"),
        ({"partNumbers": [1, 1]}, "parts-invalid"),
        ({"partNumbers": ["x"]}, "validation-failed"),
        ({"partNumbers": list(range(20_000))}, "validation-failed"),
        ({}, "validation-failed"),
    ],
)
def test_part_numbers_that_cannot_be_are_refused(
    service: str, web: httpx.Client, body: dict[str, Any], code: str
) -> None:
    plan = begin(web, service)
    response = web.post(f"{service}/uploads/{plan['ticket']}/parts", json=body)
    problem(response, 422 if code == "validation-failed" else 400, code)


@pytest.mark.parametrize("first", [0, 4, 10_001, -1, "x"])
def test_a_page_that_cannot_be_is_refused(service: str, web: httpx.Client, first: object) -> None:
    response = web.get(f"{service}/uploads/{begin(web, service)['ticket']}/parts?from={first}")
    assert response.status_code in (400, 422)


def test_completing_with_parts_that_cannot_be_is_refused_and_loses_nothing(service: str, web: httpx.Client) -> None:
    content = b"z" * 9 * MIB
    plan = begin(web, service, len(content))
    parts = send_parts(web, plan, content)
    url = f"{service}/uploads/{plan['ticket']}/complete"
    for wrong in (
        [],
        parts[:1],
        parts[1:],
        [*parts, parts[0]],
        [*parts, {"partNumber": 3, "etag": "abc"}],
        [parts[0], {"partNumber": 0, "etag": "abc"}],
        [parts[0], {"partNumber": 2, "etag": "<x/>"}],
        [parts[0], {"partNumber": 2, "etag": ""}],
    ):
        problem(web.post(url, json={"parts": wrong}), 400, "parts-invalid")
    lie = [parts[0], {"partNumber": 2, "etag": "0" * 32}]
    assert problem(web.post(url, json={"parts": lie}), 400, "parts-refused")["upstream_code"] == "InvalidPart"
    assert web.post(url, json={"parts": parts}).status_code == 200


def test_an_aborted_upload_is_gone_and_aborting_again_says_so(service: str, web: httpx.Client) -> None:
    plan = begin(web, service, 5 * MIB)
    parts = send_parts(web, plan, b"x" * 5 * MIB)
    url = f"{service}/uploads/{plan['ticket']}"
    assert web.delete(url).status_code == 204
    problem(web.delete(url), 404, "upload-not-found")
    problem(web.get(url), 404, "upload-not-found")
    problem(web.post(f"{url}/complete", json={"parts": parts}), 404, "upload-not-found")
    problem(web.post(f"{url}/complete"), 404, "upload-not-found")


def test_aborting_a_finished_upload_leaves_the_object(service: str, web: httpx.Client) -> None:
    plan = begin(web, service, 5 * MIB)
    send_parts(web, plan, b"x" * 5 * MIB)
    url = f"{service}/uploads/{plan['ticket']}"
    assert web.post(f"{url}/complete").status_code == 200
    problem(web.delete(url), 404, "upload-not-found")
    assert web.get(web.get(f"{service}/images/{plan['objectKey']}").json()["url"]).status_code == 200


def bearer(user: str) -> dict[str, str]:
    return {"Authorization": "Bearer " + jwt.encode({"sub": user, "exp": time.time() + 60}, SECRET)}


def test_a_ticket_is_of_no_use_to_another_user(start: Start, web: httpx.Client) -> None:
    service = start(JWT_SECRET=SECRET, AUTH_REQUIRED="true")
    plan = web.post(f"{service}/uploads", json={**BIG, "size": 5}, headers=bearer("alice")).json()
    url = f"{service}/uploads/{plan['ticket']}"
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/complete"), ("GET", "/parts")):
        problem(web.request(method, url + path, headers=bearer("mallory")), 404, "upload-not-found")
        problem(web.request(method, url + path), 401, "token-missing")
    assert web.get(url, headers=bearer("alice")).json()["missing"] == [1]


def test_an_altered_ticket_is_refused(start: Start, web: httpx.Client) -> None:
    service, other = start(JWT_SECRET=SECRET), start(JWT_SECRET=SECRET[::-1])
    ticket = begin(web, service)["ticket"]
    head, _, mac = ticket.rpartition(".")
    middle = len(head) // 2
    changed = head[:middle] + ("A" if head[middle] != "A" else "B") + head[middle + 1 :]
    for wrong in (
        f"{changed}.{mac}",
        f"{head}.{mac[:-2]}AA",
        head,
        f"{head}.",
        f"{ticket}=",
        f"x{ticket}",
        "x" * 5000,
        "upl1..",
    ):
        problem(web.get(f"{service}/uploads/{wrong}"), 403, "ticket-invalid")
    problem(web.get(f"{other}/uploads/{ticket}"), 403, "ticket-invalid")


def test_an_expired_ticket_has_its_own_code(start: Start, web: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    service = start(JWT_SECRET=SECRET)
    ticket = begin(web, service)["ticket"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_401)
    problem(web.get(f"{service}/uploads/{ticket}"), 410, "ticket-expired")


def test_production_without_a_secret_mints_no_tickets(start: Start, web: httpx.Client) -> None:
    service = start(ENVIRONMENT="production", AWS_S3_ENDPOINT_URL="", AUTH_REQUIRED="false", JWT_SECRET="")
    problem(web.post(f"{service}/uploads", json={**BIG, "size": 5}), 503, "tickets-not-configured")
    assert web.post(f"{service}/uploads", json={**BIG, "size": 5, "accepts": ["put"]}).status_code == 200


def test_a_single_use_url_signs_the_guard(service: str, web: httpx.Client) -> None:
    spec = {**BIG, "size": 5, "accepts": ["put"], "ifNoneMatch": True}
    plan = web.post(f"{service}/uploads", json=spec).json()
    assert plan["headers"]["If-None-Match"] == "*"
    put = {"url": plan["presignedUrl"], "content": b"12345", "headers": plan["headers"]}
    assert [web.put(**put).status_code for _ in range(2)] == [200, 412]
    upload = begin(web, service, 5 * MIB, ifNoneMatch=True)
    assert upload["complete"]["headers"]["If-None-Match"] == "*"


def test_a_sha256_keeps_a_file_in_one_request(service: str, web: httpx.Client) -> None:
    spec = {**BIG, "size": 200 * MIB, "sha256": "0" * 64, "accepts": ["put", "multipart"]}
    assert web.post(f"{service}/uploads", json=spec).json()["strategy"] == "put"
    response = web.post(f"{service}/uploads", json=spec | {"size": 6 * 1024 * MIB})
    assert "leave sha256 out" in problem(response, 400, "no-strategy")["detail"]


def test_a_batch_is_minted_whole_or_not_at_all(service: str, web: httpx.Client) -> None:
    good = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5}
    plans = web.post(f"{service}/uploads/batch", json={"uploads": [good] * 1000}).json()["uploads"]
    assert len({plan["objectKey"] for plan in plans}) == 1000
    mixed = [good, good | {"size": 2**40}, good | {"filename": "x.exe"}, {**BIG, "size": 5}]
    document = problem(web.post(f"{service}/uploads/batch", json={"uploads": mixed}), 400, "batch-refused")
    assert [(error["index"], error["code"]) for error in document["errors"]] == [
        (1, "file-too-large"), (2, "unsupported-file-type"), (3, "validation-failed"),
    ]  # fmt: skip


@pytest.mark.parametrize("count", [0, 1001, 10_000])
def test_a_batch_out_of_bounds_is_refused(service: str, web: httpx.Client, count: int) -> None:
    uploads = [{"filename": "a.jpg", "contentType": "image/jpeg", "size": 5}] * count
    problem(web.post(f"{service}/uploads/batch", json={"uploads": uploads}), 422, "validation-failed")


def test_a_batch_whose_answer_would_pass_lambdas_limit_is_refused(start: Start, web: httpx.Client) -> None:
    service = start(AWS_SESSION_TOKEN="t" * 1000)
    spec = {**BIG, "filename": "가" * 240 + ".bin", "size": 5, "accepts": ["post"], "metadata": {}}
    refused = problem(web.post(f"{service}/uploads/batch", json={"uploads": [spec] * 1000}), 400, "batch-refused")
    assert "fewer" in refused["detail"]
    answer = web.post(f"{service}/uploads/batch", json={"uploads": [spec] * 500})
    assert len(json.dumps(answer.text)) < 6_291_556


@pytest.mark.parametrize(
    ("fields", "possible"),
    [
        ({"sha256": "0" * 64}, ["put", "post"]),
        ({"metadata": {}}, ["put", "post", "multipart", "resumable"]),
        ({"ifNoneMatch": True}, ["put", "multipart", "proxy", "resumable"]),
    ],
)
def test_a_strategy_that_cannot_carry_what_is_asked_is_not_offered(
    service: str, web: httpx.Client, fields: dict[str, Any], possible: list[str]
) -> None:
    for strategy in ("put", "post", "multipart", "resumable", "proxy"):
        response = web.post(f"{service}/uploads", json={**BIG, "size": 5, "accepts": [strategy], **fields})
        if strategy in possible:
            assert response.json()["strategy"] == strategy
        else:
            assert problem(response, 400, "no-strategy")["possible"] == possible


@pytest.mark.parametrize("numbers", [[True], [1.0], ["1"]])
def test_part_numbers_are_numbers(service: str, web: httpx.Client, numbers: list[object]) -> None:
    plan = begin(web, service)
    problem(
        web.post(f"{service}/uploads/{plan['ticket']}/parts", json={"partNumbers": numbers}), 422, "validation-failed"
    )
