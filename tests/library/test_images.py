import http.client
import json
import time
from urllib.parse import parse_qs, quote

import httpx
import jwt
import pytest

from image_upload.library.disposition import content_disposition
from local.embedded_s3 import EmbeddedS3
from tests.conftest import Mint, problem, serving, settings_for


@pytest.fixture
def stored(mint: Mint, web: httpx.Client, jpeg: bytes) -> str:
    plan = mint()
    assert web.put(plan["presignedUrl"], content=jpeg, headers=plan["headers"]).status_code == 200
    key: str = plan["objectKey"]
    return key


def test_a_read_url_brings_back_the_bytes(service: str, web: httpx.Client, stored: str, jpeg: bytes) -> None:
    answer = web.get(f"{service}/images/{stored}").json()
    assert (answer["key"], answer["expiresIn"], answer["download"]) == (stored, 900, False)
    read = web.get(answer["url"])
    assert read.content == jpeg
    assert "content-disposition" not in read.headers
    # What is no picture is saved and not shown: a page from the bucket's host could run there.
    other = web.get(web.get(f"{service}/images/files/page.html").json()["url"])
    assert parse_qs(other.url.query.decode())["response-content-disposition"] == ["attachment"]


def test_the_answer_to_a_file_that_was_sent_has_the_url_to_read_it(
    service: str, web: httpx.Client, stored: str, jpeg: bytes
) -> None:
    assert web.get(web.post(f"{service}/images/{stored}/complete").json()["url"]).content == jpeg


@pytest.mark.full
def test_a_token_that_may_only_upload_gets_no_url_to_read(s3: EmbeddedS3, web: httpx.Client, jpeg: bytes) -> None:
    claims = {"sub": "user-1", "exp": int(time.time()) + 600, "scope": "mint"}
    secret = "a-secret-of-more-than-thirty-two-bytes"
    headers = {"Authorization": f"Bearer {jwt.encode(claims, secret, 'HS256')}"}
    wanted = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": len(jpeg)}
    with serving(settings_for(s3, AUTH_REQUIRED="true", JWT_SECRET=secret)) as url:
        plan = web.post(f"{url}/uploads", json=wanted, headers=headers).json()
        assert web.put(plan["presignedUrl"], content=jpeg, headers=plan["headers"]).status_code == 200
        answer = web.post(f"{url}/images/{plan['objectKey']}/complete", headers=headers).json()
    assert (answer["state"], answer["url"]) == ("stored", None)


@pytest.mark.parametrize("name", ["cat.jpg", "고양이 사진.jpg", "a\"b%c'd;e.jpg", "😀.jpg"])
def test_a_download_is_saved_under_its_name(service: str, web: httpx.Client, stored: str, name: str) -> None:
    answer = web.get(f"{service}/images/{stored}", params={"as_download": "true", "filename": name}).json()
    assert answer["download"] is True
    value = web.get(answer["url"]).headers["content-disposition"]
    assert value.startswith("attachment; filename=")
    assert value.isascii()


def test_a_header_value_follows_rfc_6266() -> None:
    assert content_disposition(None, attachment=False) is None
    assert content_disposition(None, attachment=True) == "attachment"
    assert content_disposition("cat.jpg", attachment=False) == 'inline; filename="cat.jpg"'
    assert (
        content_disposition("고 a.jpg", attachment=True)
        == "attachment; filename=\"_ a.jpg\"; filename*=UTF-8''%EA%B3%A0%20a.jpg"
    )


@pytest.mark.parametrize("key", ["a/../b", "%2e%2e/b", "a/%00", "%ff", "%5Cserver", "x" * 1025, ""])
def test_a_key_that_climbs_is_refused(service: str, key: str) -> None:
    # A raw request: a client library would tidy the path before it sends it.
    connection = http.client.HTTPConnection(service.removeprefix("http://"))
    connection.request("GET", f"/images/{key}")
    response = connection.getresponse()
    document = json.loads(response.read())
    connection.close()
    assert (response.status, document["code"]) == (400, "invalid-key")


@pytest.mark.parametrize("name", ["../cat.jpg", "a\x00b", "a\r\nb", "c" * 256, ""])
def test_a_download_name_that_is_none_is_refused(service: str, web: httpx.Client, name: str) -> None:
    problem(web.get(f"{service}/images/uploads/a.jpg", params={"filename": name}), 400, "invalid-filename")


def test_a_flag_that_is_none_is_refused(service: str, web: httpx.Client) -> None:
    problem(web.get(f"{service}/images/uploads/a.jpg?as_download=perhaps"), 422, "validation-failed")


@pytest.mark.parametrize("key", ["사진/고양이 1.jpg", "a+b.jpg", "a%b.jpg", "a//b.jpg", "a?b#c.jpg"])
def test_a_key_in_any_script_is_read(service: str, web: httpx.Client, key: str) -> None:
    answer = web.get(f"{service}/images/{quote(key)}").json()
    assert answer["key"] == key
    assert quote(key, safe="/~") in answer["url"]
