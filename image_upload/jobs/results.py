"""Take the result of a job from its worker, and tell the application. A worker may post it again."""

from datetime import UTC, datetime

from image_upload.errors import JobMissing, JobOver, StorageUnavailable
from image_upload.jobs.job import Failure, Job
from image_upload.jobs.requests import JobResult
from image_upload.jobs.store import JobChanged, JobStore
from image_upload.limits import JOB_WRITE_ATTEMPTS
from image_upload.notify.event import Event
from image_upload.notify.notifier import Notifier

# The code of a job whose worker says that it failed.
TASK_FAILED = "task-failed"


async def settle(jobs: JobStore, notifier: Notifier, job_id: str, given: JobResult) -> Job:
    """Write a worker's result into its job, and tell of it; return the job. The same result again changes nothing.

    Raises `JobMissing`, `JobOver`, the problems of S3, `DatabaseUnavailable`.
    """
    job = await _settled(jobs, job_id, given)
    if notifier.enabled:
        # Also if the job was over: a process may have ended before it told. The event's id is the same.
        events = [_event(job)]
        await notifier.record(None, events)
        await notifier.send(events)
    return job


async def _settled(jobs: JobStore, job_id: str, given: JobResult) -> Job:
    for _ in range(JOB_WRITE_ATTEMPTS):
        kept = await jobs.read(job_id)
        if kept is None:
            raise JobMissing("There is no such job. Jobs are kept for a week; drop the message.")
        if kept.job.is_over:
            if not _says(kept.job, given):
                raise JobOver("The job has ended with another result, which stays. Drop this one.")
            return kept.job
        over = kept.job.failed(TASK_FAILED, given.error) if given.error else kept.job.done(given.result or {})
        try:
            return (await jobs.replace(kept, over)).job
        except JobChanged:
            continue  # it was marked as sent, or another worker was faster
    raise StorageUnavailable("The job is being written by others. Post the result again in a moment.")


def _says(job: Job, given: JobResult) -> bool:
    if given.error:
        return job.error == Failure(code=TASK_FAILED, detail=given.error)
    return job.state == "done" and job.result == (given.result or {})


def _event(job: Job) -> Event:
    return Event.about(
        job.key or "",
        "job.finished",
        job.finished_at or datetime.now(UTC),
        occurrence=job.id,
        owner=job.owner_id or None,
        job_id=job.id,
        task=job.task,
        state=job.state,
        result=job.result,
        error=job.error.detail if job.error else None,
    )
