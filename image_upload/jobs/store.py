"""Keep the state of jobs in the bucket: a small JSON object each. No job needs a database.

Two workers that write the same job are told apart by its ETag: the later one is refused.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

import logging
from datetime import UTC, datetime
from typing import Final, NamedTuple

from pydantic import ValidationError

from image_upload.domain.keys import JOBS
from image_upload.jobs.job import Job, is_id
from image_upload.s3 import time_limits, transfer
from image_upload.s3.bucket import Bucket
from image_upload.s3.checksums import digest_of
from image_upload.s3.errors import S3Failure, map_s3_errors

log = logging.getLogger(__name__)

# S3's answers to a condition that does not hold: it does not, or another write is under way.
_REFUSED: Final = frozenset({409, 412})


class KeptJob(NamedTuple):
    """A job as the bucket has it. `etag` is its version."""

    job: Job
    etag: str


class JobChanged(Exception):
    """Another worker has written the job since it was read."""


class JobStore:
    """The jobs of one bucket. All calls raise the problems of S3."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def create(self, job: Job) -> KeptJob | None:
        """Write a new job; return None if there is one with its id."""
        return await self._write(job, {"If-None-Match": "*"})

    async def read(self, job_id: str) -> KeptJob | None:
        """Return a job as it is now; None if there is none. One whose worker fell silent has failed."""
        kept = await self._kept(job_id)
        return None if kept is None else kept._replace(job=kept.job.seen_at(datetime.now(UTC)))

    async def replace(self, kept: KeptJob, job: Job, *, strictly: bool = False) -> KeptJob:
        """Write a job's next state in place of the one that was read. Raises `JobChanged`.

        On a store that cannot compare, the last writer wins; `strictly` raises there, too.
        """
        # Without its quotes, as AWS's own examples have it: Ceph compares the header's text.
        written = await self._write(job, {"If-Match": kept.etag.strip('"')}, strictly=strictly)
        if written is None:
            raise JobChanged
        return written

    async def _write(self, job: Job, condition: dict[str, str], *, strictly: bool = False) -> KeptJob | None:
        data, key = job.model_dump_json().encode(), _key(job.id)
        headers = {"Content-Type": "application/json", **self._bucket.storage_headers(key)}
        digest = await digest_of(data)
        async with map_s3_errors():
            try:
                stored = await transfer.put(self._bucket, key, data, digest, headers | condition)
            except S3Failure as failure:
                if failure.status == 501 and "If-Match" in condition:
                    if strictly:
                        return None
                    # LocalStack and others refuse this condition: then the last writer wins.
                    stored = await transfer.put(self._bucket, key, data, digest, headers)
                elif failure.status in (*_REFUSED, 404):
                    # An answer may have been lost, and its retry refused: then the job is there as it was sent.
                    found = await self._kept(job.id)
                    return found if found is not None and found.job == job else None
                else:
                    raise
        return KeptJob(job, stored.etag)

    async def _kept(self, job_id: str) -> KeptJob | None:
        if not is_id(job_id):
            return None
        async with map_s3_errors():
            try:
                answer = await self._bucket.call("GetObject", "GET", _key(job_id), limit=time_limits.READ)
            except S3Failure as failure:
                if failure.is_missing:
                    return None
                raise
        try:
            return KeptJob(Job.model_validate_json(answer.content), answer.headers.get("etag", ""))
        except ValidationError:
            log.warning("the object of a job holds none", extra={"fields": {"job": job_id}})
            return None


def _key(job_id: str) -> str:
    return f"{JOBS}{job_id}.json"
