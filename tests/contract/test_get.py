"""A presigned GET shows one object, under one name, for a time."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import pytest

from image_upload.library.disposition import content_disposition
from tests.contract import plans
from tests.contract.plans import CONTENT
from tests.contract.store import Store

UNSIGNED = "403 SignatureDoesNotMatch"


@pytest.fixture
def key(service: str, web: httpx.Client) -> str:
    put = plans.mint_file(web, service)
    assert put.send(web).status_code == 200
    return put.key


def read_url(web: httpx.Client, service: str, key: str, **params: str) -> str:
    response = web.get(f"{service}/images/{quote(key)}", params=params)
    assert response.status_code == 200, response.text
    url: str = response.json()["url"]
    return url


def test_a_read_url_brings_back_the_bytes(service: str, web: httpx.Client, key: str) -> None:
    assert web.get(read_url(web, service, key)).content == CONTENT


@pytest.mark.parametrize("name", ["cat.jpg", "고양이 사진.jpg", "a\"b%c'd;e+f.jpg", "😀.jpg"])
def test_a_download_is_saved_under_its_name(service: str, web: httpx.Client, key: str, name: str) -> None:
    read = web.get(read_url(web, service, key, as_download="true", filename=name))
    assert read.content == CONTENT
    assert read.headers["content-disposition"] == content_disposition(name, attachment=True)


def test_a_key_without_an_object_answers_404(service: str, web: httpx.Client) -> None:
    assert web.get(read_url(web, service, "uploads/nothing.jpg")).status_code == 404


def test_a_changed_signature_is_refused(store: Store, service: str, web: httpx.Client, key: str) -> None:
    response = web.get(plans.with_other_signature(read_url(web, service, key)))
    store.refused(response, UNSIGNED, gap="signature", key=key, keeps=CONTENT)


def test_another_key_is_refused(store: Store, service: str, web: httpx.Client, key: str) -> None:
    other = f"{key}.other"
    store.write(other, b"secret")
    response = web.get(plans.for_key(read_url(web, service, key), key, other))
    store.refused(response, UNSIGNED, gap="signature", key=other, keeps=b"secret")


def test_another_name_than_signed_is_refused(store: Store, service: str, web: httpx.Client, key: str) -> None:
    url = read_url(web, service, key, as_download="true", filename="a.jpg")
    response = web.get(url.replace("a.jpg", "b.exe"))
    store.refused(response, UNSIGNED, gap="signature", key=key, keeps=CONTENT)


def test_a_read_url_does_not_write(store: Store, service: str, web: httpx.Client, key: str) -> None:
    response = web.put(read_url(web, service, key), content=b"other")
    store.refused(response, UNSIGNED, gap="signature", key=key, keeps=CONTENT)


def test_a_read_url_does_not_delete(store: Store, service: str, web: httpx.Client, key: str) -> None:
    response = web.delete(read_url(web, service, key))
    store.refused(response, UNSIGNED, gap="signature", key=key, keeps=CONTENT)


@pytest.mark.also_on("localstack")
def test_no_signature_is_refused(store: Store, service: str, web: httpx.Client, key: str) -> None:
    response = web.get(plans.without_signature(read_url(web, service, key)))
    store.refused(response, "403", gap="anonymous-read", key=key, keeps=CONTENT)


def test_an_expired_read_url_is_refused(store: Store, web: httpx.Client, key: str) -> None:
    then = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=901)
    response = web.get(store.signer().presign("GET", key, now=then, expires_s=900))
    store.refused(response, "403 AccessDenied", gap="expiry", key=key, keeps=CONTENT)
