from datetime import UTC, datetime
from unittest.mock import patch

import boto3
import botocore.auth
import pytest
from botocore.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from image_upload.s3.address import locate
from image_upload.s3.signing import Credentials, presign

NOW = datetime(2026, 11, 20, 9, 30, 15, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
TOKEN = "IQoJb3JpZ2luX2VjE+/=" * 45


class _Clock:
    """botocore reads the time through its own helper; here it stands still."""

    def __call__(self, *_: object, **__: object) -> datetime:
        return NOW.replace(tzinfo=None)


def botocore_url(
    operation: str, endpoint: str | None, bucket: str, region: str, token: str | None, **params: object
) -> str:
    client = boto3.client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="wJalrXUtnFEMI/K7MDENG",
        aws_session_token=token,
        config=Config(
            signature_version="s3v4",
            s3={
                "addressing_style": "path" if endpoint or "." in bucket else "virtual",
                # Else botocore signs for the global host, whose redirect kills a browser's preflight.
                "us_east_1_regional_endpoint": "regional",
            },
            request_checksum_calculation="when_required",
        ),
    )
    with patch.object(botocore.auth, "get_current_datetime", _Clock()):
        url: str = client.generate_presigned_url(operation, Params={"Bucket": bucket, **params}, ExpiresIn=300)
    client.close()
    return url


def parts(url: str) -> tuple[str, frozenset[str]]:
    """A URL up to its query, and the query's parameters: their order is no part of a signature."""
    head, _, query = url.partition("?")
    return head, frozenset(query.split("&"))


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize(
    ("bucket", "region", "endpoint"),
    [
        ("photos", "ap-northeast-2", None),
        ("photos", "us-east-1", None),
        ("photos", "cn-north-1", None),
        ("my.photos", "eu-west-1", None),
        ("photos", "us-east-1", "http://127.0.0.1:9000"),
        ("photos", "us-east-1", "https://minio.example:9443"),
    ],
)
def test_a_url_equals_botocores(bucket: str, region: str, endpoint: str | None, token: str | None) -> None:
    key = "사진/cat 1+2%20~(a)'*!.jpg"
    ours = presign(
        "PUT",
        locate(bucket, region, endpoint),
        key,
        Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG", token),
        now=NOW,
        expires_s=300,
        headers={"Content-Type": "image/jpeg", "Content-Length": "12345"},
    )
    theirs = botocore_url(
        "put_object", endpoint, bucket, region, token, Key=key, ContentType="image/jpeg", ContentLength=12345
    )
    assert parts(ours) == parts(theirs)


@settings(max_examples=60, deadline=None)
@given(
    key=TEXT, content_type=st.from_regex(r"[a-z]{1,9}/[a-z0-9.+-]{1,20}", fullmatch=True), size=st.integers(0, 2**40)
)
def test_any_key_is_signed_as_botocore_signs_it(key: str, content_type: str, size: int) -> None:
    ours = presign(
        "PUT",
        locate("photos", "us-east-1", "http://127.0.0.1:9000"),
        key,
        Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG"),
        now=NOW,
        expires_s=300,
        headers={"Content-Type": content_type, "Content-Length": str(size)},
    )
    theirs = botocore_url(
        "put_object", "http://127.0.0.1:9000", "photos", "us-east-1", None,
        Key=key, ContentType=content_type, ContentLength=size,
    )  # fmt: skip
    assert parts(ours) == parts(theirs)


def test_a_read_url_with_its_response_headers_equals_botocores() -> None:
    disposition = "attachment; filename=\"__.jpg\"; filename*=UTF-8''%EC%82%AC%EC%A7%84.jpg"
    ours = presign(
        "GET",
        locate("photos", "ap-northeast-2"),
        "uploads/a.jpg",
        Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG"),
        now=NOW,
        expires_s=300,
        query={"response-content-disposition": disposition},
    )
    theirs = botocore_url(
        "get_object",
        None,
        "photos",
        "ap-northeast-2",
        None,
        Key="uploads/a.jpg",
        ResponseContentDisposition=disposition,
    )
    assert parts(ours) == parts(theirs)


def test_credentials_never_show_their_secrets() -> None:
    shown = repr(Credentials("AKIA", "the-secret", "the-token"))
    assert "the-" not in shown


def test_a_default_port_is_not_signed_because_clients_do_not_send_it() -> None:
    assert locate("photos", "us-east-1", "https://MinIO.example:443").host == "minio.example"
    assert locate("photos", "us-east-1", "http://minio.example:443").host == "minio.example:443"
