"""The parts of a multipart upload: S3 takes each as it was signed, and in no other way."""

import contextlib
import http.client
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.contract import plans
from tests.contract.plans import CONTENT, MIB, begin, document, follow, part_urls, send_parts
from tests.contract.store import Store

UNSIGNED = "403 SignatureDoesNotMatch"
# Two parts: the first as long as a plan makes them, the last a little.
LONG = CONTENT * (8 * MIB // len(CONTENT) + 1)


@pytest.fixture(params=["whole", "compact"])
def compact(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "compact")


@pytest.fixture
def plan(service: str, web: httpx.Client, compact: bool) -> dict[str, Any]:
    return begin(web, service, compact=compact)


def nothing_came(store: Store, web: httpx.Client, plan: dict[str, Any]) -> None:
    """S3 has no part of the upload."""
    listed = follow(web, plan["list"])
    assert listed.status_code == 200
    assert "<Part>" not in listed.text
    assert store.unfinished(plan["objectKey"]) == [plan["uploadId"]]


@pytest.mark.also_on("localstack", "moto")
def test_the_presigned_requests_alone_store_the_file_and_leave_nothing(
    store: Store, service: str, web: httpx.Client, compact: bool
) -> None:
    plan = begin(web, service, len(LONG), compact=compact)
    assert plan["partCount"] == 2
    parts = send_parts(web, plan, LONG)
    listed = follow(web, plan["list"]).text
    assert [f"<PartNumber>{number}</PartNumber>" in listed for number in (1, 2, 3)] == [True, True, False]
    assert store.unfinished(plan["objectKey"]) == [plan["uploadId"]]
    assert store.read(plan["objectKey"]) is None, "nothing is there before the end"
    done = follow(web, plan["complete"], content=document(parts))
    assert (done.status_code, "<CompleteMultipartUploadResult" in done.text) == (200, True)
    assert store.read(plan["objectKey"]) == LONG
    assert store.unfinished(plan["objectKey"]) == []


def test_metadata_of_an_upload_in_parts_comes_back_from_s3(store: Store, service: str, web: httpx.Client) -> None:
    plan = begin(web, service, filename="고양이 😀.bin", metadata={"album": "여름"})
    parts = send_parts(web, plan, CONTENT)
    assert follow(web, plan["complete"], content=document(parts)).status_code == 200
    names = ("album", "user_id", "original_filename", "content_type", "upload_timestamp")
    metadata = store.metadata(plan["objectKey"], *names)
    assert (metadata["album"], metadata["original_filename"]) == ("여름", "고양이 😀.bin")
    stored = store.head(plan["objectKey"])
    assert stored
    assert stored["ContentType"] == "application/octet-stream"


@pytest.mark.parametrize("content", [CONTENT + b"x", CONTENT[:-1], b""], ids=["one more", "one less", "none"])
def test_a_part_of_another_length_is_refused(
    store: Store, web: httpx.Client, plan: dict[str, Any], content: bytes
) -> None:
    (url,) = part_urls(plan)
    store.refused(web.put(url, content=content), UNSIGNED, gap="signature", key=plan["objectKey"])
    nothing_came(store, web, plan)


def test_the_last_part_has_a_length_of_its_own(store: Store, service: str, web: httpx.Client, compact: bool) -> None:
    plan = begin(web, service, len(LONG), compact=compact)
    _, last = part_urls(plan)
    content = LONG[: plan["partSize"]]
    store.refused(web.put(last, content=content), UNSIGNED, gap="signature", key=plan["objectKey"])
    nothing_came(store, web, plan)


def test_a_part_that_two_requests_send_at_once_is_one_part(store: Store, service: str, web: httpx.Client) -> None:
    plan = begin(web, service, len(LONG))
    first, last = part_urls(plan)
    content, half = LONG[: plan["partSize"]], plan["partSize"] // 2
    place = urlsplit(first)
    with contextlib.ExitStack() as stack:
        sending = [
            stack.enter_context(contextlib.closing(http.client.HTTPConnection(place.netloc, timeout=30))) for _ in "12"
        ]
        for each in sending:
            each.putrequest("PUT", f"{place.path}?{place.query}")
            each.putheader("Content-Length", str(len(content)))
            each.endheaders()
            each.send(content[:half])
        for each in sending:
            each.send(content[half:])
        statuses = [each.getresponse().status for each in sending]
        assert 200 in statuses, "moto refuses one of them"
    assert web.put(last, content=LONG[plan["partSize"] :]).status_code == 200
    progress = web.get(f"{service}/uploads/{plan['ticket']}").json()
    assert [part["partNumber"] for part in progress["parts"]] == [1, 2]
    done = web.post(f"{service}/uploads/{plan['ticket']}/complete")
    assert done.status_code == 200, done.text
    assert store.read(plan["objectKey"]) == LONG


def test_a_part_under_another_number_is_refused(store: Store, web: httpx.Client, plan: dict[str, Any]) -> None:
    (url,) = part_urls(plan)
    response = web.put(url.replace("partNumber=1&", "partNumber=2&"), content=CONTENT)
    store.refused(response, UNSIGNED, gap="signature", key=plan["objectKey"])
    nothing_came(store, web, plan)


def test_a_part_for_another_upload_is_refused(
    store: Store, service: str, web: httpx.Client, plan: dict[str, Any]
) -> None:
    other = begin(web, service)
    (url,) = part_urls(plan)
    mixed = plans.for_key(url, plan["objectKey"], other["objectKey"])
    response = web.put(mixed.replace(plan["uploadId"], other["uploadId"]), content=CONTENT)
    store.refused(response, UNSIGNED, gap="signature", key=other["objectKey"])
    nothing_came(store, web, other)


def test_a_part_with_a_changed_signature_is_refused(store: Store, web: httpx.Client, plan: dict[str, Any]) -> None:
    (url,) = part_urls(plan)
    response = web.put(plans.with_other_signature(url), content=CONTENT)
    store.refused(response, UNSIGNED, gap="signature", key=plan["objectKey"])
    nothing_came(store, web, plan)


def test_a_part_is_refused_at_an_expired_url(store: Store, web: httpx.Client, plan: dict[str, Any]) -> None:
    then = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1, seconds=1)
    signed = store.signer().presign_parts(
        plan["objectKey"], plan["uploadId"], [(1, len(CONTENT))], now=then, expires_s=3600
    )
    head, tail, signatures = signed
    response = web.put(f"{head}1{tail}{next(signatures)}", content=CONTENT)
    store.refused(response, "403 AccessDenied", gap="expiry", key=plan["objectKey"])
    nothing_came(store, web, plan)


