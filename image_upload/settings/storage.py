"""The settings of the bucket: which one, how it is reached, and how objects are kept in it."""

from typing import Literal

from image_upload.domain import purposes
from image_upload.limits import BUFFER_MIN_BYTES, MIB, PRESIGN_MAX_S
from image_upload.settings.aws import AwsSettings
from image_upload.settings.section import Known, setting
from image_upload.settings.values import CommaList, bucket_name, split_url

# Those whose objects S3 reads out at once: from the others a read URL would get 403 InvalidObjectState.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
STORAGE_CLASSES = ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR")


def _bucket_name(value: str, _: Known) -> str:
    return bucket_name(value)


def _tls(value: bool, known: Known) -> bool:  # noqa: FBT001  every check takes the value by position
    if not value and known.production:
        raise ValueError("false is possible only outside production")
    return value


def _endpoint(value: str | None, known: Known) -> str | None:
    if value is None:
        return None
    if "://" not in value:
        value = ("https://" if known.get("use_ssl", True) else "http://") + value
    parts = split_url(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("not a URL of the form scheme://host[:port]")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("a path, query or fragment does not belong into an endpoint")
    if parts.scheme == "http" and known.production:
        raise ValueError("plain http is possible only outside production")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _storage_classes(value: tuple[str, ...], _: Known) -> tuple[str, ...]:
    names = [purpose.name for purpose in purposes.every()]
    named = [item.partition(":")[0] for item in value]
    for item, purpose in zip(value, named, strict=True):
        if purpose not in names:
            raise ValueError(f"there is no such purpose; there are {', '.join(names)}")
        if item.partition(":")[2] not in STORAGE_CLASSES:
            raise ValueError(f"no storage class that can be read at once is named for {purpose}")
    if len(set(named)) != len(named):
        raise ValueError("a purpose is named twice")
    return value


def _kms_key(value: str | None, known: Known) -> str | None:
    if value is not None and known.get("s3_sse") != "aws:kms":
        raise ValueError("a key is only for S3_SSE=aws:kms")
    return value


class StorageSettings(AwsSettings):
    """The bucket and its server. A check may look at the fields above its own."""

    s3_bucket_name: str = setting(
        "S3_BUCKET_NAME",
        "AWS_S3_BUCKET",
        description="the bucket's name: 3 to 63 of a-z, 0-9, dot and hyphen",
        check=_bucket_name,
    )
    use_ssl: bool = setting(
        "AWS_S3_USE_SSL",
        default=True,
        description="true or false; false only outside production",
        check=_tls,
    )
    verify_ssl: bool = setting(
        "AWS_S3_VERIFY_SSL",
        default=True,
        description="true or false; false only outside production",
        check=_tls,
    )
    s3_endpoint_url: str | None = setting(
        "AWS_S3_ENDPOINT_URL",
        "LOCALSTACK_ENDPOINT",
        default=None,
        description="scheme://host[:port] of an S3 server; https in production; empty for AWS",
        check=_endpoint,
    )
    s3_public_endpoint_url: str | None = setting(
        "S3_PUBLIC_ENDPOINT_URL",
        default=None,
        description="scheme://host[:port] that clients see in presigned URLs",
        check=_endpoint,
    )
    cdn_base_url: str | None = setting(
        "CDN_BASE_URL",
        default=None,
        pattern=r"https?://[^\s?#]+",
        description="https://host[/path] of the CDN in front of the bucket",
    )
    s3_storage_classes: CommaList = setting(
        "S3_STORAGE_CLASSES",
        default=(),
        description="purpose:class separated by commas, such as audio:STANDARD_IA,document:INTELLIGENT_TIERING; "
        f"classes are {', '.join(STORAGE_CLASSES)}",
        check=_storage_classes,
    )
    s3_sse: Literal["none", "AES256", "aws:kms"] = setting(
        "S3_SSE",
        default="none",
        description="one of none, AES256, aws:kms",
    )
    s3_sse_kms_key_id: str | None = setting(
        "S3_SSE_KMS_KEY_ID",
        default=None,
        pattern=r"[A-Za-z0-9:/_-]{1,2048}",
        description="the id, alias or ARN of a KMS key, with S3_SSE=aws:kms",
        check=_kms_key,
    )
    s3_checksums: Literal["sha256", "md5", "off"] = setting(
        "S3_CHECKSUMS",
        default="sha256",
        description="one of sha256, md5, off: what the store compares",
    )
    s3_form_post: bool = setting(
        "S3_FORM_POST",
        default=True,
        description="true or false: whether the store takes presigned form POSTs",
    )
    upload_url_expires_s: int = setting(
        "UPLOAD_URL_EXPIRES_SECONDS",
        default=300,
        least=1,
        most=PRESIGN_MAX_S,
        description=f"whole seconds from 1 to {PRESIGN_MAX_S} (seven days, S3's own limit)",
    )
    buffer_bytes: int = setting(
        "BUFFER_BYTES",
        default=256 * MIB,
        least=BUFFER_MIN_BYTES,
        most=1 << 40,
        description=f"whole bytes from {BUFFER_MIN_BYTES} (16 MiB)",
    )

    def storage_class_of(self, purpose: str) -> str | None:
        """Return the storage class that a purpose's objects are to have; None leaves it to S3."""
        return dict(item.split(":", 1) for item in self.s3_storage_classes).get(purpose)
