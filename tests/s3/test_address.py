import pytest

from image_upload.aws.endpoints import bucket_on_aws, locate


@pytest.mark.parametrize(
    "host",
    [
        "photos.s3.ap-northeast-2.amazonaws.com",
        "photos.s3.amazonaws.com",
        "photos.s3-us-west-2.amazonaws.com",
        "photos.s3.dualstack.eu-west-1.amazonaws.com",
        "photos.s3-fips.us-gov-west-1.amazonaws.com",
        "photos.s3-fips.dualstack.us-east-1.amazonaws.com",
        "photos.s3-accelerate.amazonaws.com",
        "photos.s3-accelerate.dualstack.amazonaws.com",
        "photos.s3.cn-north-1.amazonaws.com.cn",
    ],
)
def test_every_virtual_host_form_names_its_bucket(host: str) -> None:
    assert bucket_on_aws(host, "/a/b.jpg") == ("photos", "a/b.jpg")


@pytest.mark.parametrize(
    "host",
    ["s3.amazonaws.com", "s3.eu-west-1.amazonaws.com", "s3-eu-west-1.amazonaws.com", "s3.cn-north-1.amazonaws.com.cn"],
)
def test_every_path_form_names_its_bucket(host: str) -> None:
    assert bucket_on_aws(host, "/photos/a/b.jpg") == ("photos", "a/b.jpg")


def test_an_access_point_is_known_by_name_and_account() -> None:
    host = "my-ap-123456789012.s3-accesspoint.eu-west-1.amazonaws.com"
    assert bucket_on_aws(host, "/a") == ("my-ap-123456789012", "a")


@pytest.mark.parametrize(
    "host",
    [
        "photos.s3.amazonaws.com.evil.example",
        "photos.s3.amazonaws.comx",
        "photos.s3.amazonaws.com:8443",
        "photos.s3-website-us-east-1.amazonaws.com",
        "photos.s3-website.eu-central-1.amazonaws.com",
        "123456789012.s3-control.us-east-1.amazonaws.com",
        "ec2.us-east-1.amazonaws.com",
        "s3xamazonaws.com",
        ".s3.amazonaws.com",
        "amazonaws.com",
    ],
)
def test_other_hosts_are_not_s3(host: str) -> None:
    assert bucket_on_aws(host, "/photos/a") is None


@pytest.mark.parametrize("region", ["us-east-1", "ap-northeast-2", "cn-north-1", "us-gov-west-1", "mx-central-1"])
@pytest.mark.parametrize("bucket", ["photos", "my.photos"])
def test_what_is_located_is_recognised(bucket: str, region: str) -> None:
    address = locate(bucket, region)
    assert bucket_on_aws(address.host, f"{address.path_prefix}/a.jpg") == (bucket, "a.jpg")
