"""Records, and the expected objects of uploads, as values."""

from datetime import datetime
from typing import Literal, NamedTuple

from image_upload.domain.faults import Fault

Kind = Literal["post", "file"]

# pending → stored, rejected, quarantined, expired; expired → the first three, when the bytes come after all.
# docs/records.md.
State = Literal["pending", "stored", "rejected", "quarantined", "expired"]


class ExpectedObject(NamedTuple):
    """A minted upload: the object that S3 must confirm.

    `size_bytes` is None if no length was signed. `sha256` is base64, as S3 writes it. `ends_at` is when the
    permission to upload ends.
    """

    user_id: str
    key: str
    filename: str
    content_type: str
    size_bytes: int | None
    sha256: str | None
    ends_at: datetime


class Record(NamedTuple):
    """One row of `uploads`. `size_bytes` and `etag` are S3's; `expected_object` stays unchanged."""

    kind: Kind
    id: int
    expected_object: ExpectedObject
    state: State
    fault: Fault | None
    size_bytes: int | None
    etag: str | None
    created_at: datetime
    updated_at: datetime
    stored_at: datetime | None
