"""The answers of the minting routes, for the OpenAPI document only; `serializers.py` makes them from plans."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, RootModel


class SignedRequest(BaseModel):
    """A presigned request. Send it as it is."""

    method: str
    url: str
    headers: dict[str, str]


class PartUrl(BaseModel):
    """The presigned PUT of one part."""

    partNumber: int
    url: str
    size: int = Field(description="Bytes; S3 refuses a part of any other length.")


class _PartUrls(BaseModel):
    """URLs of parts: `parts`, or for a `compact` request `template` and `signatures`."""

    parts: list[PartUrl] = Field(default_factory=list, description="In the order of their numbers.")
    template: str = Field(default_factory=str, description="compact: put {partNumber} and {signature} in.")
    signatures: list[str] = Field(default_factory=list, description="compact: of part 1, 2, 3 …")
    next: str | None = Field(description="GET it for the URLs that did not fit this answer; null if all did.")
    expiresAt: datetime
    expiresIn: int = Field(description="Seconds.", examples=[3600])


class _Plan(BaseModel):
    """The members of every plan."""

    objectKey: str = Field(description="Pass it to GET /images/{key} later.")
    headers: dict[str, str] = Field(description="Send all of them, unchanged.")
    expiresAt: datetime
    expiresIn: int = Field(description="Seconds.", examples=[300])
    cdnUrl: str | None = Field(description="Where the CDN will serve it; null without a CDN.")
    maxBytes: int = Field(description="The longest file that is kept: `size`, or without it the purpose's limit.")
    sizeEnforced: bool = Field(
        description="Whether S3 itself refuses a longer file. If false, S3 stores it, and the service removes it "
        "when it is completed or read."
    )


class PutPlan(_Plan):
    """A presigned PUT: send the file as the body."""

    strategy: Literal["put"]
    method: Literal["PUT"]
    presignedUrl: str = Field(description="Where the file goes.")
    contentLength: int | None = Field(
        description="The Content-Length that is signed. HTTP clients set it by themselves."
    )


class PostPlan(_Plan):
    """A presigned form POST: send `fields`, then the file as `file`, last."""

    strategy: Literal["post"]
    method: Literal["POST"]
    presignedUrl: str = Field(description="Where the form goes.")
    fields: dict[str, str] = Field(description="Form fields to send before `file`.")


class MultipartPlan(_PartUrls, _Plan):
    """A multipart upload that has been begun in S3: send the parts, then complete it."""

    strategy: Literal["multipart"]
    method: Literal["PUT"]
    # Not None alone: openapi-fetch drops such a member, and its plans would be of another type than the schema's.
    presignedUrl: str | None = Field(description="Always null: each part has a URL of its own.", examples=[None])
    ticket: str = Field(description="Names the upload in later calls. Keep it to resume.")
    uploadId: str = Field(description="S3's own id.")
    size: int = Field(description="Bytes of the whole file.")
    partSize: int = Field(description="Bytes of each part but the last.")
    partCount: int
    complete: SignedRequest = Field(description="Ends the upload.")
    abort: SignedRequest = Field(description="Aborts the upload.")
    list: SignedRequest = Field(description="Lists the parts that S3 has.")


class ProxyPlan(_Plan):
    """A form POST to this service, which passes the file on to S3."""

    strategy: Literal["proxy"]
    method: Literal["POST"]
    presignedUrl: str = Field(description="Where the service sends the file.")
    formUrl: str = Field(description="The route of this service that takes the form.")
    fields: dict[str, str] = Field(description="Form fields to send before `file`.")


class ResumablePlan(_Plan):
    """An upload that goes on through this service after any interruption: send the file in appends."""

    strategy: Literal["resumable"]
    method: Literal["PATCH"]
    presignedUrl: str | None = Field(description="Always null.", examples=[None])
    uploadUrl: str = Field(description="The route of this service that takes the appends.")
    ticket: str = Field(description="Names the upload. Keep it to go on.")
    protocols: list[str] = Field(description="What uploadUrl speaks.", examples=[["tus-1.0.0", "ietf-8"]])
    chunkSize: int | None = Field(description="Bytes that one append may hold; null for any number.")
    size: int | None = Field(description="Bytes of the whole file; null if the request did not say.")


class MintedUpload(
    RootModel[
        Annotated[PutPlan | PostPlan | MultipartPlan | ResumablePlan | ProxyPlan, Field(discriminator="strategy")]
    ]
):
    """A plan. `strategy` says which one it is."""


class MintedBatch(BaseModel):
    """One plan a file, in the order of the request."""

    uploads: list[MintedUpload]


class PartUrlPage(_PartUrls):
    """URLs of parts."""


class StoredPart(BaseModel):
    """A part as S3 has it."""

    partNumber: int
    size: int = Field(description="Bytes.")
    etag: str


class UploadProgress(BaseModel):
    """The state of an upload in S3."""

    objectKey: str
    completed: bool
    size: int | None
    partSize: int
    partCount: int | None
    parts: list[StoredPart]
    missing: list[int] = Field(description="Numbers of the parts that S3 does not have yet.")


class CompletedUpload(BaseModel):
    """S3 has confirmed the object."""

    objectKey: str
    size: int
    etag: str
    cdnUrl: str | None
    state: str | None = Field(default=None, description="With 202 checking; else not there.")


class ImageUrl(BaseModel):
    """A presigned PUT, in the names of /images."""

    upload_url: str
    cdn_url: str | None
    key: str
    expires_in: int = Field(examples=[300])
    headers: dict[str, str] = Field(description="Send all of them, unchanged.")
    content_length: int | None = Field(
        description="The Content-Length that is signed, where `size` was given. HTTP clients set it by themselves."
    )
    max_bytes: int = Field(description="The longest file that is kept: `size`, or without it the purpose's limit.")
    size_enforced: bool = Field(
        description="Whether S3 itself refuses a longer file. If false, S3 stores it, and the service removes it "
        "when it is read."
    )


class FileUrl(BaseModel):
    """A presigned PUT, in the names of /files."""

    presigned_url: str
    object_key: str
    expires_in: int = Field(examples=[3600])
    headers: dict[str, str] = Field(description="Send all of them, unchanged.")
    content_length: int | None = Field(description="null: the length is not signed.")
    file_id: int | None = Field(None, description="With a database: names the file record in later calls.")


class PurposeTexts(BaseModel):
    """What the purpose takes, in a line to show."""

    en: str = Field(examples=["Images (JPG, PNG, WEBP, AVIF), up to 10 MiB."])
    ko: str = Field(examples=["이미지 (JPG, PNG, WEBP, AVIF), 최대 10 MiB."])


class VariantFacts(BaseModel):
    """A smaller picture that is made of each upload."""

    name: str = Field(examples=["thumb"])
    width: int = Field(description="In pixels.", examples=[320])
    format: str = Field(examples=["webp"])


class PurposeFacts(BaseModel):
    """What may be uploaded for a purpose."""

    name: str = Field(examples=["upload"])
    types: list[str] = Field(description="Media types, or audio/*, or */* for any.", examples=[["image/jpeg"]])
    extensions: list[str] = Field(description="Those that agree with the types; empty for any.", examples=[["jpg"]])
    accept: str = Field(description="For the attribute accept of a file input.", examples=["image/jpeg,.jpg,.jpeg"])
    maxBytes: int = Field(examples=[10_485_760])
    keptDays: int | None = Field(description="Days until the file is removed; null for never.")
    metadata: list[str] = Field(description="What the request's metadata must have.", examples=[["class_id"]])
    checked: bool = Field(description="Whether files are verified before they are served.")
    variants: list[VariantFacts]
    filesPerDay: int | None = Field(description="Uploads that a user may begin in a day of UTC; null for any number.")
    texts: PurposeTexts


class PurposeList(BaseModel):
    """The purposes that the caller may name, in the order of the file."""

    purposes: list[PurposeFacts]
