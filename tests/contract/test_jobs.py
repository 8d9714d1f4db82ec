"""The state of jobs in a real bucket: one creation an id, one next state for each that was read."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from image_upload.jobs.job import Job, Progress
from image_upload.jobs.store import JobChanged, JobStore
from image_upload.s3.bucket import Bucket
from image_upload.settings import load
from local.service import local_environ
from tests.contract.store import Store

Work = Callable[[JobStore], Awaitable[None]]


@pytest.fixture
def run(store: Store) -> Callable[[Work], None]:
    async def working(work: Work) -> None:
        bucket = Bucket(load(local_environ({}, store.environ)).storage)
        try:
            await work(JobStore(bucket))
        finally:
            await bucket.aclose()

    return lambda work: asyncio.run(working(work))


def test_an_id_belongs_to_the_first_job_that_takes_it(run: Callable[[Work], None]) -> None:
    async def work(jobs: JobStore) -> None:
        job = Job.new("scan", "사용자", key="scans/a.jpg", silent_s=60)
        kept = await jobs.create(job)
        assert kept is not None
        assert kept == await jobs.read(job.id)
        assert await jobs.create(Job.new("scan", "other", job_id=job.id)) is None
        assert await jobs.read(job.id) == kept

    run(work)


def test_of_workers_that_read_the_same_state_one_writes_the_next(run: Callable[[Work], None]) -> None:
    async def work(jobs: JobStore) -> None:
        kept = await jobs.create(Job.new("scan", "a"))
        assert kept is not None
        next_states = [kept.job.running(Progress(sent_bytes=number)) for number in (1, 2, 3)]
        written = []
        for each in next_states:
            try:
                written.append(await jobs.replace(kept, each))
            except JobChanged:
                continue
        assert [each.job for each in written] == next_states[:1]
        assert await jobs.read(kept.job.id) == written[0]

    run(work)


def test_a_job_that_has_ended_meanwhile_is_not_marked_as_sent(run: Callable[[Work], None]) -> None:
    async def work(jobs: JobStore) -> None:
        kept = await jobs.create(Job.new("scan", "a"))
        assert kept is not None
        ended = await jobs.replace(kept, kept.job.done({"label": "cat"}))
        with pytest.raises(JobChanged):
            await jobs.replace(kept, kept.job.sent(), strictly=True)
        assert (await jobs.read(kept.job.id) or kept).job == ended.job

    run(work)
