"""The answers of resumable uploads, for the OpenAPI document."""

from pydantic import BaseModel, Field


class ResumableUpload(BaseModel):
    """A resumable upload as S3 has it."""

    objectKey: str | None = Field(description="The key of the file; null for a partial upload of tus, which has none.")
    offset: int = Field(description="So many bytes are stored for good.")
    length: int | None = Field(description="The file's length in bytes; null while it is not known.")
    completed: bool = Field(description="Whether all bytes are there. Then the file is stored.")
    state: str | None = Field(description="`checking`: the file has arrived, and is not verified yet.")
    cdnUrl: str | None = Field(description="Where the CDN serves it, once it is there.")
    expiresAt: str = Field(description="Until then the upload can go on.")
