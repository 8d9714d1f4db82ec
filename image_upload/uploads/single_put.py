"""Sign plans of one request: a PUT, a form POST, or a form for this service."""

from image_upload.s3.bucket import Bucket, Presigner
from image_upload.settings.storage import StorageSettings
from image_upload.telemetry import audit
from image_upload.uploads.plans import PostPlan, ProxyPlan, PutPlan
from image_upload.uploads.validation import ValidatedUpload
from image_upload.usage.quotas import Quotas


class SinglePutPlanner:
    """Sign plans for one bucket."""

    def __init__(self, settings: StorageSettings, bucket: Bucket, quotas: Quotas) -> None:
        self._bucket = bucket
        self._quotas = quotas
        self._expires_s = settings.upload_url_expires_s

    def _headers(self, upload: ValidatedUpload) -> dict[str, str]:
        return upload.headers | self._bucket.storage_headers(upload.upload_key)

    async def _presigner(self, upload: ValidatedUpload) -> Presigner:
        """Reserve the file in the quota; return the presigner for its plan. Raises `QuotaExceeded`."""
        presigner = await self._bucket.presigner(upload.spec.expires_s or self._expires_s)
        await self._quotas.reserve(upload.key, upload.most_bytes, presigner.validity.ends_at)
        return presigner

    async def put(self, upload: ValidatedUpload) -> PutPlan:
        """Return a presigned PUT. S3 enforces its type, and length, checksum, metadata and `no_overwrite` if specified.

        Storage class and encryption of the settings are headers of the plan too.

        Raises `CredentialsUnavailable`, `QuotaExceeded`.
        """
        spec, headers = upload.spec, self._headers(upload)
        length = {} if spec.size_bytes is None else {"Content-Length": str(spec.size_bytes)}
        if spec.no_overwrite or (spec.size_bytes is None and (upload.recorded or self._quotas.enabled)):
            # Recorded uploads and quotas need it too: a second PUT of another length would make them wrong.
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
            headers["If-None-Match"] = "*"
        presigner = await self._presigner(upload)
        url = presigner.url("PUT", upload.upload_key, headers=headers | length)
        audit.record("mint", upload.key, purpose=spec.purpose.name, size_bytes=spec.size_bytes)
        return PutPlan(
            upload.key,
            url,
            headers,
            spec.size_bytes,
            upload.most_bytes,
            upload.size_enforced,
            presigner.validity,
            self._bucket.cdn_url(upload.key),
        )

    async def post(self, upload: ValidatedUpload) -> PostPlan:
        """Return a presigned form POST. Its policy fixes key, type, length, checksum and metadata.

        https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
        A policy cannot have If-None-Match. The random key prevents overwriting.
        """
        spec = upload.spec
        presigner = await self._presigner(upload)
        fields = {**self._headers(upload), "success_action_status": "201"}
        lengths = [spec.size_bytes or 1, upload.most_bytes]
        url, signed = presigner.form(upload.upload_key, [["content-length-range", *lengths]], fields)
        audit.record("mint", upload.key, purpose=spec.purpose.name, size_bytes=spec.size_bytes)
        return PostPlan(
            upload.key, url, signed, upload.most_bytes, presigner.validity, self._bucket.cdn_url(upload.key)
        )

    async def proxy(self, upload: ValidatedUpload, path: str) -> ProxyPlan:
        """Return a presigned PUT for a client that sends it, with the file, to this service at `path`."""
        return ProxyPlan(await self.put(upload), path)
