"""A form through the service: what S3 refuses, the service reports as refused, and nothing is stored."""

from typing import Any

import httpx
import pytest

from tests.conftest import problem
from tests.contract import plans
from tests.contract.gaps import GAPS
from tests.contract.plans import CONTENT
from tests.contract.store import Store

PATHS = ["/upload-with-presigned", "/upload-with-presigned-retry"]


def send(
    web: httpx.Client,
    form: str,
    upload_url: str,
    content: bytes = CONTENT,
    name: str = "cat.jpg",
    content_type: str = "image/jpeg",
) -> httpx.Response:
    return web.post(form, data={"uploadUrl": upload_url}, files={"file": (name, content, content_type)})


def refused_by_s3(store: Store, response: httpx.Response, status: int, code: str, *, gap: str, key: str) -> None:
    """The service reports S3's own status and code, and nothing is stored."""
    if gap in GAPS[store.name]:
        assert response.json()["success"] is True, f"{store.name} no longer has the gap {gap}"
        pytest.skip(f"{store.name}, gap {gap}: it stored what the form sent")
    document = problem(response, 400, "upstream-refused")
    assert (document["upstream_status"], document["upstream_code"]) == (status, code)
    assert store.head(key) is None


@pytest.mark.parametrize("name", ["cat.jpg", "고양이 사진.jpg", "😀.jpg"])
def test_a_proxy_plan_is_followed_and_its_bytes_come_back(
    store: Store, service: str, web: httpx.Client, name: str
) -> None:
    wanted = plans.spec(filename=name, accepts=["proxy"])
    plan = plans.minted(web, f"{service}/uploads", json=wanted)
    response = web.post(service + plan["formUrl"], data=plan["fields"], files={"file": (name, CONTENT, "image/jpeg")})
    assert response.json()["success"] is True, response.text
    assert response.json()["filename"] == name
    assert store.read(plan["objectKey"]) == CONTENT


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("family", plans.PUTS)
def test_a_url_of_any_family_is_taken(store: Store, service: str, web: httpx.Client, family: str, path: str) -> None:
    put = plans.PUTS[family](web, service)
    content_type = put.headers["Content-Type"]
    assert send(web, service + path, put.url, content_type=content_type).json()["success"] is True
    assert store.read(put.key) == CONTENT


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "wrong",
    [{"content": CONTENT + b"x"}, {"content": CONTENT[:-1]}, {"content_type": "text/html"}],
    ids=["one more", "one less", "another type"],
)
def test_another_file_than_announced_is_refused(
    store: Store, service: str, web: httpx.Client, path: str, wrong: dict[str, Any]
) -> None:
    put = plans.mint_for_proxy(web, service)
    response = send(web, service + path, put.url, **wrong)
    refused_by_s3(store, response, 403, "SignatureDoesNotMatch", gap="signature", key=put.key)


def test_a_changed_signature_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    put = plans.mint_for_proxy(web, service)
    response = send(web, service + PATHS[1], plans.with_other_signature(put.url))
    refused_by_s3(store, response, 403, "SignatureDoesNotMatch", gap="signature", key=put.key)


def test_another_key_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    put = plans.mint_for_proxy(web, service)
    other = f"{put.key}.other"
    response = send(web, service + PATHS[1], plans.for_key(put.url, put.key, other))
    refused_by_s3(store, response, 403, "SignatureDoesNotMatch", gap="signature", key=other)


def test_a_single_use_url_stores_once(store: Store, service: str, web: httpx.Client) -> None:
    put = plans.mint_put(web, service, ifNoneMatch=True)
    assert send(web, service + PATHS[1], put.url).json()["success"] is True
    document = problem(send(web, service + PATHS[1], put.url, CONTENT[::-1]), 400, "upstream-refused")
    assert (document["upstream_status"], document["upstream_code"]) == (412, "PreconditionFailed")
    assert store.read(put.key) == CONTENT


@pytest.mark.parametrize("form", ["whole", "compact"])
def test_a_part_is_taken(store: Store, service: str, web: httpx.Client, form: str) -> None:
    plan = plans.begin(web, service, compact=form == "compact")
    (url,) = plans.part_urls(plan)
    assert send(web, service + PATHS[0], url).json()["success"] is True
    assert web.post(f"{service}/uploads/{plan['ticket']}/complete").json()["size"] == len(CONTENT)
    assert store.read(plan["objectKey"]) == CONTENT
