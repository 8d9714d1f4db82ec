"""From a checked upload to a signed plan of one request."""

from image_upload.s3.bucket import Bucket, Presigner
from image_upload.settings import Settings
from image_upload.telemetry import audit
from image_upload.uploads.plans import PostPlan, ProxyPlan, PutPlan
from image_upload.uploads.validation import ValidatedUpload
from image_upload.usage.quotas import Quotas


class SinglePutPlanner:
    """Makes plans for one bucket."""

    def __init__(self, settings: Settings, bucket: Bucket, quotas: Quotas) -> None:
        self._bucket = bucket
        self._quotas = quotas
        self._expires_s = settings.upload_url_expires_s

    def _headers(self, upload: ValidatedUpload) -> dict[str, str]:
        return upload.headers | self._bucket.at_rest(upload.key)

    async def _presigner(self, upload: ValidatedUpload) -> Presigner:
        """What signs the plan, once there is room for its file. Raises `QuotaExceeded`."""
        presigner = await self._bucket.presigner(upload.spec.expires_s or self._expires_s)
        await self._quotas.reserve(upload.key, upload.most_bytes, presigner.validity.ends_at)
        return presigner

    async def put(self, upload: ValidatedUpload) -> PutPlan:
        """A presigned PUT whose type S3 enforces, and length, checksum, metadata and `no_overwrite` where specified.

        Storage class and encryption are headers like any other, where settings say them.

        Raises `CredentialsUnavailable`, `QuotaExceeded`.
        """
        spec, headers = upload.spec, self._headers(upload)
        length = {} if spec.size_bytes is None else {"Content-Length": str(spec.size_bytes)}
        if spec.no_overwrite or (spec.size_bytes is None and (upload.recorded or self._quotas.enabled)):
            # Also where a second PUT of another length would make a record or a quota say what is not true.
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
            headers["If-None-Match"] = "*"
        presigner = await self._presigner(upload)
        url = presigner.url("PUT", upload.key, headers=headers | length)
        audit.note("mint", upload.key, purpose=spec.purpose.name, size_bytes=spec.size_bytes)
        return PutPlan(upload.key, url, headers, spec.size_bytes, presigner.validity, self._bucket.cdn_url(upload.key))

    async def post(self, upload: ValidatedUpload) -> PostPlan:
        """A presigned form POST whose policy pins key, type, length, checksum and metadata.

        https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
        A policy knows no If-None-Match: the random key is what keeps it from overwriting.
        """
        spec = upload.spec
        presigner = await self._presigner(upload)
        fields = {**self._headers(upload), "success_action_status": "201"}
        lengths = [spec.size_bytes or 1, upload.most_bytes]
        url, signed = presigner.form(upload.key, [["content-length-range", *lengths]], fields)
        audit.note("mint", upload.key, purpose=spec.purpose.name, size_bytes=spec.size_bytes)
        return PostPlan(upload.key, url, signed, presigner.validity, self._bucket.cdn_url(upload.key))

    async def proxy(self, upload: ValidatedUpload, path: str) -> ProxyPlan:
        """A presigned PUT for a client that sends it, with the file, to this service's own route at `path`."""
        return ProxyPlan(await self.put(upload), path)
