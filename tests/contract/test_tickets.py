"""A multipart upload through the service's own routes: resumed, completed, given up, and nothing left behind."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.conftest import Start, problem
from tests.contract import plans
from tests.contract.gaps import GAPS
from tests.contract.plans import CONTENT, begin, document, follow, part_urls, send_parts
from tests.contract.store import Store
from tests.contract.test_parts import LONG


@pytest.fixture
def other_client() -> Iterator[httpx.Client]:
    """Another device: connections of its own, and nothing but the ticket."""
    with httpx.Client(timeout=30, trust_env=False) as client:
        yield client


def at(service: str, plan: dict[str, Any]) -> str:
    return f"{service}/uploads/{plan['ticket']}"


@pytest.mark.parametrize("once", [False, True], ids=["overwriting", "single use"])
@pytest.mark.parametrize("named", [True, False], ids=["parts named", "parts listed by S3"])
def test_completing_twice_gives_the_same_answer_and_leaves_nothing(
    store: Store, service: str, web: httpx.Client, once: bool, named: bool
) -> None:
    plan = begin(web, service, len(LONG), ifNoneMatch=once)
    parts = send_parts(web, plan, LONG)
    body = {"parts": parts} if named else None
    first, second = (web.post(f"{at(service, plan)}/complete", json=body) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200), second.text
    assert first.json() == second.json()
    assert (first.json()["objectKey"], first.json()["size"]) == (plan["objectKey"], len(LONG))
    assert store.read(plan["objectKey"]) == LONG
    assert store.unfinished(plan["objectKey"]) == []


def test_completing_after_the_presigned_complete_succeeds(store: Store, service: str, web: httpx.Client) -> None:
    plan = begin(web, service)
    parts = send_parts(web, plan, CONTENT)
    assert follow(web, plan["complete"], content=document(parts)).status_code == 200
    assert web.post(f"{at(service, plan)}/complete", json={"parts": parts}).json()["size"] == len(CONTENT)
    assert store.read(plan["objectKey"]) == CONTENT


def test_a_completed_upload_says_so(service: str, web: httpx.Client) -> None:
    plan = begin(web, service)
    send_parts(web, plan, CONTENT)
    progress = web.get(at(service, plan)).json()
    assert (progress["completed"], [part["size"] for part in progress["parts"]]) == (False, [len(CONTENT)])
    web.post(f"{at(service, plan)}/complete").raise_for_status()
    progress = web.get(at(service, plan)).json()
    assert (progress["completed"], progress["missing"]) == (True, [])


def test_an_upload_goes_on_with_another_client_and_another_instance(
    store: Store, service: str, start: Start, web: httpx.Client, other_client: httpx.Client
) -> None:
    plan = begin(web, service, len(LONG))
    send_parts(web, plan, LONG, 1)
    there = at(start(), plan)
    progress = other_client.get(there).json()
    assert (progress["completed"], progress["missing"]) == (False, [2])
    assert [(part["partNumber"], part["size"]) for part in progress["parts"]] == [(1, plan["partSize"])]
    assert problem(other_client.post(f"{there}/complete"), 400, "parts-invalid")["missing"] == [2]
    (fresh,) = other_client.post(f"{there}/parts", json={"partNumbers": [2]}).json()["parts"]
    rest = LONG[plan["partSize"] :]
    response = other_client.put(fresh["url"], content=rest + b"x")
    if "signature" not in GAPS[store.name]:
        assert response.status_code == 403, "fresh URLs sign the length too"
    assert other_client.put(fresh["url"], content=rest).status_code == 200
    assert other_client.post(f"{there}/complete").json()["size"] == len(LONG)
    assert store.read(plan["objectKey"]) == LONG
    assert store.unfinished(plan["objectKey"]) == []


def test_a_part_sent_again_replaces_the_first(store: Store, service: str, web: httpx.Client) -> None:
    plan = begin(web, service)
    (url,) = part_urls(plan)
    assert web.put(url, content=CONTENT[::-1]).status_code == 200
    parts = send_parts(web, plan, CONTENT)
    assert web.post(f"{at(service, plan)}/complete", json={"parts": parts}).status_code == 200
    assert store.read(plan["objectKey"]) == CONTENT


def test_completing_with_a_wrong_etag_is_refused_and_loses_nothing(
    store: Store, service: str, web: httpx.Client
) -> None:
    plan = begin(web, service)
    (part,) = send_parts(web, plan, CONTENT)
    wrong = {"parts": [part | {"etag": "0" * 32}]}
    document = problem(web.post(f"{at(service, plan)}/complete", json=wrong), 400, "parts-refused")
    assert document["upstream_code"] == "InvalidPart"
    assert store.read(plan["objectKey"]) is None
    assert web.post(f"{at(service, plan)}/complete", json={"parts": [part]}).status_code == 200
    assert store.read(plan["objectKey"]) == CONTENT


def test_completing_with_a_missing_part_is_refused_and_loses_nothing(
    store: Store, service: str, web: httpx.Client
) -> None:
    plan = begin(web, service, len(LONG))
    parts = send_parts(web, plan, LONG)
    url = f"{at(service, plan)}/complete"
    assert problem(web.post(url, json={"parts": parts[:1]}), 400, "parts-invalid")["missing"] == [2]
    assert store.read(plan["objectKey"]) is None
    assert web.post(url, json={"parts": parts}).status_code == 200
    assert store.read(plan["objectKey"]) == LONG


@pytest.mark.also_on("localstack")
@pytest.mark.parametrize("named", [True, False], ids=["parts named", "parts listed by S3"])
def test_an_object_of_another_length_does_not_stay(store: Store, service: str, web: httpx.Client, named: bool) -> None:
    plan = begin(web, service, len(LONG))
    (first,) = send_parts(web, plan, LONG, 1)
    short = follow(web, plan["complete"], content=document([first]))
    url = f"{at(service, plan)}/complete"
    if "object-size" in GAPS[store.name]:
        assert short.status_code == 200, f"{store.name} no longer has the gap object-size"
        body = {"parts": [first, first | {"partNumber": 2}]} if named else None
        sizes = problem(web.post(url, json=body), 400, "size-mismatch")
        assert (sizes["expected_bytes"], sizes["stored_bytes"]) == (len(LONG), plan["partSize"])
        assert store.read(plan["objectKey"]) is None
    else:
        assert short.status_code == 400
        both = [first, *send_parts(web, plan, LONG, 2)]
        assert web.post(url, json={"parts": both} if named else None).status_code == 200
        assert store.read(plan["objectKey"]) == LONG
    assert store.unfinished(plan["objectKey"]) == []


def test_a_single_use_upload_does_not_overwrite(store: Store, service: str, web: httpx.Client) -> None:
    plan = begin(web, service, ifNoneMatch=True)
    parts = send_parts(web, plan, CONTENT)
    store.write(plan["objectKey"], b"another file")
    answer = web.post(f"{at(service, plan)}/complete", json={"parts": parts})
    if "complete-once" in GAPS[store.name]:
        assert answer.status_code == 200, f"{store.name} no longer has the gap complete-once"
        pytest.skip(f"{store.name}, gap complete-once: it overwrites")
    problem(answer, 412, "already-exists")
    assert store.read(plan["objectKey"]) == b"another file"
    assert web.delete(at(service, plan)).status_code == 204
    assert store.unfinished(plan["objectKey"]) == []
    assert store.read(plan["objectKey"]) == b"another file"


def test_an_upload_given_up_leaves_nothing_and_everything_after_says_so(
    store: Store, service: str, web: httpx.Client
) -> None:
    plan = begin(web, service, len(LONG))
    parts = send_parts(web, plan, LONG)
    url = at(service, plan)
    assert web.delete(url).status_code == 204
    assert store.unfinished(plan["objectKey"]) == []
    assert store.read(plan["objectKey"]) is None
    problem(web.get(url), 404, "upload-not-found")
    problem(web.post(f"{url}/complete"), 404, "upload-not-found")
    problem(web.post(f"{url}/complete", json={"parts": parts}), 404, "upload-not-found")
    given_up_again = web.delete(url)
    store.lacks(gap="aborted-abort", answered="2xx" if given_up_again.is_success else "404 NoSuchUpload")
    problem(given_up_again, 404, "upload-not-found")


def test_giving_a_finished_upload_up_leaves_the_object(store: Store, service: str, web: httpx.Client) -> None:
    plan = begin(web, service)
    send_parts(web, plan, CONTENT)
    assert web.post(f"{at(service, plan)}/complete").status_code == 200
    given_up = web.delete(at(service, plan))
    assert store.read(plan["objectKey"]) == CONTENT
    store.lacks(gap="aborted-abort", answered="2xx" if given_up.is_success else "404 NoSuchUpload")
    problem(given_up, 404, "upload-not-found")


@pytest.mark.full
def test_the_parts_that_s3_lists_on_a_second_page_are_known(store: Store, service: str, web: httpx.Client) -> None:
    """ListParts answers at most 1,000 parts at a time."""
    if store.name == "moto":
        pytest.skip("moto pages in the same way, and needs 8 s for it")
    plan = begin(web, service, 1_001 * 8 * plans.MIB)
    assert plan["partCount"] == 1_001
    now = datetime.now(UTC).replace(microsecond=0)
    # Without a length, so that they need not be sent whole.
    parts = [(number, None) for number in range(1, 1_002)]
    head, tail, signatures = store.signer().presign_parts(
        plan["objectKey"], plan["uploadId"], parts, now=now, expires_s=600
    )
    for (number, _), signature in zip(parts, signatures, strict=True):
        assert web.put(f"{head}{number}{tail}{signature}", content=b"x").status_code == 200
    progress = web.get(at(service, plan)).json()
    assert [part["partNumber"] for part in progress["parts"]] == list(range(1, 1_002))
    assert progress["missing"] == []
    assert web.delete(at(service, plan)).status_code == 204
    assert store.unfinished(plan["objectKey"]) == []


def test_uppys_upload_is_stored_and_leaves_nothing(store: Store, service: str, web: httpx.Client) -> None:
    wanted = {"filename": "고양이.bin", "type": "application/octet-stream", "metadata": {"purpose": "file"}}
    begun = plans.minted(web, f"{service}/s3/multipart", json=wanted)
    url = f"{service}/s3/multipart/{begun['uploadId']}"
    part = web.get(f"{url}/1", params={"key": begun["key"]}).json()
    etag = web.put(part["url"], content=CONTENT).headers["etag"]
    assert [found["Size"] for found in web.get(url).json()] == [len(CONTENT)]
    for _ in range(2):
        done = web.post(f"{url}/complete", json={"parts": [{"PartNumber": 1, "ETag": etag}]})
        assert (done.status_code, done.json()["key"]) == (200, begun["key"])
    assert store.read(begun["key"]) == CONTENT
    assert store.unfinished(begun["key"]) == []


def test_uppys_aborted_upload_leaves_nothing(store: Store, service: str, web: httpx.Client) -> None:
    wanted = {"filename": "a.bin", "metadata": {"purpose": "file", "size": len(CONTENT)}}
    begun = plans.minted(web, f"{service}/s3/multipart", json=wanted)
    url = f"{service}/s3/multipart/{begun['uploadId']}"
    signed = web.get(f"{url}/1").json()["url"]
    assert web.put(signed, content=CONTENT).status_code == 200
    for _ in range(2):
        assert web.delete(url, params={"key": begun["key"]}).status_code == 200
    assert store.unfinished(begun["key"]) == []
    assert store.read(begun["key"]) is None


def test_uppys_part_has_its_announced_length(store: Store, service: str, web: httpx.Client) -> None:
    wanted = {"filename": "a.bin", "metadata": {"purpose": "file", "size": str(len(CONTENT))}}
    begun = plans.minted(web, f"{service}/s3/multipart", json=wanted)
    signed = web.get(f"{service}/s3/multipart/{begun['uploadId']}/1").json()["url"]
    response = web.put(signed, content=CONTENT + b"x")
    store.refused(response, "403 SignatureDoesNotMatch", gap="signature", key=begun["key"])