@pytest.mark.parametrize("name", ["complete", "abort", "list"])
def test_a_changed_request_is_refused_and_the_upload_goes_on(
    store: Store, service: str, web: httpx.Client, name: str
) -> None:
    plan = begin(web, service)
    parts = send_parts(web, plan, CONTENT)
    url = plans.with_other_signature(plan[name]["url"])
    body = document(parts) if name == "complete" else None
    response = follow(web, plan[name], url=url, content=body)
    store.refused(response, UNSIGNED, gap="signature", key=plan["objectKey"])
    assert follow(web, plan["complete"], content=document(parts)).status_code == 200
    assert store.read(plan["objectKey"]) == CONTENT


@pytest.mark.parametrize("name", ["complete", "abort", "list"])
def test_an_expired_request_is_refused_and_the_upload_goes_on(
    store: Store, service: str, web: httpx.Client, name: str
) -> None:
    plan = begin(web, service)
    parts = send_parts(web, plan, CONTENT)
    request = plan[name]
    url = store.signer().presign(
        request["method"],
        plan["objectKey"],
        now=datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1, seconds=1),
        expires_s=3600,
        headers=request["headers"],
        query={"uploadId": plan["uploadId"]},
    )
    body = document(parts) if name == "complete" else None
    response = follow(web, request, url=url, content=body)
    store.refused(response, "403 AccessDenied", gap="expiry", key=plan["objectKey"])
    assert follow(web, plan["complete"], content=document(parts)).status_code == 200
    assert store.read(plan["objectKey"]) == CONTENT


