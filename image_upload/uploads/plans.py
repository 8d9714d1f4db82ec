"""Specifications and plans of uploads, as values. Each protocol turns a plan into its own JSON."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from image_upload.auth.principals import Principal
from image_upload.domain.purposes import Purpose
from image_upload.s3.bucket import PartUrls, Validity
from image_upload.uploads.idempotency import Repeatable
from image_upload.uploads.tickets import ResumableTicket, Ticket

Strategy = Literal["put", "post", "multipart", "resumable", "proxy"]


class UploadSpec(NamedTuple):
    """One upload as the client describes it, unchecked.

    `principal` is who asks for it, and owns it. `filename` is None if the client sent none; then the extension follows
    the type. `size_bytes` is None if it is not known; then S3 enforces the purpose's limit if the strategy allows it,
    else completion does.
    `metadata` None means none; a mapping, even an empty one, adds the standard metadata.
    `sha256` is the file's digest in hexadecimal or base64. `no_overwrite`: S3 refuses to replace an object.
    `expires_s` is the validity of a single request in seconds, None for the settings' own.
    `repeatable`: the same request leads to the same key again. It goes together with `no_overwrite`: a second file for
    which a client sends the same Idempotency-Key never replaces the first one.
    """

    content_type: str
    purpose: Purpose
    principal: Principal
    filename: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    metadata: Mapping[str, str] | None = None
    no_overwrite: bool = False
    expires_s: int | None = None
    repeatable: Repeatable | None = None

    @property
    def user_id(self) -> str:
        """The owner's id."""
        return self.principal.user_id


class PutPlan(NamedTuple):
    """One presigned PUT. `headers` must be sent as they are: S3 checks each against the signature.

    `content_length` is signed too, unless it is None. It is not in `headers`, because HTTP clients set it themselves:
    https://fetch.spec.whatwg.org/#forbidden-request-header
    `max_bytes` is the longest length that is kept. Unless `size_enforced`, S3 takes more, and completion removes it.
    """

    key: str
    url: str
    headers: Mapping[str, str]
    content_length: int | None
    max_bytes: int
    size_enforced: bool
    valid: Validity
    cdn_url: str | None

    @property
    def ends_at(self) -> datetime:
        """When the permission to upload ends."""
        return self.valid.ends_at


class PostPlan(NamedTuple):
    """One presigned form POST. Send `fields` as they are, then the file as `file`, last. S3 enforces `max_bytes`."""

    key: str
    url: str
    fields: Mapping[str, str]
    max_bytes: int
    valid: Validity
    cdn_url: str | None

    @property
    def ends_at(self) -> datetime:
        """When the permission to upload ends."""
        return self.valid.ends_at


class ProxyPlan(NamedTuple):
    """A form POST to this service at `path`, with `put.url` and the file."""

    put: PutPlan
    path: str

    @property
    def key(self) -> str:
        """The object's key."""
        return self.put.key

    @property
    def ends_at(self) -> datetime:
        """When the permission to upload ends."""
        return self.put.ends_at


class SignedRequest(NamedTuple):
    """A presigned request that a client makes to S3 itself."""

    method: str
    url: str
    headers: Mapping[str, str]


class PartPage(NamedTuple):
    """URLs for some parts of an upload. `following` is the first number of the next page; None on the last page."""

    numbers: range | tuple[int, ...]
    urls: PartUrls
    valid: Validity
    following: int | None = None

    def by_number(self) -> list[tuple[int, str]]:
        """Return the number and the complete URL of each part."""
        return [
            (number, f"{self.urls.head}{number}{self.urls.tail}{signature}")
            for number, signature in zip(self.numbers, self.urls.signatures, strict=True)
        ]


class BegunUpload(NamedTuple):
    """A multipart upload that S3 has begun. The client continues it with `ticket_text`."""

    ticket: Ticket
    ticket_text: str


class MultipartPlan(NamedTuple):
    """A multipart upload that S3 has begun: its parts, and the requests to complete and abort it."""

    ticket: Ticket
    ticket_text: str
    page: PartPage
    complete: SignedRequest
    abort: SignedRequest
    list_parts: SignedRequest
    cdn_url: str | None

    @property
    def key(self) -> str:
        """The object's key."""
        return self.ticket.key

    @property
    def ends_at(self) -> datetime:
        """When the permission to upload ends."""
        return self.ticket.ends_at


class ResumablePlan(NamedTuple):
    """An upload that goes on through this service at `path`, by tus or the IETF protocol, after any interruption.

    `append_max_bytes` is what one request holds; None: any number.
    """

    ticket: ResumableTicket
    ticket_text: str
    path: str
    append_max_bytes: int | None
    valid: Validity
    cdn_url: str | None

    @property
    def key(self) -> str:
        """The object's key."""
        return self.ticket.upload.key

    @property
    def ends_at(self) -> datetime:
        """When the permission to upload ends."""
        return self.valid.ends_at


Plan = PutPlan | PostPlan | ProxyPlan | MultipartPlan | ResumablePlan
