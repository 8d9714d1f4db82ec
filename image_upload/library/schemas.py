"""The answers of the library routes, for the OpenAPI document only."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

_STATE = Field(
    default=None,
    description="Only of a purpose that is checked: stored, checking, or missing (nothing has arrived).",
    examples=["stored"],
)


class ReadUrl(BaseModel):
    """A presigned GET."""

    url: str = Field(description="GET it before it expires; it needs no further header.")
    key: str
    expiresIn: int = Field(description="Seconds.", examples=[900])  # the contract's name
    download: bool
    state: str | None = _STATE


class FileReadUrl(BaseModel):
    """A presigned GET, in the names of /api/v1/s3."""

    url: str = Field(description="GET it before it expires; it needs no further header.")
    key: str
    expires_in: int = Field(description="Seconds.", examples=[3600])
    download: bool
    state: str | None = _STATE


class ObjectMetadata(BaseModel):
    """An object's description by S3."""

    key: str
    size: int = Field(description="Bytes.")
    content_type: str
    etag: str = Field(description="With its quotes, as S3 has it.")
    last_modified: datetime
    storage_class: str = Field(examples=["STANDARD"])
    encryption: str | None = Field(description="AES256, aws:kms, or null.")
    checksum_sha256: str | None = Field(
        description="Base64; with -N behind it, the SHA-256 of the SHA-256s of N parts. null where S3 keeps none."
    )
    metadata: dict[str, str] = Field(
        description="What was stored with it, in any script.", examples=[{"original_filename": "고양이.jpg"}]
    )
    missing_metadata: int = Field(description="Entries that S3 has but cannot put into a header.")
    cdn_url: str | None = Field(description="Where the CDN serves it; null where none does.")
    facts: dict[str, Any] | None = Field(
        description="What verification found: type, width, height, orientation, frames, placeholder (a ThumbHash in "
        "base64), had_location, location_is_left. null for a file that was not verified.",
        examples=[{"type": "image/jpeg", "width": 4032, "height": 3024}],
    )
    variants: dict[str, str | None] = Field(
        description="Smaller pictures by name, and where the CDN serves them.",
        examples=[{"thumb": "https://cdn.example.com/variants/profiles/alice/0f…/thumb.webp"}],
    )
    variant_keys: dict[str, str] = Field(
        description="Their keys by name, for GET /images/{key}: also where no CDN serves them.",
        examples=[{"thumb": "variants/profiles/alice/0f…/thumb.webp"}],
    )


class Arrival(ObjectMetadata):
    """A stored file. With 202 there are `key` and `state` alone."""

    state: str = Field(description="stored; with 202 checking.", examples=["stored"])
    url: str | None = Field(
        None, description="The CDN's, or presigned and valid for 15 minutes; null where the token may not read."
    )
    receipt: str | None = Field(None, description="A signed statement of it; null without JWT_SECRET.")


class Exists(BaseModel):
    """Whether the object exists."""

    key: str
    exists: bool


class ListedFile(BaseModel):
    """An object in a listing."""

    key: str
    size: int = Field(description="Bytes.")
    etag: str
    last_modified: datetime
    storage_class: str


class FileList(BaseModel):
    """A page of objects, in the order of their keys."""

    files: list[ListedFile]
    prefix: str
    next_token: str | None = Field(description="Pass it as continuation_token for the next page; null on the last.")


class StartedJob(BaseModel):
    """A job for a worker."""

    job_id: str = Field(description="Ask GET /jobs/{job_id} how far it is.")
