import re
from datetime import UTC, datetime, timedelta

import pytest

from image_upload.aws.endpoints import Address, locate
from image_upload.aws.sigv4 import Credentials, Signer
from image_upload.errors import UploadTargetRefused, UploadUrlExpired, UploadUrlInvalid, UploadUrlNeedsHeaders
from image_upload.form_proxy.target import TargetRule

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
AWS = locate("photos", "ap-northeast-2")
CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", "secret")


def signed(
    address: Address = AWS, key: str = "uploads/a.jpg", *, method: str = "PUT", age_s: int = 0, **more: object
) -> str:
    headers = {"Content-Type": "image/jpeg"} | dict(more.pop("headers", {}))  # type: ignore[call-overload]  # what a test changes
    return Signer(address, CREDENTIALS).presign(
        method,
        key,
        now=NOW - timedelta(seconds=age_s),
        expires_s=int(str(more.pop("expires_s", 300))),
        headers=headers,
        query=more.pop("query", None),  # type: ignore[arg-type]  # the same
    )


def rule(inner: Address = AWS, public: Address | None = None, **more: tuple[str, ...]) -> TargetRule:
    return TargetRule(inner, public or inner, buckets=more.get("buckets", ("photos",)), hosts=more.get("hosts", ()))


def test_our_own_url_passes_unchanged() -> None:
    url = signed()
    target = rule().check(url, NOW)
    assert target.url == url
    assert target.host == "photos.s3.ap-northeast-2.amazonaws.com"
    assert (target.bucket, target.key) == ("photos", "uploads/a.jpg")


@pytest.mark.parametrize("key", ["사진/고양이 1.jpg", "a+b%20c.jpg", "a//b.jpg", "a~b'(c)!*.jpg"])
def test_the_key_is_known_in_any_script(key: str) -> None:
    assert rule().check(signed(key=key), NOW).key == key


@pytest.mark.parametrize(
    "host",
    ["photos.s3.amazonaws.com", "photos.s3-accelerate.amazonaws.com", "photos.s3.dualstack.eu-west-1.amazonaws.com"],
)
def test_every_aws_form_of_our_bucket_is_a_target(host: str) -> None:
    url = signed().replace(AWS.host, host)
    assert rule().check(url, NOW).host == host


@pytest.mark.parametrize(
    "change",
    [
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "https://s3.ap-northeast-2.amazonaws.com@evil.example"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "https://photos.s3.amazonaws.com.evil.example"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "https://others.s3.ap-northeast-2.amazonaws.com"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "https://s3.ap-northeast-2.amazonaws.com/others"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "https://photos.s3.ap-northeast-2.amazonaws.com:8443"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "https://user:pw@photos.s3.ap-northeast-2.amazonaws.com"),
        ("https://photos", "http://photos"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "http://169.254.169.254"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "https://169.254.169.254"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "http://localhost:8000"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "https://localhost/photos"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "http://[::1]:8000"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "https://[::ffff:169.254.169.254]"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "https://2852039166"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "https://0251.0376.0251.0376"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "https://0xa9fea9fe"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "https://photos.s3-website.ap-northeast-2.amazonaws.com"),
        ("https://photos.s3.ap-northeast-2.amazonaws.com", "https://photos.evil.example"),
    ],
)
def test_a_foreign_place_is_refused(change: tuple[str, str]) -> None:
    with pytest.raises(UploadTargetRefused):
        rule().check(signed().replace(*change), NOW)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cat.jpg",
        "file:///etc/passwd",
        "ftp://photos.s3.amazonaws.com/a?x=y",
        "https:photos.s3.amazonaws.com/a?x=y",
        "https://photos.s3.ap-northeast-2.amazonaws.com/uploads/a.jpg",
        "https://photos.s3.ap-northeast-2.amazonaws.com/uploads/a.jpg?AWSAccessKeyId=A&Signature=B&Expires=1",
        "https:\\\\photos.s3.amazonaws.com\\a?x=y",
        "javascript:alert(1)",
        "https://photos.s3.amazonaws.com/a b?x=y",
        "https://photos.s3.amazonaws.com/a\r\nHost: evil?x=y",
        "https://사진.s3.amazonaws.com/a?x=y",
        signed() + "#fragment",
        signed() + "&X-Amz-Expires=300",
        signed() + "&x-amz-expires=300",
        signed() + "&acl",
        signed() + "&tagging=",
        signed() + "&uploads=",
        signed() + "&partNumber=1",
        signed() + "&uploadId=abc",
        signed() + "&x-id=GetObject",
        signed() + "&response-content-type=text/html",
        signed() + "&X-Amz-Acl=public-read",
        signed() + "&x-amz-copy-source=%2Fothers%2Fsecret",
        signed() + "&x-amz-tagging=a%3Db",
        signed() + "&X-AMZ-GRANT-READ=uri",
        signed() + "&x-amz-website-redirect-location=https%3A%2F%2Fevil.example",
        signed() + "&x-amz-object-lock-mode=COMPLIANCE",
        signed().replace("X-Amz-Signature=", "X-Amz-Signature=x"),
        signed().replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        signed().replace("%2Fs3%2F", "%2Fsqs%2F"),
        signed().replace("X-Amz-Expires=300", "X-Amz-Expires=604801"),
        signed().replace("X-Amz-Expires=300", "X-Amz-Expires=-1"),
        signed().replace("X-Amz-Expires=300", "X-Amz-Expires=٣"),
        signed().replace("20261120T", "20261320T"),
        signed(age_s=-3600),
        signed(key=""),
        signed(key="a/../b"),
        signed(key="a" * 20000),
    ],
)
def test_what_is_no_live_presigned_put_is_refused(url: str) -> None:
    with pytest.raises(UploadUrlInvalid):
        rule().check(url, NOW)


