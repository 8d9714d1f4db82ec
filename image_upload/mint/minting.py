"""From a wish to a signed plan of one request."""

from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

from image_upload import keys
from image_upload.errors import InvalidMetadata
from image_upload.limits import S3_PUT_MAX_BYTES
from image_upload.mint import checks
from image_upload.mint.plans import PostPlan, ProxyPlan, PutPlan, Wish
from image_upload.s3.bucket import Bucket
from image_upload.settings import Settings


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
        headers |= checks.metadata_headers(wish, wish.metadata, now)
    class_id = (wish.metadata or {}).get("class_id", "")
    if "{class_id}" in purpose.key and not class_id:
        raise InvalidMetadata(f'The purpose {purpose.name} needs metadata such as {{"class_id": "class123"}}.')
    key = keys.make(purpose, user_id=wish.user_id, ext=ext, class_id=class_id, filename=filename or "", now=now)
    return Approved(wish, key, headers)


class Mint:
    """Makes plans for one bucket."""

    def __init__(self, settings: Settings, bucket: Bucket) -> None:
        self._bucket = bucket
        self._expires_s = settings.upload_url_expires_s
        self._cdn_base_url = settings.cdn_base_url.rstrip("/") if settings.cdn_base_url else None

    async def put(self, wish: Wish, expires_s: int | None = None) -> PutPlan:
        """A presigned PUT whose type S3 enforces, and length, checksum, metadata and `once` where the wish has them.

        Raises the problems of `approve`, or `CredentialsUnavailable`.
        """
        approved = approve(wish)
        headers = approved.headers
        if wish.size_bytes is not None:
            headers["Content-Length"] = str(wish.size_bytes)
        if wish.once:
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
            headers["If-None-Match"] = "*"
        pen = await self._bucket.pen(expires_s or self._expires_s)
        url = pen.url("PUT", approved.key, headers=headers)
        return PutPlan(approved.key, url, headers, pen.validity, self.cdn_url(approved.key))

    async def post(self, wish: Wish) -> PostPlan:
        """A presigned form POST whose policy pins key, type, length, checksum and metadata.

        https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
        A policy knows no If-None-Match: the random key is what keeps it from overwriting.
        """
        approved = approve(wish)
        if wish.size_bytes is None:
            lengths = [1, min(wish.purpose.max_bytes, S3_PUT_MAX_BYTES)]
        else:
            lengths = [wish.size_bytes, wish.size_bytes]
        pen = await self._bucket.pen(self._expires_s)
        fields = {**approved.headers, "success_action_status": "201"}
        url, signed = pen.form(approved.key, [["content-length-range", *lengths]], fields)
        return PostPlan(approved.key, url, signed, pen.validity, self.cdn_url(approved.key))

    async def proxy(self, wish: Wish, path: str) -> ProxyPlan:
        """A presigned PUT for a client that sends it, with the file, to this service's own route at `path`."""
        return ProxyPlan(await self.put(wish), path)

    def location(self, key: str) -> str:
        """The key's address: on the CDN where there is one, else in the bucket (which answers signed requests only)."""
        address = self._bucket.public_address
        return self.cdn_url(key) or f"{address.origin}{address.path_prefix}/{quote(key, safe='/~')}"

    def cdn_url(self, key: str) -> str | None:
        """The key's address on the CDN, None where no CDN is configured."""
        return f"{self._cdn_base_url}/{quote(key, safe='/~')}" if self._cdn_base_url else None
