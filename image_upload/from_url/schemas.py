"""The answer of the route of imports, for the OpenAPI document only."""

from pydantic import BaseModel, Field


class ImportedFile(BaseModel):
    """A stored file."""

    objectKey: str
    size: int = Field(description="Bytes.")
    contentType: str = Field(description="As the URL's server says it.")
    etag: str = Field(description="With its quotes, as S3 has it.")
    cdnUrl: str | None = Field(description="Where the CDN serves it; null without one.")
    url: str = Field(description="GET it for a URL to read the file.", examples=["/images/uploads/…"])
