import json
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import boto3
import botocore.auth
import botocore.credentials
import botocore.signers
import pytest
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from image_upload.aws.endpoints import Address, locate
from image_upload.aws.sigv4 import Credentials, Signer

NOW = datetime(2026, 11, 20, 9, 30, 15, tzinfo=UTC)
TOKEN = "IQoJb3JpZ2luX2VjE+/=" * 45
ACCESS_KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG"

# What S3 takes as a key, up to 1,024 bytes of UTF-8, the awkward ones first.
KEYS = st.one_of(
    st.sampled_from(
        [
            "a b.jpg",
            "a+b.jpg",
            "a%2Fb.jpg",
            "a%b",
            "//a//b",
            "/a",
            "사진/고양이.jpg",
            "~a-b_c.d",
            "a'(b)*!.jpg",
            "?a#b&c=d",
            "😀" * 256,
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=250),
)
PLACES = st.sampled_from(
    [
        ("photos", "ap-northeast-2", None),
        ("photos", "us-east-1", None),
        ("photos", "cn-north-1", None),
        ("photos", "us-gov-west-1", None),
        ("my.photos", "eu-west-1", None),
        ("photos", "us-east-1", "http://127.0.0.1:9000"),
        ("photos", "auto", "https://minio.example:9443"),
    ]
)
TOKENS = st.sampled_from([None, TOKEN])
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2099, 1, 1)).map(lambda at: at.replace(microsecond=0, tzinfo=UTC))  # noqa: DTZ001  hypothesis wants naive ones
HEADER_TEXT = st.from_regex(r"[!-~]([ -~]{0,30}[!-~])?", fullmatch=True)

# Parameters of boto3's client and the headers that they become.
HEADERS: Mapping[str, str] = {
    "ContentType": "Content-Type",
    "ContentDisposition": "Content-Disposition",
    "CacheControl": "Cache-Control",
    "IfNoneMatch": "If-None-Match",
    "ChecksumSHA256": "x-amz-checksum-sha256",
    "Tagging": "x-amz-tagging",
}

Place = tuple[str, str, str | None]
_clients: dict[object, Any] = {}


def client_for(place: Place, token: str | None) -> Any:
    """boto3's client for a place, set so that it signs what S3 enforces."""
    if (place, token) not in _clients:
        bucket, region, endpoint = place
        _clients[place, token] = boto3.client(
            "s3",
            region_name=region,
            endpoint_url=endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET,
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
    return _clients[place, token]


def theirs(operation: str, place: Place, token: str | None, now: datetime, expires_s: int, **params: Any) -> str:
    """Botocore's URL for the same request, at the same time."""
    with patch.object(botocore.auth, "get_current_datetime", lambda **_: now.replace(tzinfo=None)):
        url: str = client_for(place, token).generate_presigned_url(
            operation, Params={"Bucket": place[0], **params}, ExpiresIn=expires_s
        )
    return url


def signer(place: Place, token: str | None) -> Signer:
    return Signer(locate(*place), Credentials(ACCESS_KEY, SECRET, token))


@given(
    place=PLACES, key=KEYS, token=TOKENS, now=TIMES, expires_s=st.integers(1, 604_800), size=st.integers(0, 2**40),
    given=st.dictionaries(st.sampled_from(sorted(HEADERS)), HEADER_TEXT, max_size=6),
    meta=st.dictionaries(st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True), HEADER_TEXT, max_size=3),
)  # fmt: skip
def test_a_put_equals_botocores_byte_for_byte(
    place: Place, key: str, token: str | None, now: datetime, expires_s: int, size: int,
    given: dict[str, str], meta: dict[str, str],
) -> None:  # fmt: skip
    headers = {"Content-Length": str(size)} | {HEADERS[name]: value for name, value in given.items()}
    headers |= {f"x-amz-meta-{name}": value for name, value in meta.items()}
    more: dict[str, Any] = {"Metadata": meta} if meta else {}
    expected = theirs("put_object", place, token, now, expires_s, Key=key, ContentLength=size, **given, **more)
    assert signer(place, token).presign("PUT", key, now=now, expires_s=expires_s, headers=headers) == expected


