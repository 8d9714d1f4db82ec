"""Stores like Backblaze B2 and Cloudflare R2: no x-amz-checksum-*, no form POST."""

import httpx
import pytest

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
    assert refused["possible"] == ["put", "multipart", "proxy"]
    assert web.post(f"{start()}/uploads", json=JPEG | {"accepts": ["post"]}).json()["strategy"] == "post"


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
