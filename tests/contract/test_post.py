"""A presigned form POST stores what was announced, and S3 itself refuses everything else."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.contract import plans
from tests.contract.conftest import Ended
from tests.contract.plans import CONTENT
from tests.contract.store import Store

DENIED = "403 AccessDenied"


def mint(web: httpx.Client, service: str, **fields: Any) -> dict[str, Any]:
    plan = plans.minted(web, f"{service}/uploads", json=plans.spec(accepts=["post"], **fields))
    assert (plan["strategy"], plan["method"]) == ("post", "POST")
    return plan


def send(
    web: httpx.Client,
    plan: dict[str, Any],
    content: bytes = CONTENT,
    *,
    without: str | None = None,
    fields: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Send the form as it was minted but for the content and the fields that are given."""
    changed = plan["fields"] | dict(fields or {})
    sent = {name: value for name, value in changed.items() if name != without}
    return web.post(plan["presignedUrl"], data=sent, files={"file": ("고양이.jpg", content, "image/jpeg")})


@pytest.mark.also_on("localstack", "moto")
def test_the_right_form_succeeds_and_its_bytes_come_back(store: Store, service: str, web: httpx.Client) -> None:
    plan = mint(web, service)
    assert send(web, plan).status_code == 201
    assert store.read(plan["objectKey"]) == CONTENT
    stored = store.head(plan["objectKey"])
    assert stored
    assert stored["ContentType"] == "image/jpeg"


@pytest.mark.parametrize(
    ("content", "code"),
    [(CONTENT + b"x", "400 EntityTooLarge"), (CONTENT[:-1], "400 EntityTooSmall"), (b"", "400 EntityTooSmall")],
    ids=["one more", "one less", "none"],
)
def test_another_length_is_refused(store: Store, service: str, web: httpx.Client, content: bytes, code: str) -> None:
    plan = mint(web, service)
    store.refused(send(web, plan, content), code, gap="policy", key=plan["objectKey"])


def test_another_type_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    plan = mint(web, service)
    response = send(web, plan, fields={"Content-Type": "text/html"})
    store.refused(response, DENIED, gap="policy", key=plan["objectKey"])


def test_no_type_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    plan = mint(web, service)
    store.refused(send(web, plan, without="Content-Type"), DENIED, gap="policy", key=plan["objectKey"])


def test_another_key_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    plan = mint(web, service)
    other = f"{plan['objectKey']}.other"
    store.refused(send(web, plan, fields={"key": other}), DENIED, gap="policy", key=other)
    assert store.head(plan["objectKey"]) is None


def test_a_changed_signature_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    plan = mint(web, service)
    response = send(web, plan, fields={"x-amz-signature": "0" * 64})
    # Ceph names the other code.
    store.refused(response, "403 SignatureDoesNotMatch", DENIED, gap="policy-signature", key=plan["objectKey"])


@pytest.mark.also_on("localstack", "moto")
def test_a_policy_with_another_length_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    plan = mint(web, service)
    policy = json.loads(base64.b64decode(plan["fields"]["policy"]))
    policy["conditions"][0] = ["content-length-range", 0, 2**30]
    changed = base64.b64encode(json.dumps(policy).encode()).decode()
    response = send(web, plan, CONTENT * 2, fields={"policy": changed})
    store.refused(response, "403 SignatureDoesNotMatch", DENIED, gap="policy-signature", key=plan["objectKey"])


@pytest.mark.also_on("localstack", "moto")
def test_an_extra_field_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    plan = mint(web, service)
    response = send(web, plan, fields={"x-amz-meta-extra": "1"})
    store.refused(response, DENIED, gap="policy-field", key=plan["objectKey"])


def test_an_expired_form_is_refused(store: Store, ended: Ended, web: httpx.Client) -> None:
    store.refused(send(web, ended.form), DENIED, gap="policy", key=ended.form["objectKey"])


def test_a_form_with_the_right_checksum_is_accepted(store: Store, service: str, web: httpx.Client) -> None:
    plan = mint(web, service, sha256=hashlib.sha256(CONTENT).hexdigest())
    assert send(web, plan).status_code == 201
    assert store.read(plan["objectKey"]) == CONTENT


@pytest.mark.also_on("localstack", "moto")
def test_other_bytes_of_the_same_length_are_refused(store: Store, service: str, web: httpx.Client) -> None:
    plan = mint(web, service, sha256=hashlib.sha256(CONTENT).hexdigest())
    store.refused(send(web, plan, CONTENT[::-1]), "400 BadDigest", gap="form-checksum", key=plan["objectKey"])


def test_another_checksum_than_announced_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    plan = mint(web, service, sha256=hashlib.sha256(CONTENT).hexdigest())
    other = CONTENT[::-1]
    digest = base64.b64encode(hashlib.sha256(other).digest()).decode()
    response = send(web, plan, other, fields={"x-amz-checksum-sha256": digest})
    store.refused(response, DENIED, gap="policy", key=plan["objectKey"])


@pytest.mark.parametrize("name", ["고양이 사진.jpg", "😀.jpg"])
def test_the_original_file_name_comes_back_from_s3(store: Store, service: str, web: httpx.Client, name: str) -> None:
    plan = mint(web, service, filename=name, metadata={})
    assert send(web, plan).status_code == 201
    standard = ("user_id", "original_filename", "content_type", "upload_timestamp")
    assert store.metadata(plan["objectKey"], *standard, by_form=True)["original_filename"] == name


def test_other_metadata_than_signed_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    plan = mint(web, service, metadata={"album": "summer"})
    response = send(web, plan, fields={"x-amz-meta-album": "winter"})
    store.refused(response, DENIED, gap="policy", key=plan["objectKey"])


@pytest.mark.also_on("localstack", "moto")
def test_uppys_form_has_a_length_limit_where_it_tells_no_size(store: Store, service: str, web: httpx.Client) -> None:
    params = {"filename": "cat.jpg", "type": "image/jpeg"}
    limit = 10 * plans.MIB
    refusals = []
    for content in (CONTENT, bytes(limit), bytes(limit + 1)):
        form = web.get(f"{service}/s3/params", params=params).json()
        response = web.post(form["url"], data=form["fields"], files={"file": content})
        if len(content) > limit:
            refusals.append((response, form["fields"]["key"]))
        else:
            assert response.status_code == 201
            assert store.read(form["fields"]["key"]) == content
    ((response, key),) = refusals
    store.refused(response, "400 EntityTooLarge", gap="policy", key=key)
