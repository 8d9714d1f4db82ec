"""The answer of the route of jobs, for the OpenAPI document only."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from image_upload.jobs.job import Failure, Progress, State


class JobState(BaseModel):
    """A job."""

    job_id: str
    task: str = Field(description="The kind of work.", examples=["from-url"])
    state: State = Field(description="`done` and `failed` are final.")
    key: str | None = Field(description="The object that it is about; null until there is one.")
    progress: Progress
    result: dict[str, Any] | None = Field(description="What a `done` job made.")
    error: Failure | None = Field(description="Why a `failed` one failed: code and detail of a problem.")
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
