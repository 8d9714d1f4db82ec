"""Stores like Backblaze B2 and Cloudflare R2: no x-amz-checksum-*, no form POST."""

import base64
import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from local.database import local_database
from tests.conftest import Start, problem
from tests.form_proxy.lesser_store import lesser_store
from tests.form_proxy.test_routes import FILE, RETRY, URL, post

STORE = "/api/v1/s3/upload"
MIB = 1024 * 1024
FOLDER = ('name="folder"', b"x")
JPEG = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5}


@pytest.mark.parametrize("refuses_with", [400, 501])
@pytest.mark.parametrize("checksums", ["md5", "off"])
@pytest.mark.parametrize("size", [5, 20 * MIB])
def test_a_store_without_checksums_stores_a_form(
    start: Start, web: httpx.Client, refuses_with: int, checksums: str, size: int
) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    with lesser_store(refuses_with) as store:
        service = start(AWS_S3_ENDPOINT_URL=store.endpoint_url, S3_CHECKSUMS=checksums)
        answer = post(web, service + STORE, FOLDER, (FILE, content))
        assert answer.status_code == 200, answer.text
        assert [stored for stored, _ in store.objects.values()] == [content]
        assert {"content-md5" in names for names in store.headers_of("PUT")} == {checksums == "md5"}


@pytest.mark.parametrize("refuses_with", [400, 501])
@pytest.mark.parametrize("size", [5, 20 * MIB])
def test_without_the_setting_the_operator_is_told_of_it(
    start: Start, web: httpx.Client, refuses_with: int, size: int
) -> None:
    with lesser_store(refuses_with) as store:
        service = start(AWS_S3_ENDPOINT_URL=store.endpoint_url)
        refused = problem(post(web, service + STORE, FOLDER, (FILE, bytes(size))), 502, "storage-unavailable")
        assert "S3_CHECKSUMS=md5" in refused["detail"]


def test_minting_and_sending_through_need_no_checksum(start: Start, web: httpx.Client) -> None:
    with lesser_store() as store:
        service = start(AWS_S3_ENDPOINT_URL=store.endpoint_url, S3_CHECKSUMS="md5", S3_FORM_POST="false")
        plan = web.post(f"{service}/uploads", json=JPEG).json()
        assert web.put(plan["presignedUrl"], content=b"12345", headers=plan["headers"]).status_code == 200
        plan = web.post(f"{service}/uploads", json=JPEG).json()
        assert post(web, service + RETRY, (URL, plan["presignedUrl"].encode()), (FILE, b"12345")).status_code == 200
        assert len(store.objects) == 2
        assert web.get(f"{service}/images/{plan['objectKey']}/metadata").json()["size"] == 5


def test_a_digest_that_nothing_would_compare_is_refused(start: Start, web: httpx.Client) -> None:
    service = start(S3_CHECKSUMS="md5")
    refused = problem(web.post(f"{service}/uploads", json=JPEG | {"sha256": "0" * 64}), 422, "validation-failed")
    assert refused["errors"][0]["field"] == "sha256"


def test_no_plan_is_a_form_where_the_store_takes_none(start: Start, web: httpx.Client) -> None:
    service = start(S3_FORM_POST="false")
    for accepts, strategy in ((["post", "put"], "put"), (["post", "proxy"], "proxy"), (["post", "multipart"],
                                                                                      "multipart")):  # fmt: skip
        plan = web.post(f"{service}/uploads", json=JPEG | {"accepts": accepts}).json()
        assert plan["strategy"] == strategy
    refused = problem(web.post(f"{service}/uploads", json=JPEG | {"accepts": ["post"]}), 400, "no-strategy")
    assert refused["possible"] == ["put", "multipart", "proxy", "resumable"]
    assert web.post(f"{start()}/uploads", json=JPEG | {"accepts": ["post"]}).json()["strategy"] == "post"


