"""What the minting routes answer, for the OpenAPI document only; `schemas.py` makes it from plans."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

# ruff: noqa: N815


class MintedUpload(BaseModel):
    """How to store it. Which fields are there depends on `strategy`."""

    presignedUrl: str | None = Field(description="put, post, proxy: where the file goes. null for multipart.")
    objectKey: str = Field(description="Pass it to GET /images/{key} later.")
    strategy: str = Field(description="put, post, multipart or proxy", examples=["put"])
    method: str = Field(examples=["PUT"])
    headers: dict[str, str] = Field(description="Send all of them, unchanged.")
    contentLength: int | None = Field(
        None, description="put: the Content-Length that is signed. HTTP clients set it by themselves."
    )
    expiresAt: datetime
    expiresIn: int = Field(description="Seconds.", examples=[300])
    cdnUrl: str | None = Field(description="Where the CDN will serve it; null without a CDN.")
    fields: dict[str, str] | None = Field(None, description="post, proxy: form fields to send before `file`.")
    formUrl: str | None = Field(None, description="proxy: the route of this service that takes the form.")
    ticket: str | None = Field(None, description="multipart: names the upload in later calls. Keep it to resume.")
    uploadId: str | None = Field(None, description="multipart: S3's own id.")
    size: int | None = Field(None, description="multipart: bytes of the whole file.")
    partSize: int | None = Field(None, description="multipart: bytes of each part but the last.")
    partCount: int | None = None
    parts: list[dict[str, Any]] | None = Field(None, description="multipart: partNumber, url, size.")
    template: str | None = Field(None, description="compact: put {partNumber} and {signature} in.")
    signatures: list[str] | None = Field(None, description="compact: of part 1, 2, 3 …")
    next: str | None = Field(None, description="multipart: GET it for the URLs that did not fit this answer.")
    complete: dict[str, Any] | None = Field(None, description="multipart: a presigned request that ends the upload.")
    abort: dict[str, Any] | None = Field(None, description="multipart: a presigned request that gives it up.")
    list: dict[str, Any] | None = Field(None, description="multipart: a presigned request for the parts S3 has.")


class MintedBatch(BaseModel):
    """One plan a file, in the order of the request."""

    uploads: list[MintedUpload]


class PartUrlPage(BaseModel):
    """URLs of parts."""

    parts: list[dict[str, Any]] | None = Field(None, description="partNumber, url, size")
    template: str | None = None
    signatures: list[str] | None = None
    next: str | None = None
    expiresAt: datetime
    expiresIn: int


class UploadProgress(BaseModel):
    """What S3 has."""

    objectKey: str
    completed: bool
    size: int | None
    partSize: int
    partCount: int | None
    parts: list[dict[str, Any]] = Field(description="partNumber, size, etag")
    missing: list[int] = Field(description="Numbers of the parts that S3 does not have yet.")


class CompletedUpload(BaseModel):
    """S3 has confirmed the object."""

    objectKey: str
    size: int
    etag: str
    cdnUrl: str | None


class ImageUrl(BaseModel):
    """A presigned PUT in the names of the images family."""

    upload_url: str
    cdn_url: str | None
    key: str
    expires_in: int = Field(examples=[300])
    headers: dict[str, str] = Field(description="Send all of them, unchanged.")
    content_length: int | None = Field(
        description="The Content-Length that is signed, where `size` was given. HTTP clients set it by themselves."
    )


class FileUrl(BaseModel):
    """A presigned PUT in the names of the files family."""

    presigned_url: str
    object_key: str
    expires_in: int = Field(examples=[3600])
    headers: dict[str, str] = Field(description="Send all of them, unchanged.")
    content_length: int | None = Field(description="null: the length is not signed.")
    file_id: int | None = Field(None, description="With a database: names the file record in later calls.")
