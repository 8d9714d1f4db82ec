"""The check of a presigned URL against botocore's signatures, and against ours."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from image_upload.aws.endpoints import locate
from image_upload.aws.sigv4 import Credentials, Signer
from image_upload.s3.signature_check import is_signed

OURS = Credentials("AKIAIOSFODNN7EXAMPLE", "secret")
TEMPORARY = Credentials("ASIAIOSFODNN7EXAMPLE", "secret", "token/with+signs==")
KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    lambda key: not any(part in (".", "..") for part in key.split("/")) and not key.startswith("/")
)


def botocores(credentials: Credentials, key: str, **more: Any) -> str:
    client = boto3.client(
        "s3",
        region_name="eu-north-1",
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        aws_session_token=credentials.session_token,
        config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}),
    )
    url: str = client.generate_presigned_url("put_object", Params={"Bucket": "photos", "Key": key, **more})
    client.close()
    return url


def headers(url: str, **more: str) -> dict[str, str]:
    return {"Host": urlsplit(url).netloc, "Content-Type": "image/jpeg", "Content-Length": "5", **more}


@pytest.mark.parametrize("credentials", [OURS, TEMPORARY])
@pytest.mark.parametrize("key", ["uploads/a.jpg", "사진/고양이 1+1.jpg", "a~b'(c)!*%20.jpg"])
def test_a_url_of_botocore_is_right_for_its_request_and_wrong_for_any_other(credentials: Credentials, key: str) -> None:
    url = botocores(credentials, key, ContentType="image/jpeg", ContentLength=5)
    assert is_signed(url, "PUT", headers(url), credentials) is True
    assert is_signed(url, "GET", headers(url), credentials) is False
    assert is_signed(url, "PUT", headers(url, **{"Content-Type": "image/png"}), credentials) is False
    assert is_signed(url, "PUT", headers(url, **{"Content-Length": "6"}), credentials) is False
    assert is_signed(url.replace("X-Amz-Expires=3600", "X-Amz-Expires=3601"), "PUT", headers(url), credentials) is False
    assert is_signed(url, "PUT", {"Host": urlsplit(url).netloc}, credentials) is False


def test_a_url_of_another_key_pair_is_left_to_s3() -> None:
    url = botocores(TEMPORARY, "a.jpg")
    assert is_signed(url, "PUT", headers(url), OURS) is None
    renewed = TEMPORARY._replace(session_token="another")
    assert is_signed(url, "PUT", headers(url), renewed) is None


@given(KEYS)
def test_every_url_of_ours_is_right(key: str) -> None:
    signer = Signer(locate("photos", "eu-north-1"), OURS)
    sent = {"Content-Type": "image/jpeg", "If-None-Match": "*"}
    url = signer.presign("PUT", key, now=datetime.now(UTC).replace(microsecond=0), expires_s=60, headers=sent)
    assert is_signed(url, "PUT", headers(url, **sent), OURS) is True
    part = signer.presign(
        "PUT", key, now=datetime.now(UTC), expires_s=60, query={"partNumber": "7", "uploadId": "a/b~c+d"}
    )
    assert is_signed(part, "PUT", headers(part), OURS) is True
