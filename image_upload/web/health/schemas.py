"""The answers of the health routes, for the OpenAPI document only."""

from pydantic import BaseModel, Field, RootModel

from image_upload import __version__


class Health(BaseModel):
    """The service answers; `bucket` says whether S3 does."""

    message: str = Field(examples=["Image upload service is running"])
    version: str = Field(examples=[__version__])
    environment: str = Field(examples=["production"])
    bucket: str = Field(description="ok, missing, denied, error, unreachable or no-credentials", examples=["ok"])


class ErrorCode(BaseModel):
    """One kind of problem."""

    code: str = Field(examples=["file-too-large"])
    title: str
    status: int
    meaning: str


class ErrorCodes(RootModel[list[ErrorCode]]):
    """All kinds of problem."""
