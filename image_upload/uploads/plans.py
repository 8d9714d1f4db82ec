"""What a client asks for and what it gets, as values. Each protocol turns a plan into its own JSON."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from image_upload.domain.purposes import Purpose
from image_upload.s3.bucket import PartUrls, Validity
from image_upload.uploads.tickets import Ticket

Strategy = Literal["put", "post", "multipart", "proxy"]


class UploadSpec(NamedTuple):
    """One upload as the client describes it, before anything was checked.

    `filename` None: the client named none, and the extension follows the type. `size_bytes` None: not
    known; then S3 enforces the purpose's limit where the strategy can carry one, and no length.
    `metadata` None asks for none; a mapping, also an empty one, asks for the standard metadata too.
    `sha256` is the file's digest in hexadecimal or base64. `no_overwrite`: S3 refuses to replace an object.
    `expires_s`: how long a single request may be sent, None as the settings say.
    """

    content_type: str
    purpose: Purpose
    user_id: str
    filename: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    metadata: Mapping[str, str] | None = None
    no_overwrite: bool = False
    expires_s: int | None = None


class PutPlan(NamedTuple):
    """One presigned PUT. `headers` must be sent as they are: S3 checks each against the signature.

    `content_length` is signed too where it is not None. It is none of the headers, because an HTTP client sets that one
    by itself: https://fetch.spec.whatwg.org/#forbidden-request-header
    """

    key: str
    url: str
    headers: Mapping[str, str]
    content_length: int | None
    valid: Validity
    cdn_url: str | None

    @property
    def ends_at(self) -> datetime:
        """When the permission to upload ends."""
        return self.valid.ends_at


class PostPlan(NamedTuple):
    """One presigned form POST. Send `fields` as they are, then the file as `file`, last."""

    key: str
    url: str
    fields: Mapping[str, str]
    valid: Validity
    cdn_url: str | None

    @property
    def ends_at(self) -> datetime:
        """When the permission to upload ends."""
        return self.valid.ends_at


class ProxyPlan(NamedTuple):
    """A form POST to this service at `path`, which carries `put.url` beside the file."""

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
    """URLs for some parts of an upload. `following` is the first number of the next page, None on the last."""

    numbers: range | tuple[int, ...]
    urls: PartUrls
    valid: Validity
    following: int | None = None

    def by_number(self) -> list[tuple[int, str]]:
        """Each part's number and whole URL."""
        return [
            (number, f"{self.urls.head}{number}{self.urls.tail}{signature}")
            for number, signature in zip(self.numbers, self.urls.signatures, strict=True)
        ]


class BegunUpload(NamedTuple):
    """A multipart upload that S3 has begun; `ticket_text` is what the client goes on with."""

    ticket: Ticket
    ticket_text: str


class MultipartPlan(NamedTuple):
    """A multipart upload that S3 has begun: its parts, and how to end it."""

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


Plan = PutPlan | PostPlan | ProxyPlan | MultipartPlan
