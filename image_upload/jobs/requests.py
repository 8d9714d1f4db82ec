"""The body of a worker's result."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import from_json, to_json

from image_upload.limits import JOB_ERROR_MAX_CHARS, JOB_RESULT_MAX_BYTES


def _as_kept(result: dict[str, Any]) -> dict[str, Any]:
    """Return the object as the bucket keeps it (no NaN, no infinity)."""
    written = to_json(result)
    if len(written) > JOB_RESULT_MAX_BYTES:
        raise ValueError(f"longer than {JOB_RESULT_MAX_BYTES} bytes as JSON")
    kept: dict[str, Any] = from_json(written)
    return kept


class JobResult(BaseModel):
    """How a job ended."""

    model_config = ConfigDict(
        defer_build=True,
        extra="forbid",
        json_schema_extra={"examples": [{"state": "done", "result": {"width": 640, "height": 480}}]},
    )

    state: Literal["done", "failed"]
    result: Annotated[dict[str, Any], AfterValidator(_as_kept)] | None = Field(
        None, description=f"What a `done` job made: an object of at most {JOB_RESULT_MAX_BYTES} bytes as JSON."
    )
    error: str | None = Field(
        None,
        min_length=1,
        max_length=JOB_ERROR_MAX_CHARS,
        description="Why it `failed`, in a sentence that the file's owner may read.",
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.state == "failed") != (self.error is not None):
            raise ValueError("a failed job has an error, a done one has none")
        if self.state == "failed" and self.result is not None:
            raise ValueError("a failed job has no result")
        return self
