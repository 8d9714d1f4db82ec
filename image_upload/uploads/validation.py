"""Validate a specification and give it a key. No later step validates again."""

from datetime import UTC, datetime
from typing import NamedTuple

from image_upload.database.values import ExpectedObject
from image_upload.domain import checks, keys, metadata
from image_upload.limits import RESUMABLE_MAX_BYTES, S3_OBJECT_MAX_BYTES, S3_PUT_MAX_BYTES
from image_upload.uploads import tickets
from image_upload.uploads.plans import Strategy, UploadSpec
from image_upload.uploads.tickets import Ticket

# The longest object that a strategy can carry.
CARRIES_BYTES: dict[Strategy, int] = {
    "put": S3_PUT_MAX_BYTES,
    "post": S3_PUT_MAX_BYTES,
    "proxy": S3_PUT_MAX_BYTES,
    "multipart": S3_OBJECT_MAX_BYTES,
    "resumable": RESUMABLE_MAX_BYTES,
}


class ValidatedUpload(NamedTuple):
    """A valid specification, with the key and headers of its object.

    `upload_key` is the key that the client may write: the same, or one under `incoming/`. `most_bytes` is the longest
    length that the file may have. `size_enforced`: S3 refuses a longer one; else completion removes it. `sha256` is in
    base64. `recorded`: it gets a row in the database.
    """

    spec: UploadSpec
    key: str
    upload_key: str
    headers: dict[str, str]
    most_bytes: int
    size_enforced: bool
    sha256: str | None
    recorded: bool

    def expected(self, ends_at: datetime) -> ExpectedObject:
        """Return the expected object for a row. `ends_at` is when the permission to upload ends."""
        spec = self.spec
        return ExpectedObject(
            user_id=spec.user_id,
            key=self.key,
            filename=spec.filename or "",
            content_type=spec.content_type,
            size_bytes=spec.size_bytes,
            sha256=self.sha256,
            ends_at=ends_at,
        )

    def ticket(self, part_bytes: int) -> Ticket:
        """Return its ticket, without the id of an upload in S3."""
        spec = self.spec
        return Ticket(
            key=self.key,
            upload_id="",
            user_id=spec.user_id,
            purpose=spec.purpose.name,
            content_type=spec.content_type,
            size_bytes=spec.size_bytes,
            part_bytes=part_bytes,
            max_bytes=spec.purpose.max_bytes,
            no_overwrite=spec.no_overwrite,
            expires_at_s=tickets.expiry(),
            recorded=self.recorded,
            verified=self.upload_key != self.key,
        )


def validate(spec: UploadSpec, strategy: Strategy, *, recorded: bool = False) -> ValidatedUpload:
    """Check a specification for a strategy and give it a key.

    Raises one of the 400 problems of `checks` and `keys`. Nothing was signed then.
    """
    now = datetime.now(UTC)
    purpose, filename, carries_bytes = spec.purpose, spec.filename, CARRIES_BYTES[strategy]
    if filename is not None and (composed := keys.check_filename(filename)) != filename:
        filename, spec = composed, spec._replace(filename=composed)
    ext = checks.file_type(purpose, spec.content_type, filename)
    checks.size(purpose, spec.size_bytes, most_bytes=carries_bytes)
    headers = {"Content-Type": spec.content_type}
    sha256 = None
    if spec.sha256 is not None:
        sha256 = headers["x-amz-checksum-sha256"] = checks.sha256(spec.sha256)
    if spec.metadata is not None:
        headers |= metadata.headers_of(
            spec.metadata, user_id=spec.user_id, filename=filename, content_type=spec.content_type, now=now
        )
    class_id = checks.class_id(purpose, spec.metadata or {})
    most_bytes = min(purpose.max_bytes, carries_bytes) if spec.size_bytes is None else spec.size_bytes
    # A form's policy has the limit, and the service itself counts what it appends. For the others S3 takes what the
    # strategy carries, unless the length is signed.
    size_enforced = spec.size_bytes is not None or strategy in ("post", "resumable") or most_bytes == carries_bytes
    key = keys.make(
        purpose,
        user_id=spec.user_id,
        ext=ext,
        class_id=class_id,
        filename=filename or "",
        max_bytes=None if size_enforced else most_bytes,
        now=now,
        seed=None if spec.repeatable is None else spec.repeatable.object_seed,
    )
    return ValidatedUpload(spec, key, key, headers, most_bytes, size_enforced, sha256, recorded)
