"""From a specification to a signed plan of one request."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from image_upload.domain import checks, keys, metadata
from image_upload.limits import S3_PUT_MAX_BYTES
from image_upload.s3.bucket import Bucket, Presigner
from image_upload.settings import Settings
from image_upload.telemetry import audit
from image_upload.uploads.plans import PostPlan, ProxyPlan, PutPlan, UploadSpec

if TYPE_CHECKING:
    from image_upload.usage.quotas import Quotas


class ValidatedUpload(NamedTuple):
    """A specification that was checked: the key it gets and the headers its object will have."""

    spec: UploadSpec
    key: str
    headers: dict[str, str]


def approve(spec: UploadSpec, most_bytes: int = S3_PUT_MAX_BYTES) -> ValidatedUpload:
    """Check a specification and give it a key. `most_bytes` is what its strategy can carry.

    Raises one of the 400 problems of `checks` and `keys`; nothing was signed.
    """
    now = datetime.now(UTC)
    purpose, filename = spec.purpose, spec.filename
    if filename is not None:
        filename = keys.check_filename(filename)
    ext = checks.file_type(purpose, spec.content_type, filename)
    checks.size(purpose, spec.size_bytes, most_bytes=most_bytes)
    headers = {"Content-Type": spec.content_type}
    if spec.sha256 is not None:
        headers["x-amz-checksum-sha256"] = checks.sha256(spec.sha256)
    if spec.metadata is not None:
        headers |= metadata.headers_of(
            spec.metadata, user_id=spec.user_id, filename=filename, content_type=spec.content_type, now=now
        )
    class_id = checks.class_id(purpose, spec.metadata or {})
    key = keys.make(purpose, user_id=spec.user_id, ext=ext, class_id=class_id, filename=filename or "", now=now)
    return ValidatedUpload(spec, key, headers)


def most_bytes(spec: UploadSpec, most: int = S3_PUT_MAX_BYTES) -> int:
    """How long the file can be, as far as is known. `most` is what its strategy can carry."""
    return min(spec.purpose.max_bytes, most) if spec.size_bytes is None else spec.size_bytes


class SinglePutPlanner:
    """Makes plans for one bucket."""

    def __init__(self, settings: Settings, bucket: Bucket, quotas: "Quotas | None" = None) -> None:
        self._bucket = bucket
        self.quotas = quotas
        self._expires_s = settings.upload_url_expires_s

    def _headers(self, approved: ValidatedUpload) -> dict[str, str]:
        return approved.headers | self._bucket.at_rest(approved.key)

    async def _presigner(self, approved: ValidatedUpload, expires_s: int | None = None) -> Presigner:
        """What signs the plan, once there is room for its file. Raises `QuotaExceeded`."""
        presigner = await self._bucket.presigner(expires_s or self._expires_s)
        if self.quotas is not None:
            await self.quotas.reserve(approved.key, most_bytes(approved.spec), presigner.validity.ends_at)
        return presigner

    async def put(self, spec: UploadSpec, expires_s: int | None = None) -> PutPlan:
        """A presigned PUT whose type S3 enforces, and length, checksum, metadata and `once` where they are specified.

        So are storage class and encryption, where settings say them: they are headers like any other.

        Raises the problems of `approve`, `CredentialsUnavailable` or `QuotaExceeded`.
        """
        approved = approve(spec)
        headers = self._headers(approved)
        length = {} if spec.size_bytes is None else {"Content-Length": str(spec.size_bytes)}
        if spec.once or (spec.size_bytes is None and (spec.recorded or self.quotas is not None)):
            # Also where a second PUT of another length would make a record or a quota say what is not true.
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
            headers["If-None-Match"] = "*"
        presigner = await self._presigner(approved, expires_s)
        url = presigner.url("PUT", approved.key, headers=headers | length)
        audit.note("mint", approved.key, purpose=spec.purpose.name, size_bytes=spec.size_bytes)
        return PutPlan(
            approved.key, url, headers, spec.size_bytes, presigner.validity, self._bucket.cdn_url(approved.key)
        )

    async def post(self, spec: UploadSpec) -> PostPlan:
        """A presigned form POST whose policy pins key, type, length, checksum and metadata.

        https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
        A policy knows no If-None-Match: the random key is what keeps it from overwriting.
        """
        approved = approve(spec)
        lengths = [spec.size_bytes or 1, most_bytes(spec)]
        presigner = await self._presigner(approved)
        fields = {**self._headers(approved), "success_action_status": "201"}
        url, signed = presigner.form(approved.key, [["content-length-range", *lengths]], fields)
        audit.note("mint", approved.key, purpose=spec.purpose.name, size_bytes=spec.size_bytes)
        return PostPlan(approved.key, url, signed, presigner.validity, self._bucket.cdn_url(approved.key))

    async def proxy(self, spec: UploadSpec, path: str) -> ProxyPlan:
        """A presigned PUT for a client that sends it, with the file, to this service's own route at `path`."""
        return ProxyPlan(await self.put(spec), path)