def test_an_expired_url_is_refused_with_its_own_code() -> None:
    rule().check(signed(age_s=299), NOW)
    with pytest.raises(UploadUrlExpired):
        rule().check(signed(age_s=300), NOW)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("Date", "99991231T235959Z"), ("Date", "00010101T000000Z"), ("Expires", "9" * 5000), ("Expires", "%D9%A3")],
)
def test_a_time_that_no_calendar_holds_is_refused(parameter: str, value: str) -> None:
    url = re.sub(rf"X-Amz-{parameter}=[^&]+", f"X-Amz-{parameter}={value}", signed())
    with pytest.raises(UploadUrlInvalid):
        rule().check(url, NOW)


def test_a_part_url_is_a_put_too() -> None:
    url = signed(query={"partNumber": "7", "uploadId": "abc~1"})
    assert rule().check(url, NOW).url == url


def test_signed_headers_that_a_form_cannot_carry_are_named() -> None:
    with pytest.raises(UploadUrlNeedsHeaders) as caught:
        rule().check(signed(headers={"x-amz-meta-a": "b"}), NOW)
    assert caught.value.extras == {"signed_headers": ["x-amz-meta-a"]}
    assert "if-none-match" in rule().check(signed(headers={"If-None-Match": "*"}), NOW).signed_headers


def test_what_sdks_sign_into_the_query_passes() -> None:
    for more in ("x-amz-sdk-checksum-algorithm=CRC32", "x-amz-checksum-crc32=AAAAAA%3D%3D", "x-amz-meta-a=b"):
        assert rule().check(f"{signed()}&{more}", NOW).key == "uploads/a.jpg"


def test_a_bucket_of_our_name_is_ours_only_at_our_own_endpoint() -> None:
    own = locate("photos", "us-east-1", "https://minio.example:9000")
    namesake = signed(locate("photos", "us-east-1"))
    assert TargetRule(own, own, buckets=(), hosts=()).check(signed(own), NOW).bucket == "photos"
    with pytest.raises(UploadTargetRefused):
        TargetRule(own, own, buckets=(), hosts=()).check(namesake, NOW)
    # An operator may name it.
    assert TargetRule(own, own, buckets=("photos",), hosts=()).check(namesake, NOW).bucket == "photos"
    assert TargetRule(AWS, AWS, buckets=(), hosts=()).check(signed(), NOW).bucket == "photos"


def test_a_listed_bucket_is_a_target_and_a_star_means_any_on_aws() -> None:
    other = signed(locate("others", "eu-west-1"))
    assert rule(buckets=("photos", "others")).check(other, NOW).bucket == "others"
    assert rule(buckets=("*",)).check(other, NOW).bucket == "others"
    with pytest.raises(UploadTargetRefused):
        rule(buckets=("*",)).check(signed(locate("others", "x", "https://minio.example")), NOW)


def test_a_listed_host_is_a_target_in_both_styles_but_only_by_https() -> None:
    listed = rule(hosts=("minio.example:9000",))
    assert listed.check(signed(locate("photos", "x", "https://minio.example:9000")), NOW).bucket == "photos"
    virtual = Address("photos", "x", "https", "photos.minio.example:9000", "")
    assert listed.check(signed(virtual), NOW).key == "uploads/a.jpg"
    for refused in ("http://minio.example:9000", "https://minio.example", "https://minio.example:9001"):
        with pytest.raises(UploadTargetRefused):
            listed.check(signed(locate("photos", "x", refused)), NOW)


def test_what_clients_see_is_led_to_where_the_service_connects() -> None:
    inner = locate("photos", "us-east-1", "http://localstack:4566")
    public = locate("photos", "us-east-1", "http://localhost:4566")
    target = rule(inner, public).check(signed(public), NOW)
    assert target.url.startswith("http://localstack:4566/photos/uploads/a.jpg?")
    assert target.host == "localhost:4566"


STORAGE_HEADERS = {"x-amz-server-side-encryption": "AES256"}


def rule_with_encryption() -> TargetRule:
    return TargetRule(AWS, AWS, buckets=("photos", "others"), hosts=(), storage_headers=lambda _: STORAGE_HEADERS)


def test_headers_that_our_own_settings_say_can_be_sent() -> None:
    assert rule_with_encryption().check(signed(headers=STORAGE_HEADERS), NOW).storage_headers == STORAGE_HEADERS
    assert rule_with_encryption().check(signed(), NOW).storage_headers == {}


def test_what_our_settings_say_is_for_our_own_bucket_only() -> None:
    with pytest.raises(UploadUrlNeedsHeaders):
        rule_with_encryption().check(signed(locate("others", "ap-northeast-2"), headers=STORAGE_HEADERS), NOW)
