"""Jobs: their states, how the bucket keeps them, and who sees them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from image_upload.jobs import job as jobs
from image_upload.jobs.job import Job, Progress
from image_upload.jobs.store import JobChanged, JobStore
from image_upload.s3 import transfer
from image_upload.s3.bucket import Bucket
from image_upload.s3.checksums import digest_of
from local.embedded_s3 import EmbeddedS3
from tests.conftest import Start, problem, settings_for
from tests.faults.hostile import hostile_store

SECRET = "a-secret-of-more-than-thirty-two-bytes"


@asynccontextmanager
async def opened(s3: EmbeddedS3, **environ: str) -> AsyncIterator[tuple[JobStore, Bucket]]:
    bucket = Bucket(settings_for(s3, **environ).storage)
    try:
        yield JobStore(bucket), bucket
    finally:
        await bucket.aclose()


def with_store(s3: EmbeddedS3, work: Callable[[JobStore, Bucket], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with opened(s3) as (store, bucket):
            return await work(store, bucket)

    return asyncio.run(run())


# --- the value ------------------------------------------------------------------------------------


def test_the_same_task_for_the_same_key_is_the_same_job() -> None:
    ids = {jobs.id_of("a.jpg", "scan"), jobs.id_of("a.jpg", "read"), jobs.id_of("b.jpg", "scan")}
    assert len(ids) == 3
    assert jobs.id_of("a.jpg", "scan") in ids
    assert all(jobs.is_id(each) for each in ids)


def test_no_two_jobs_get_the_same_id() -> None:
    assert len({Job.new("scan", "a").id for _ in range(1000)}) == 1000


def test_a_running_job_that_fell_silent_has_failed() -> None:
    job = Job.new("scan", "a", silent_s=60).running(Progress(sent_bytes=5))
    assert job.seen_at(job.updated_at + timedelta(seconds=60)).state == "running"
    late = job.seen_at(job.updated_at + timedelta(seconds=61))
    assert (late.state, late.error and late.error.code, late.progress.sent_bytes) == ("failed", "interrupted", 5)
    assert late.finished_at is not None


def test_a_worker_without_a_limit_may_be_silent_for_a_year() -> None:
    job = Job.new("scan", "a").running()
    assert job.seen_at(job.updated_at + timedelta(days=365)) == job


def test_what_is_over_stays_as_it_ended() -> None:
    job = Job.new("scan", "a", silent_s=1).running().done({"size": 3}, key="uploads/a.jpg")
    assert job.seen_at(datetime.now(UTC) + timedelta(days=365)) == job
    assert (job.state, job.result, job.key) == ("done", {"size": 3}, "uploads/a.jpg")


# --- the store ------------------------------------------------------------------------------------


def test_a_job_is_read_as_it_was_written(s3: EmbeddedS3) -> None:
    async def work(store: JobStore, _: Bucket) -> None:
        job = Job.new("scan", "사용자", key="uploads/a.jpg", silent_s=60)
        kept = await store.create(job)
        assert kept is not None
        read = await store.read(job.id)
        assert read == kept
        ended = job.running(Progress(sent_bytes=1, total_bytes=2)).failed("empty-file", "Nothing came.")
        await store.replace(kept, ended)
        assert (await store.read(job.id) or kept).job == ended

    with_store(s3, work)


def test_an_id_is_given_to_one_job_only(s3: EmbeddedS3) -> None:
    async def work(store: JobStore, _: Bucket) -> None:
        first, second = (Job.new("scan", owner, job_id=jobs.id_of("only/one.jpg", "scan")) for owner in "ab")
        assert await store.create(first) is not None
        assert await store.create(second) is None
        kept = await store.read(first.id)
        assert kept is not None
        assert kept.job.owner_id == "a"

    with_store(s3, work)


def test_of_two_workers_one_writes_the_next_state(s3: EmbeddedS3) -> None:
    async def work(store: JobStore, _: Bucket) -> None:
        kept = await store.create(Job.new("scan", "a"))
        assert kept is not None
        await store.replace(kept, kept.job.running())
        with pytest.raises(JobChanged):
            await store.replace(kept, kept.job.failed("late", "Too late."))
        read = await store.read(kept.job.id)
        assert read is not None
        assert read.job.state == "running"

    with_store(s3, work)


@pytest.mark.parametrize("text", ["", "..", "a/../b", "x" * 36, "A" * 36, "../uploads/a.jpg", "%00"])
def test_what_is_no_id_is_no_job_and_s3_is_not_asked(text: str) -> None:
    async def work() -> None:
        with hostile_store() as store:
            async with opened(EmbeddedS3(store.endpoint_url)) as (jobs_there, _):
                assert await jobs_there.read(text) is None
            assert not store.exchanges

    asyncio.run(work())


def test_an_object_that_holds_no_job_is_none(s3: EmbeddedS3) -> None:
    async def work(store: JobStore, bucket: Bucket) -> None:
        for data in (b"", b"{", b"[]", b'{"id": 1}', b"\xff"):
            job_id = jobs.new_id()
            await transfer.put(bucket, f"jobs/{job_id}.json", data, await digest_of(data), {})
            assert await store.read(job_id) is None

    with_store(s3, work)


# --- the route ------------------------------------------------------------------------------------


def bearer(user: str, scope: str = "") -> dict[str, str]:
    claims = {"sub": user, "exp": int(time.time()) + 3600, "scope": scope}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


def test_a_job_is_shown_to_its_owner_and_to_an_admin_and_missing_to_others(
    s3: EmbeddedS3, start: Start, web: httpx.Client
) -> None:
    async def work(store: JobStore, _: Bucket) -> Job:
        kept = await store.create(Job.new("scan", "owner", key="uploads/a.jpg"))
        assert kept is not None
        return (await store.replace(kept, kept.job.running(Progress(sent_bytes=1, total_bytes=2)))).job

    job = with_store(s3, work)
    url = f"{start(JWT_SECRET=SECRET, AUTH_REQUIRED='true')}/jobs/{job.id}"
    shown = web.get(url, headers=bearer("owner")).json()
    assert shown == web.get(url, headers=bearer("boss", "admin")).json()
    assert {name: shown[name] for name in ("job_id", "task", "state", "key", "progress", "result", "error")} == {
        "job_id": job.id,
        "task": "scan",
        "state": "running",
        "key": "uploads/a.jpg",
        "progress": {"sent_bytes": 1, "total_bytes": 2},
        "result": None,
        "error": None,
    }
    assert "owner" not in str(shown)
    problem(web.get(url, headers=bearer("other")), 404, "job-missing")
    problem(web.get(url), 401, "token-missing")


def test_a_job_that_never_was_and_another_users_get_the_same_answer(
    s3: EmbeddedS3, start: Start, web: httpx.Client
) -> None:
    async def work(store: JobStore, _: Bucket) -> str:
        job = Job.new("scan", "owner")
        await store.create(job)
        return job.id

    theirs = with_store(s3, work)
    url = start(JWT_SECRET=SECRET, AUTH_REQUIRED="true")
    answers = [
        problem(web.get(f"{url}/jobs/{each}", headers=bearer("other")), 404, "job-missing")
        for each in (theirs, jobs.new_id(), "nonsense")
    ]
    assert len({answer["detail"] for answer in answers}) == 1


def test_a_job_is_no_file(s3: EmbeddedS3, start: Start, web: httpx.Client) -> None:
    async def work(store: JobStore, _: Bucket) -> str:
        job = Job.new("scan", "anonymous")
        await store.create(job)
        return job.id

    url, key = start(), f"jobs/{with_store(s3, work)}.json"
    problem(web.get(f"{url}/images/{key}/metadata"), 404, "object-missing")
    problem(web.delete(f"{url}/images/{key}"), 404, "object-missing")
    refused = web.post(
        f"{url}/api/v1/s3/upload", data={"folder": "jobs"}, files={"file": ("a.txt", b"a", "text/plain")}
    )
    problem(refused, 400, "invalid-key")