@pytest.mark.also_on("localstack", "moto")
def test_an_object_of_another_length_than_signed_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    plan = begin(web, service, len(LONG))
    first = send_parts(web, plan, LONG, 1)
    response = follow(web, plan["complete"], content=document(first))
    store.refused(response, "400 InvalidRequest", gap="object-size", key=plan["objectKey"])
    second = send_parts(web, plan, LONG, 2)
    assert follow(web, plan["complete"], content=document(first + second)).status_code == 200
    assert store.read(plan["objectKey"]) == LONG


def test_completing_without_the_signed_length_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    plan = begin(web, service)
    parts = send_parts(web, plan, CONTENT)
    response = follow(web, plan["complete"], content=document(parts), headers={})
    store.refused(response, UNSIGNED, gap="signature", key=plan["objectKey"])


def test_completing_with_a_wrong_etag_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    plan = begin(web, service)
    (part,) = send_parts(web, plan, CONTENT)
    response = follow(web, plan["complete"], content=document([part | {"etag": f'"{"0" * 32}"'}]))
    store.refused(response, "400 InvalidPart", gap=None, key=plan["objectKey"])
    assert follow(web, plan["complete"], content=document([part])).status_code == 200
    assert store.read(plan["objectKey"]) == CONTENT


def test_completing_with_a_part_that_never_came_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    plan = begin(web, service, len(LONG))
    (first,) = send_parts(web, plan, LONG, 1)
    response = follow(web, plan["complete"], content=document([first, first | {"partNumber": 2}]))
    store.refused(response, "400 InvalidPart", gap=None, key=plan["objectKey"])


@pytest.mark.also_on("localstack")
def test_completing_a_single_use_upload_onto_an_object_is_refused(
    store: Store, service: str, web: httpx.Client
) -> None:
    plan = begin(web, service, ifNoneMatch=True)
    parts = send_parts(web, plan, CONTENT)
    store.write(plan["objectKey"], b"another file")
    response = follow(web, plan["complete"], content=document(parts))
    store.refused(response, "412 PreconditionFailed", gap="complete-once", key=plan["objectKey"], keeps=b"another file")


@pytest.mark.also_on("localstack")
def test_the_presigned_abort_leaves_nothing_and_a_second_one_says_so(
    store: Store, service: str, web: httpx.Client
) -> None:
    plan = begin(web, service)
    send_parts(web, plan, CONTENT)
    assert follow(web, plan["abort"]).status_code == 204
    assert store.unfinished(plan["objectKey"]) == []
    # Ceph calls the upload a key.
    store.refused(follow(web, plan["list"]), "404 NoSuchUpload", "404 NoSuchKey", gap=None, key=plan["objectKey"])
    store.refused(follow(web, plan["abort"]), "404 NoSuchUpload", gap="aborted-abort", key=plan["objectKey"])


@pytest.mark.also_on("localstack", "moto")
def test_an_aborted_upload_takes_no_part(store: Store, web: httpx.Client, plan: dict[str, Any]) -> None:
    assert follow(web, plan["abort"]).status_code == 204
    (url,) = part_urls(plan)
    store.refused(web.put(url, content=CONTENT), "404 NoSuchUpload", gap="aborted-part", key=plan["objectKey"])
    assert store.unfinished(plan["objectKey"]) == []


@pytest.mark.also_on("localstack", "moto")
def test_an_aborted_upload_is_not_completed(store: Store, service: str, web: httpx.Client) -> None:
    plan = begin(web, service)
    parts = send_parts(web, plan, CONTENT)
    assert follow(web, plan["abort"]).status_code == 204
    response = follow(web, plan["complete"], content=document(parts))
    assert store.read(plan["objectKey"]) is None
    store.refused(response, "404 NoSuchUpload", gap="aborted-complete", key=plan["objectKey"])