# Operation of boto3, method, its own parameters, our query, our headers.
OPERATIONS: list[tuple[str, str, dict[str, Any], dict[str, str], dict[str, str]]] = [
    ("get_object", "GET", {}, {}, {}),
    ("head_object", "HEAD", {}, {}, {}),
    ("delete_object", "DELETE", {}, {}, {}),
    (
        "get_object",
        "GET",
        {"ResponseContentDisposition": "attachment; filename=\"_.jpg\"; filename*=UTF-8''%EC%82%AC.jpg"},
        {"response-content-disposition": "attachment; filename=\"_.jpg\"; filename*=UTF-8''%EC%82%AC.jpg"},
        {},
    ),
    ("create_multipart_upload", "POST", {"ContentType": "image/png"}, {"uploads": ""}, {"Content-Type": "image/png"}),
    (
        "upload_part",
        "PUT",
        {"UploadId": "2~a/b+c=", "PartNumber": 7, "ContentLength": 5},
        {"partNumber": "7", "uploadId": "2~a/b+c="},
        {"Content-Length": "5"},
    ),
    ("list_parts", "GET", {"UploadId": "u"}, {"uploadId": "u"}, {}),
    ("list_parts", "GET", {"UploadId": "u", "PartNumberMarker": 9}, {"part-number-marker": "9", "uploadId": "u"}, {}),
    (
        "complete_multipart_upload",
        "POST",
        {"UploadId": "u", "IfNoneMatch": "*", "MpuObjectSize": 12},
        {"uploadId": "u"},
        {"If-None-Match": "*", "x-amz-mp-object-size": "12"},
    ),
    ("abort_multipart_upload", "DELETE", {"UploadId": "u"}, {"uploadId": "u"}, {}),
]


@given(st.sampled_from(OPERATIONS), PLACES, KEYS, TOKENS, TIMES)
def test_every_operation_equals_botocores_byte_for_byte(
    operation: tuple[str, str, dict[str, Any], dict[str, str], dict[str, str]],
    place: Place,
    key: str,
    token: str | None,
    now: datetime,
) -> None:
    name, method, params, query, headers = operation
    ours = signer(place, token).presign(method, key, now=now, expires_s=900, headers=headers, query=query)
    assert canonical(ours) == canonical(theirs(name, place, token, now, 900, Key=key, **params))


def canonical(url: str) -> tuple[str, list[str]]:
    """The order of several own parameters is the caller's choice; S3 sorts for itself before it compares."""
    head, _, query = url.partition("?")
    return head, sorted(query.split("&"))


@given(PLACES, KEYS, TOKENS, TIMES, st.text("abcXYZ019._~-/+=", min_size=1, max_size=80), st.booleans())
def test_part_urls_equal_botocores_byte_for_byte(
    place: Place, key: str, token: str | None, now: datetime, upload_id: str, sized: bool
) -> None:
    lengths = [(1, 8_388_608), (2, 8_388_608), (10_000, 17)] if sized else [(1, None), (2, None), (10_000, None)]
    head, tail, signatures = signer(place, token).presign_parts(key, upload_id, lengths, now=now, expires_s=3600)
    for (number, length), signature in zip(lengths, signatures, strict=True):
        more = {"ContentLength": length} if sized else {}
        expected = theirs(
            "upload_part", place, token, now, 3600, Key=key, UploadId=upload_id, PartNumber=number, **more
        )
        assert canonical(f"{head}{number}{tail}{signature}") == canonical(expected)


