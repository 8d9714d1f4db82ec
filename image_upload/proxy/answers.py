"""What the proxy routes answer, for the OpenAPI document only."""

from pydantic import BaseModel, Field


class Stored(BaseModel):
    """S3 has confirmed the file."""

    success: bool = Field(examples=[True])
    message: str
    status: int = Field(description="S3's own status.", examples=[200])
    file_size: int = Field(description="Bytes.")
    filename: str


class StoredWithRetry(Stored):
    """S3 has confirmed the file, after `attempts`."""

    attempts: int = Field(examples=[1])
