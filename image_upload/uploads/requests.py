"""The request bodies of the minting routes."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from image_upload.auth.principals import Principal
from image_upload.domain import checks
from image_upload.limits import ACCEPTS_MAX, BATCH_MAX, MEMBERS_MAX, S3_PARTS_MAX
from image_upload.uploads.idempotency import Repeatable
from image_upload.uploads.plans import UploadSpec
from image_upload.uploads.service import UploadService
from image_upload.web.json_body import at_most

# The contract's JSON names are camelCase in some routes and snake_case in others.

# Built by the first request that needs it, not by every start of the service.
_LATER = ConfigDict(defer_build=True)


class UploadRequest(BaseModel):
    """What a client wants to store."""

    model_config = ConfigDict(
        defer_build=True,
        json_schema_extra={"examples": [{"filename": "cat.jpg", "contentType": "image/jpeg", "size": 123456}]},
    )

    filename: str = Field(description="The bare file name, in any script.")
    contentType: str = Field(
        description="Its media type; the upload must carry exactly the one in `headers`. Empty, as browsers have it "
        "for types they do not know: the one that the purpose takes under the name's extension."
    )
    size: int | None = Field(
        None,
        # 0 is 400 empty-file. Above S3's own limit there is no upload at all; below, the purpose decides.
        ge=0,
        lt=2**63,
        strict=True,
        description="Its size in bytes; S3 refuses a body of any other length. Leave it out if it is not known yet: "
        "then accept `post`, whose form holds the file to the purpose's limit.",
    )
    purpose: str | None = Field(
        None,
        description="What it is for; decides key, types, size and life time. Without it: the first of GET /purposes.",
    )
    sha256: str | None = Field(None, description="Its SHA-256, hexadecimal or base64: S3 then refuses other bytes.")
    metadata: Annotated[dict[str, str], at_most(MEMBERS_MAX)] | None = Field(
        None,
        max_length=MEMBERS_MAX,
        description="Stored with the object, together with user_id, original_filename, content_type and "
        "upload_timestamp. Send {} for just those. The upload must then send all `headers`.",
    )
    ifNoneMatch: bool = Field(default=False, description="The URL works once: S3 never overwrites an object.")
    accepts: list[Literal["put", "post", "multipart", "resumable", "proxy"]] | None = Field(
        None,
        min_length=1,
        max_length=ACCEPTS_MAX,
        description="What the client can do. Without it: a presigned PUT, and multipart above 5 GiB.",
    )
    compact: bool = Field(
        default=False, description="Multipart: one URL template and a signature a part in place of whole URLs."
    )


def spec_of(
    wanted: UploadRequest, principal: Principal, upload_service: UploadService, repeatable: Repeatable | None
) -> UploadSpec:
    """Return the request as a specification.

    Raises `ValidationFailed` for an unknown purpose, `ScopeMissing` for one whose scope the principal lacks, and
    `UnsupportedFileType` if neither type nor name tells the type.
    """
    purpose = upload_service.purpose(wanted.purpose, principal)
    return UploadSpec(
        filename=wanted.filename,
        content_type=checks.content_type(purpose, wanted.contentType, wanted.filename),
        size_bytes=wanted.size,
        purpose=purpose,
        principal=principal,
        sha256=wanted.sha256,
        metadata=wanted.metadata,
        no_overwrite=wanted.ifNoneMatch or repeatable is not None,
        repeatable=repeatable,
    )


class BatchRequest(BaseModel):
    """Many files in one call."""

    model_config = _LATER

    uploads: list[UploadRequest] = Field(min_length=1, max_length=BATCH_MAX)


class PartsRequest(BaseModel):
    """Which parts need fresh URLs."""

    model_config = _LATER

    partNumbers: list[Annotated[int, Field(strict=True)]] = Field(max_length=S3_PARTS_MAX, examples=[[1, 2, 3]])


class FinishedPart(BaseModel):
    """A part as S3 confirmed it to the client."""

    model_config = _LATER

    partNumber: int = Field(strict=True)
    etag: str = Field(description="The ETag header of S3's answer to the part, with or without quotes.")


class CompleteRequest(BaseModel):
    """The parts; without them, all that S3 has."""

    model_config = _LATER

    parts: list[FinishedPart] | None = Field(None, max_length=S3_PARTS_MAX)


class ImageRequest(BaseModel):
    """The body of POST /images/presigned-url."""

    model_config = ConfigDict(
        defer_build=True, json_schema_extra={"examples": [{"content_type": "image/jpeg", "purpose": "scan"}]}
    )

    content_type: str = Field(description="The image's media type; the PUT must send exactly this.")
    purpose: str | None = Field(None, description="One that takes pictures alone. Without it: the first of these.")
    size: int | None = Field(
        None, ge=0, lt=2**63, strict=True, description="Bytes. Given, S3 refuses any other length."
    )