def test_a_client_that_accepts_forms_alone_is_told_that_the_store_takes_none(start: Start, web: httpx.Client) -> None:
    service = start(S3_FORM_POST="off")
    for fields in ({}, {"size": None}):
        body = JPEG | {"accepts": ["post"]} | fields
        refused = problem(web.post(f"{service}/uploads", json=body), 400, "no-strategy")
        assert "takes no form POST. Accept one of: put," in refused["detail"]
    body = JPEG | {"accepts": ["multipart"], "size": None}
    assert "form" not in problem(web.post(f"{service}/uploads", json=body), 400, "no-strategy")["detail"]


# Requests that get a form where the store takes forms, and what would if a route had forgotten the setting.
MINTED: Mapping[str, Mapping[str, Any]] = {
    "post /uploads": {"json": JPEG | {"accepts": ["post", "put"], "size": None}},
    "post /uploads/batch": {"json": {"uploads": [JPEG | {"accepts": ["post", "put"], "size": None}]}},
    "post /posts": {"json": JPEG | {"accepts": ["post", "put"], "size": None}},
    "get /s3/params": {"params": {"filename": "cat.jpg", "type": "image/jpeg"}},
    "post /s3/multipart": {"json": {"filename": "cat.jpg", "type": "image/jpeg", "metadata": {}}},
    "post /files/upload-url": {"params": {"filename": "cat.jpg"}},
    **{
        f"post /images/presigned-url{path}": {"json": {"content_type": "image/jpeg"}}
        for path in ("", "/scan", "/profile", "/chat")
    },
}


def test_no_route_makes_a_form_where_the_store_takes_none(start: Start, web: httpx.Client) -> None:
    with local_database() as database:
        without, usual = start(S3_FORM_POST="off", **database), start(**database)
        paths = web.get(f"{without}/openapi.json").json()["paths"]
        reserving = {
            f"{method} {path}"
            for path, methods in paths.items()
            for method, operation in methods.items()
            if "quota-exceeded" in str(operation["responses"])
        }
        # The others store a file themselves, and make no form.
        assert reserving == {*MINTED, "post /api/v1/s3/upload", "post /uploads/from-url", "post /resumable"}
        forms = set()
        for route, request in MINTED.items():
            method, path = route.split()
            answer = web.request(method, without + path, **request)
            assert answer.is_success, answer.text
            assert "content-length-range" not in policies(answer.text)
            if "content-length-range" in policies(web.request(method, usual + path, **request).text):
                forms.add(route)
    assert forms == {"post /uploads", "post /uploads/batch", "post /posts", "get /s3/params"}


def policies(text: str) -> str:
    """What stands in the base64 texts of an answer: a policy is one."""
    found = re.findall(r'"((?:[A-Za-z0-9+/]{4}){20,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)"', text)
    return "".join(base64.b64decode(each).decode("latin-1") for each in found)


def test_without_forms_an_unsized_upload_says_that_s3_does_not_hold_it(start: Start, web: httpx.Client) -> None:
    plan = web.post(
        f"{start(S3_FORM_POST='off')}/uploads", json=JPEG | {"accepts": ["post", "put"], "size": None}
    ).json()
    assert (plan["strategy"], plan["sizeEnforced"], plan["maxBytes"]) == ("put", False, 10 * MIB)


def test_uppy_gets_a_put_where_the_store_takes_no_forms(start: Start, web: httpx.Client) -> None:
    with lesser_store() as store:
        service = start(AWS_S3_ENDPOINT_URL=store.endpoint_url, S3_FORM_POST="false")
        query = {"filename": "cat.jpg", "type": "image/jpeg", "metadata[size]": "5"}
        plan = web.get(f"{service}/s3/params", params=query).json()
        # What @uppy/aws-s3 3 to 5 read: https://uppy.io/docs/aws-s3/#getuploadparametersfile-options
        assert (plan["method"], plan["headers"], plan["fields"]) == ("PUT", {"Content-Type": "image/jpeg"}, {})
        assert plan["expires"] > 0
        sent = web.request(plan["method"], plan["url"], content=b"12345", headers=plan["headers"])
        assert sent.status_code == 200
        assert list(store.objects.values()) == [(b"12345", "image/jpeg")]
        assert "content-length%3B" in plan["url"]
    assert web.get(f"{start()}/s3/params", params=query).json()["method"] == "POST"
