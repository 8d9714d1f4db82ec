"""The answers of the form routes, for the OpenAPI document only."""

from pydantic import BaseModel, Field


class Stored(BaseModel):
    """S3 has confirmed the file."""

    success: bool = Field(examples=[True])
    message: str
    status: int = Field(description="S3's own status.", examples=[200])
    file_size: int = Field(description="Bytes.")
    filename: str
    elapsed_ms: int = Field(description="From the first byte of the form to S3's answer.")


class StoredWithRetry(Stored):
    """S3 has confirmed the file, after `attempts`."""

    attempts: int = Field(examples=[1])
    last_failure: str | None = Field(
        description="Why the attempt before the last one failed.", examples=["503 SlowDown"]
    )


class KeptFile(BaseModel):
    """S3 has confirmed the file in the service's own bucket."""

    key: str = Field(description="Pass it to GET /images/{key} later.")
    size: int = Field(description="Bytes.")
    content_type: str
    etag: str
    cdn_url: str | None = Field(description="Where the CDN will serve it; null without a CDN.")
    state: str | None = Field(default=None, description="With 202 checking: it is not verified yet. Else not there.")
