"""Turn a job into JSON."""

from typing import Any

from image_upload.jobs.job import Job


def as_job(job: Job) -> dict[str, Any]:
    """Return a job as its owner sees it."""
    shown = {"task", "state", "key", "progress", "result", "error", "created_at", "updated_at", "finished_at"}
    return {"job_id": job.id, **job.model_dump(mode="json", include=shown)}