@pytest.mark.parametrize("query", [{"A": "1", "z": "2"}, {"X-Amz-Zz": "1"}, {"X-Amz-AA": "1", "x-id": "PutObject"}])
def test_own_parameters_sort_into_place(query: dict[str, str]) -> None:
    """Against a second, plain implementation: all parameters sorted, in one go."""
    import hashlib
    import hmac

    url = signer(("photos", "us-east-1", None), TOKEN).presign("GET", "a", now=NOW, expires_s=60, query=query)
    head, _, text = url.partition("?")
    pairs, signature = text.split("&X-Amz-Signature=")
    request = f"GET\n/a\n{'&'.join(sorted(pairs.split('&')))}\nhost:{head.split('/')[2]}\n\nhost\nUNSIGNED-PAYLOAD"
    key = f"AWS4{SECRET}".encode()
    for step in ("20261120", "us-east-1", "s3", "aws4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n20261120T093015Z\n20261120/us-east-1/s3/aws4_request\n{digest}"
    assert hmac.digest(key, to_sign.encode(), "sha256").hex() == signature


@given(PLACES, KEYS, TOKENS, st.integers(1, 604_800), st.integers(0, 2**40))
def test_a_post_policy_equals_botocores(place: Place, key: str, token: str | None, expires_s: int, size: int) -> None:
    fields = {"Content-Type": "image/png", "success_action_status": "201"}
    with (
        patch.object(botocore.auth, "get_current_datetime", lambda **_: NOW.replace(tzinfo=None)),
        patch.object(botocore.signers, "get_current_datetime", lambda **_: NOW.replace(tzinfo=None)),
    ):
        expected = client_for(place, token).generate_presigned_post(
            place[0],
            key,
            Fields=dict(fields),
            Conditions=[["content-length-range", size, size], *({name: value} for name, value in fields.items())],
            ExpiresIn=expires_s,
        )["fields"]
    ours = signer(place, token).sign_policy(
        key, [["content-length-range", size, size]], fields, now=NOW, expires_s=expires_s
    )
    our_policy, their_policy = (json.loads(b64decode(each.pop("policy"))) for each in (ours, expected))
    assert our_policy["expiration"] == their_policy["expiration"]
    assert sorted(map(str, our_policy["conditions"])) == sorted(map(str, their_policy["conditions"]))
    # The order of the conditions differs, and with it the signature of the document; nothing else does.
    del ours["x-amz-signature"], expected["x-amz-signature"]
    assert ours == expected


def test_a_post_policy_is_signed_as_botocore_signs_it() -> None:
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as TheirCredentials

    ours = signer(("photos", "us-east-1", None), TOKEN).sign_policy(
        "a.jpg", [["content-length-range", 1, 2]], {}, now=NOW, expires_s=60
    )
    auth = botocore.auth.S3SigV4PostAuth(TheirCredentials(ACCESS_KEY, SECRET, TOKEN), "s3", "us-east-1")
    request = AWSRequest("POST", "https://photos.s3.amazonaws.com/")
    request.context["timestamp"] = "20261120T093015Z"
    auth._region_name = "us-east-1"
    assert auth.signature(ours["policy"], request) == ours["x-amz-signature"]


def test_the_key_of_the_day_changes_at_midnight() -> None:
    place: Place = ("photos", "us-east-1", None)
    ours = signer(place, None)
    for now in (datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC), NOW):
        assert ours.presign("GET", "a", now=now, expires_s=60) == theirs("get_object", place, None, now, 60, Key="a")


def test_a_default_port_is_not_signed_because_clients_do_not_send_it() -> None:
    assert locate("photos", "us-east-1", "https://MinIO.example:443").host == "minio.example"
    assert locate("photos", "us-east-1", "http://minio.example:443").host == "minio.example:443"


def test_credentials_never_show_their_secrets() -> None:
    shown = repr(Credentials("AKIA", "the-secret", "the-token"))
    assert "the-" not in shown


# --- calls of other services ----------------------------------------------------------------------


@given(
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(["Content-Type", "X-Amz-Target", "X-Amz-A", "Accept"]), HEADER_TEXT),
    TOKENS,
    TIMES,
    st.sampled_from(["ssm", "secretsmanager"]),
)
def test_a_call_is_signed_as_botocore_signs_it(
    body: bytes, headers: dict[str, str], token: str | None, now: datetime, service: str
) -> None:
    address = Address("", "eu-north-1", "https", f"{service}.eu-north-1.amazonaws.com", "")
    ours = Signer(address, Credentials(ACCESS_KEY, SECRET, token), service=service).sign_call(body, headers, now=now)
    request = AWSRequest("POST", f"https://{address.host}/", headers=headers, data=body)
    theirs = botocore.auth.SigV4Auth(botocore.credentials.Credentials(ACCESS_KEY, SECRET, token), service, "eu-north-1")
    with patch("botocore.auth.get_current_datetime", return_value=now.replace(tzinfo=None)):
        theirs.add_auth(request)
    assert ours == dict(request.headers)
