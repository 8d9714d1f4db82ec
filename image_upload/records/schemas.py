"""The answers of the routes of posts and file records, for the OpenAPI document only."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

State = Literal["pending", "stored", "rejected", "expired"]


class PostRow(BaseModel):
    """A post: its row in the database."""

    id: int = Field(description="A random whole number, which cannot be guessed.")
    imageKey: str
    state: State
    fault: Literal["size", "type", "checksum"] | None = Field(description="rejected: what was not as promised.")
    filename: str
    contentType: str
    size: int | None = Field(description="Bytes, as promised; once stored, as S3 has them.")
    createdAt: datetime
    updatedAt: datetime
    storedAt: datetime | None = Field(description="When S3 had confirmed it.")


class Post(PostRow):
    """A row, and a URL to read its image."""

    url: str | None = Field(description="stored: a presigned GET.")
    expiresIn: int | None = Field(description="Seconds.", examples=[900])
    cdnUrl: str | None


class FileRecord(BaseModel):
    """A file record: its row in the database."""

    file_id: int
    filename: str
    object_key: str
    state: State
    size: int | None = Field(description="Bytes, as S3 has them.")
    created_at: datetime
    stored_at: datetime | None


class FileDownload(FileRecord):
    """A file record, and a URL to download the file."""

    download_url: str = Field(description="A presigned GET that saves the file under its name.")
    expires_in: int = Field(examples=[900])
