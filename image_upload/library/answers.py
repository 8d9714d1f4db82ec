"""What the library routes answer, for the OpenAPI document only."""

from pydantic import BaseModel, Field


class ReadUrl(BaseModel):
    """A presigned GET."""

    url: str = Field(description="GET it before it expires; it needs no further header.")
    key: str
    expiresIn: int = Field(description="Seconds.", examples=[900])  # noqa: N815  the contract's name
    download: bool
