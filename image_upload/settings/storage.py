"""The settings of the bucket: its name, its endpoints, and how objects are stored."""

from typing import Literal

from image_upload.domain.purposes import Purposes
from image_upload.limits import BUFFER_MIN_BYTES, MIB, PRESIGN_MAX_S
from image_upload.settings.aws import AwsSettings
from image_upload.settings.section import Known, setting
from image_upload.settings.uploads import UploadSettings
from image_upload.settings.values import CommaList, bucket_name, split_url

# Classes whose objects can be read at once. For others a read URL would get 403 InvalidObjectState.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
STORAGE_CLASSES = ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR")


def _bucket_name(value: str, _: Known) -> str:
    return bucket_name(value)


def _tls(value: bool, known: Known) -> bool:
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


def _storage_classes(value: tuple[str, ...], known: Known) -> tuple[str, ...]:
    purposes: Purposes | None = known.get("purposes")
    if purposes is None:  # its file has faults, which are reported
        return value
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


class StorageSettings(AwsSettings, UploadSettings):
    """The bucket, its server, and its purposes. A check may look at the fields above its own."""

    # --- The bucket ------------------------------------------------------------------------------------

    s3_bucket_name: str = setting(
        "S3_BUCKET_NAME",
        "AWS_S3_BUCKET",
        description="the bucket's name: 3 to 63 of a-z, 0-9, dot and hyphen",
        check=_bucket_name,
    )
    """The bucket that uploads go to and reads come from. Its name follows
    [S3's rules](https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html)."""

    # --- Another S3 server than AWS --------------------------------------------------------------------

    use_ssl: bool = setting(
        "AWS_S3_USE_SSL",
        default=True,
        description="true or false; false only outside production",
        check=_tls,
    )
    """The scheme of an endpoint that names none, and of AWS's own hosts."""

    verify_ssl: bool = setting(
        "AWS_S3_VERIFY_SSL",
        default=True,
        description="true or false; false only outside production",
        check=_tls,
    )
    """Whether the certificate of S3 is checked. False is for a server with a certificate of its own making."""

    s3_endpoint_url: str | None = setting(
        "AWS_S3_ENDPOINT_URL",
        "LOCALSTACK_ENDPOINT",
        default=None,
        description="scheme://host[:port] of an S3 server; https in production; empty for AWS",
        check=_endpoint,
    )
    """The server that the service itself talks to. `LOCALSTACK_ENDPOINT` counts only with `ENVIRONMENT=local`: many
    `.env` files hold it, and in another environment it must not count."""

    s3_public_endpoint_url: str | None = setting(
        "S3_PUBLIC_ENDPOINT_URL",
        default=None,
        description="scheme://host[:port] that clients see in presigned URLs; https in production",
        check=_endpoint,
    )
    """The server as clients see it, used in presigned URLs. Not set, it is the one above. In containers the two
    differ: `localstack:4566` inside, `localhost:4566` outside."""

    cdn_base_url: str | None = setting(
        "CDN_BASE_URL",
        default=None,
        pattern=r"https?://[^\s?#]+",
        description="https://host[/path] of the CDN in front of the bucket",
    )
    """The CDN in front of the bucket. Without it `cdnUrl` is null."""

    # --- How objects are kept --------------------------------------------------------------------------

    s3_storage_classes: CommaList = setting(
        "S3_STORAGE_CLASSES",
        default=(),
        description="purpose:class separated by commas, such as audio:STANDARD_IA,document:INTELLIGENT_TIERING; "
        f"classes are {', '.join(STORAGE_CLASSES)}",
        check=_storage_classes,
    )
    """The storage class of a purpose's objects. `STANDARD`, `STANDARD_IA`, `ONEZONE_IA`, `INTELLIGENT_TIERING` or
    `GLACIER_IR`: those that S3 reads out at once. The others need hours of restoring, and a read URL would get 403.
    The two IA classes and `GLACIER_IR` charge each object for at least 128 KB."""

    s3_sse: Literal["none", "AES256", "aws:kms"] = setting(
        "S3_SSE",
        default="none",
        description="one of none, AES256, aws:kms",
    )
    """The encryption that S3 is asked for. `none` leaves it to the bucket: S3 encrypts every object, by itself with
    AES256, or as the bucket's default says."""

    s3_sse_kms_key_id: str | None = setting(
        "S3_SSE_KMS_KEY_ID",
        default=None,
        pattern=r"[A-Za-z0-9:/_-]{1,2048}",
        description="the id, alias or ARN of a KMS key, with S3_SSE=aws:kms",
        check=_kms_key,
    )
    """The key. Without it S3 takes the account's own `aws/s3`."""

    # --- Stores that do less than AWS ------------------------------------------------------------------

    s3_checksums: Literal["sha256", "md5", "off"] = setting(
        "S3_CHECKSUMS",
        default="sha256",
        description="one of sha256, md5, off: what the store compares",
    )
    """What the service declares of the bytes that it stores itself (`POST /api/v1/s3/upload`, `import`), so that the
    store refuses others. `md5` sends `Content-MD5`, for stores that answer 400 or 501 to `x-amz-checksum-*`, such as
    Backblaze B2; `off` sends nothing. Unless it is `sha256`, `POST /uploads` refuses a `sha256`, because nothing
    would compare it."""

    s3_form_post: bool = setting(
        "S3_FORM_POST",
        default=True,
        description="true or false: whether the store takes presigned form POSTs",
    )
    """Whether the store takes presigned form POSTs. Cloudflare R2 and Backblaze B2 do not. With `off` no route makes a
    form: no plan is `post` (a client that accepts nothing else gets 400 `no-strategy`, which says what to accept), and
    Uppy's `/s3/params` answers with a PUT, which versions 3 to 5 take (docs/uppy.md#stores-that-do-less-than-aws). An
    upload without a size then gets a PUT, and what is above its limit is removed later. docs/stores.md has the
    settings of each store."""

    # --- Uploads ---------------------------------------------------------------------------------------

    upload_url_expires_s: int = setting(
        "UPLOAD_URL_EXPIRES_SECONDS",
        default=300,
        least=1,
        most=PRESIGN_MAX_S,
        description=f"whole seconds from 1 to {PRESIGN_MAX_S} (seven days, S3's own limit)",
    )
    """How long a presigned PUT or form works. Short, because the URL alone is the permission. URLs of a multipart
    plan work one hour, or as long as this if it is longer: many parts take their time. Those of `POST
    /files/upload-url` always work one hour."""

    buffer_bytes: int = setting(
        "BUFFER_BYTES",
        default=256 * MIB,
        least=BUFFER_MIN_BYTES,
        most=1 << 40,
        description=f"whole bytes from {BUFFER_MIN_BYTES} (16 MiB)",
    )
    """Bytes of files that one process holds in memory at once, all routes together: the parts of `POST
    /api/v1/s3/upload`, and small forms that wait. An upload that finds it used up waits for its turn, and its client
    with it. Each upload costs about half a MiB beside it. A single part must fit: with the default, files up to 2.4
    TiB."""

    def storage_class_of(self, purpose: str) -> str | None:
        """Return the storage class that a purpose's objects are to have; None leaves it to S3."""
        return dict(item.split(":", 1) for item in self.s3_storage_classes).get(purpose)
