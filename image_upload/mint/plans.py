"""What a client asks for and what it gets, as values. Routes turn a plan into their family's JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from image_upload.purposes import Purpose


@dataclass(frozen=True, slots=True)
class Wish:
    """One upload as the client describes it, before anything was checked.

    `metadata` None asks for none; a mapping, also an empty one, asks for the standard metadata too.
    `sha256` is the file's digest in hexadecimal or base64.
    """

    filename: str
    content_type: str
    size_bytes: int
    purpose: Purpose
    user_id: str
    sha256: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class PutPlan:
    """One presigned PUT. `headers` must be sent as they are: S3 checks each against the signature."""

    strategy: ClassVar[str] = "put"
    method: ClassVar[str] = "PUT"

    key: str
    url: str
    headers: Mapping[str, str]
    expires_at: datetime
    expires_s: int
    cdn_url: str | None
