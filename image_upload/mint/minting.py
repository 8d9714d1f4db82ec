"""From a wish to a signed plan."""

from datetime import UTC, datetime
from urllib.parse import quote

from image_upload import keys
from image_upload.errors import InvalidMetadata
from image_upload.mint import checks
from image_upload.mint.plans import PutPlan, Wish
from image_upload.s3.bucket import Bucket
from image_upload.settings import Settings


class Mint:
    """Makes plans for one bucket."""

    def __init__(self, settings: Settings, bucket: Bucket) -> None:
        self._bucket = bucket
        self._expires_s = settings.upload_url_expires_s
        self._cdn_base_url = settings.cdn_base_url.rstrip("/") if settings.cdn_base_url else None

    async def put(self, wish: Wish) -> PutPlan:
        """A presigned PUT whose length and type S3 enforces, and checksum and metadata where the wish has them.

        Raises one of the 400 problems of `checks` and `keys`, or `CredentialsUnavailable`; then
        nothing was signed.
        """
        now = datetime.now(UTC)
        keys.check_filename(wish.filename)
        ext = checks.file_type(wish.purpose, wish.content_type, wish.filename)
        checks.size(wish.purpose, wish.size_bytes)
        headers = {"Content-Type": wish.content_type, "Content-Length": str(wish.size_bytes)}
        if wish.sha256 is not None:
            headers["x-amz-checksum-sha256"] = checks.sha256(wish.sha256)
        if wish.metadata is not None:
            headers |= checks.metadata_headers(wish, wish.metadata, now)
        class_id = (wish.metadata or {}).get("class_id", "")
        if "{class_id}" in wish.purpose.key and not class_id:
            raise InvalidMetadata(f'The purpose {wish.purpose.name} needs metadata such as {{"class_id": "class123"}}.')
        key = keys.make(wish.purpose, user_id=wish.user_id, ext=ext, class_id=class_id, now=now)
        presigned = await self._bucket.presign("PUT", key, expires_s=self._expires_s, headers=headers)
        return PutPlan(
            key=key,
            url=presigned.url,
            headers=headers,
            expires_at=presigned.expires_at,
            expires_s=presigned.expires_s,
            cdn_url=self.cdn_url(key),
        )

    def cdn_url(self, key: str) -> str | None:
        """The key's address on the CDN, None where no CDN is configured."""
        return f"{self._cdn_base_url}/{quote(key, safe='/~')}" if self._cdn_base_url else None
