"""From a wish to a signed plan of one request."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from image_upload import audit, checks, keys, metadata
from image_upload.limits import S3_PUT_MAX_BYTES
from image_upload.mint.plans import PostPlan, ProxyPlan, PutPlan, Wish
from image_upload.s3.bucket import Bucket, Pen
from image_upload.settings import Settings

if TYPE_CHECKING:
    from image_upload.limiting.quotas import Quotas


class Approved(NamedTuple):
    """A wish that was checked: the key it gets and the headers its object will have."""

    wish: Wish
    key: str
    headers: dict[str, str]


def approve(wish: Wish, most_bytes: int = S3_PUT_MAX_BYTES) -> Approved:
    """Check a wish and give it a key. `most_bytes` is what its strategy can carry.

    Raises one of the 400 problems of `checks` and `keys`; nothing was signed.
    """
    now = datetime.now(UTC)
    purpose, filename = wish.purpose, wish.filename
    if filename is not None:
        filename = keys.check_filename(filename)
    ext = checks.file_type(purpose, wish.content_type, filename)
    checks.size(purpose, wish.size_bytes, most_bytes=most_bytes)
    headers = {"Content-Type": wish.content_type}
    if wish.sha256 is not None:
        headers["x-amz-checksum-sha256"] = checks.sha256(wish.sha256)
    if wish.metadata is not None:
        headers |= metadata.headers_of(
            wish.metadata, user_id=wish.user_id, filename=filename, content_type=wish.content_type, now=now
        )
    class_id = checks.class_id(purpose, wish.metadata or {})
    key = keys.make(purpose, user_id=wish.user_id, ext=ext, class_id=class_id, filename=filename or "", now=now)
    return Approved(wish, key, headers)


def most_bytes(wish: Wish, most: int = S3_PUT_MAX_BYTES) -> int:
    """How long the file of a wish can be, as far as anybody has said. `most` is what its strategy can carry."""
    return min(wish.purpose.max_bytes, most) if wish.size_bytes is None else wish.size_bytes


class Mint:
    """Makes plans for one bucket."""

    def __init__(self, settings: Settings, bucket: Bucket, quotas: "Quotas | None" = None) -> None:
        self._bucket = bucket
        self.quotas = quotas
        self._expires_s = settings.upload_url_expires_s

    def _headers(self, approved: Approved) -> dict[str, str]:
        return approved.headers | self._bucket.at_rest(approved.key)

    async def _pen(self, approved: Approved, expires_s: int | None = None) -> Pen:
        """What signs the plan, once there is room for its file. Raises `QuotaExceeded`."""
        pen = await self._bucket.pen(expires_s or self._expires_s)
        if self.quotas is not None:
            await self.quotas.reserve(approved.key, most_bytes(approved.wish), pen.validity.ends_at)
        return pen

    async def put(self, wish: Wish, expires_s: int | None = None) -> PutPlan:
        """A presigned PUT whose type S3 enforces, and length, checksum, metadata and `once` where the wish has them.

        So are storage class and encryption, where settings say them: they are headers like any other.

        Raises the problems of `approve`, `CredentialsUnavailable` or `QuotaExceeded`.
        """
        approved = approve(wish)
        headers = self._headers(approved)
        length = {} if wish.size_bytes is None else {"Content-Length": str(wish.size_bytes)}
        if wish.once or (wish.size_bytes is None and (wish.recorded or self.quotas is not None)):
            # Also where a second PUT of another length would make a record or a quota say what is not true.
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
            headers["If-None-Match"] = "*"
        pen = await self._pen(approved, expires_s)
        url = pen.url("PUT", approved.key, headers=headers | length)
        audit.note("mint", approved.key, purpose=wish.purpose.name, size_bytes=wish.size_bytes)
        return PutPlan(approved.key, url, headers, wish.size_bytes, pen.validity, self._bucket.cdn_url(approved.key))

    async def post(self, wish: Wish) -> PostPlan:
        """A presigned form POST whose policy pins key, type, length, checksum and metadata.

        https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
        A policy knows no If-None-Match: the random key is what keeps it from overwriting.
        """
        approved = approve(wish)
        lengths = [wish.size_bytes or 1, most_bytes(wish)]
        pen = await self._pen(approved)
        fields = {**self._headers(approved), "success_action_status": "201"}
        url, signed = pen.form(approved.key, [["content-length-range", *lengths]], fields)
        audit.note("mint", approved.key, purpose=wish.purpose.name, size_bytes=wish.size_bytes)
        return PostPlan(approved.key, url, signed, pen.validity, self._bucket.cdn_url(approved.key))

    async def proxy(self, wish: Wish, path: str) -> ProxyPlan:
        """A presigned PUT for a client that sends it, with the file, to this service's own route at `path`."""
        return ProxyPlan(await self.put(wish), path)
