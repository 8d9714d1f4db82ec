"""Run imports: in the request while it waits, then as a job of this process, or on Lambda of another invocation."""

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import ClientDisconnect

from image_upload.domain import checks
from image_upload.errors import InternalError, Problem, SourceTimedOut, SourceUrlRefused, TooManyUploads
from image_upload.from_url.invocation import Invoker
from image_upload.from_url.requests import Order
from image_upload.from_url.source_rule import SourceRule
from image_upload.from_url.source_spec import compared, spec_of
from image_upload.jobs.job import INTERRUPTED, Job, Progress
from image_upload.jobs.store import JobChanged, JobStore, KeptJob
from image_upload.limits import (
    FROM_URL_AT_ONCE,
    FROM_URL_AT_ONCE_PER_USER,
    FROM_URL_ENDING_S,
    FROM_URL_LAMBDA_MARGIN_S,
    FROM_URL_LAMBDA_NOW_BYTES,
    FROM_URL_MAX_S,
    JOB_BEATS_EVERY_S,
    JOB_QUEUED_S,
    JOB_SILENT_S,
    JOB_WRITES_EVERY_S,
)
from image_upload.outbound import deadline
from image_upload.outbound.client import Destinations
from image_upload.outbound.download import Downloader
from image_upload.s3.bucket import Bucket
from image_upload.settings.from_url import FromUrlSettings
from image_upload.telemetry import trace
from image_upload.uploads.service import UploadService
from image_upload.uploads.storing import StoredUpload

log = logging.getLogger(__name__)

OPERATION: Final = "from-url"
_RETRY_AFTER_S: Final = 5


class _TakesLonger(Exception):
    """The source is, or may be, longer than an invocation of Lambda imports before it answers."""


class _Watched:
    """How far one import is."""

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.total_bytes: int | None = None

    def add(self, sent_bytes: int) -> None:
        self.sent_bytes += sent_bytes

    @property
    def progress(self) -> Progress:
        return Progress(sent_bytes=self.sent_bytes, total_bytes=self.total_bytes)


class Importer:
    """The imports of one process."""

    def __init__(self, settings: FromUrlSettings, upload_service: UploadService, bucket: Bucket) -> None:
        self._settings = settings
        self._uploads = upload_service
        self._jobs = JobStore(bucket)
        self._rule = SourceRule(settings.private_hosts, production=settings.production)
        self._downloader = Downloader(Destinations(settings.private_hosts))
        self._invoker = Invoker(settings, bucket.address.region)
        self._imports: set[asyncio.Task[StoredUpload]] = set()
        self._followers: set[asyncio.Task[None]] = set()
        self._of_users: Counter[str] = Counter()

    async def begin(
        self, order: Order, wait_s: float, gone: Callable[[], Awaitable[None]], function_arn: str | None
    ) -> StoredUpload | Job:
        """Import a file; return it, or its job if it takes longer than `wait_s` seconds.

        `gone` returns if the client does not wait any more; then nothing is stored. `function_arn` is the function that
        goes on with a long import, where the process does not: on Lambda.

        Raises `SourceUrlInvalid`, `SourceUrlRefused`, `ScopeMissing`, `TooManyUploads`, `JobNotStarted`, what
        `Downloader.opened` and `UploadService.store` raise, and the problems of S3.
        """
        self._check(order)
        if function_arn is not None and wait_s == 0:
            return await self._hand_over(order, function_arn)
        watched = _Watched()
        most_bytes = None if function_arn is None else FROM_URL_LAMBDA_NOW_BYTES
        task = self._started(order, watched, most_bytes)
        watching = asyncio.ensure_future(gone())
        try:
            within_s = deadline.upload_deadline(wait_s).left_s
            await asyncio.wait({task, watching}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return await task
            if watching.done():
                raise ClientDisconnect
            if function_arn is not None:
                raise _TakesLonger
            kept = await self._created(order, "running", JOB_SILENT_S)
            follower = asyncio.create_task(self._follow(kept, task, watched))
            self._followers.add(follower)
            follower.add_done_callback(self._followers.discard)
        except _TakesLonger:
            await _ended(task)
            if not task.cancelled() and task.exception() is None:  # it was stored in that moment
                return task.result()
            assert function_arn is not None  # nothing else raises it
            return await self._hand_over(order, function_arn)
        except BaseException:
            await _ended(task)
            raise
        finally:
            watching.cancel()
        return kept.job

    async def resume(self, job_id: str, order: Order) -> None:
        """Run the import of a queued job to its end, as another invocation of the function.

        Lambda may invoke it twice: the second time the job is not queued any more. Raises the problems of S3 before it
        begins; then Lambda repeats the invocation.
        """
        kept = await self._jobs.read(job_id)
        if kept is None or kept.job.state != "queued":
            log.info("an import was left alone", extra={"fields": {"job": job_id, "state": kept and kept.job.state}})
            return
        try:
            kept = await self._jobs.replace(kept, kept.job.running(silent_s=JOB_SILENT_S))
        except JobChanged:
            return
        watched = _Watched()
        await self._follow(kept, self._started(order, watched, None), watched)

    def _check(self, order: Order) -> None:
        """Check what is known before anything is fetched."""
        if not self._settings.from_url:
            raise SourceUrlRefused("This service imports nothing from URLs. Send the file itself to POST /uploads.")
        purpose = self._uploads.purpose(order.purpose, order.principal)
        self._rule.check(order.url)
        checks.class_id(purpose, order.metadata or {})
        if order.sha256 is not None:
            checks.sha256(order.sha256)

    def _started(self, order: Order, watched: _Watched, most_bytes: int | None) -> "asyncio.Task[StoredUpload]":
        """Start an import. Raises `TooManyUploads`."""
        user_id = order.user_id
        if len(self._imports) >= FROM_URL_AT_ONCE or self._of_users[user_id] >= FROM_URL_AT_ONCE_PER_USER:
            raise TooManyUploads(
                "The service imports no more files at the moment. Nothing was stored. Try again in a few seconds.",
                headers={"Retry-After": str(_RETRY_AFTER_S)},
            )
        task = asyncio.create_task(self._run(order, watched, most_bytes))
        self._imports.add(task)
        self._of_users[user_id] += 1

        def done(_: object) -> None:
            self._imports.discard(task)
            self._of_users[user_id] -= 1
            if not self._of_users[user_id]:
                del self._of_users[user_id]

        task.add_done_callback(done)
        return task

    async def _run(self, order: Order, watched: _Watched, most_bytes: int | None) -> StoredUpload:
        """Fetch and store one file. If this raises, nothing of it is stored."""
        left_s = deadline.upload_deadline(FROM_URL_MAX_S).left_s
        if self._settings.on_lambda:
            left_s = max(0.0, left_s - FROM_URL_LAMBDA_MARGIN_S)
        began = time.monotonic()
        code = "stored"
        try:
            async with asyncio.timeout(left_s):
                return await self._stored(order, watched, most_bytes)
        except TimeoutError:
            code = SourceTimedOut.code
            raise SourceTimedOut("The import took too long. Nothing was stored. Send the file yourself.") from None
        except Problem as problem:
            code = problem.code
            raise
        except BaseException as error:
            code = type(error).__name__
            raise
        finally:
            # Without the URL, which may hold a secret.
            fields = {"outcome": code, "bytes": watched.sent_bytes, "duration_s": round(time.monotonic() - began, 2)}
            log.info("import", extra={"fields": fields})

    async def _stored(self, order: Order, watched: _Watched, most_bytes: int | None) -> StoredUpload:
        purpose = self._uploads.purpose(order.purpose, order.principal)
        async with self._downloader.opened(order.url, self._rule.check) as download:
            spec = spec_of(order, purpose, download)
            watched.total_bytes = download.length_bytes
            longest = purpose.max_bytes if download.length_bytes is None else download.length_bytes
            if most_bytes is not None and most_bytes < longest <= purpose.max_bytes:
                raise _TakesLonger
            sha256 = None if order.sha256 is None else checks.sha256(order.sha256)
            async with aclosing(compared(download.chunks, sha256)) as chunks:
                return await self._uploads.store(spec, chunks, progress=watched.add)

    async def _created(self, order: Order, state: str, silent_s: float) -> KeptJob:
        job = Job.new(OPERATION, order.user_id, silent_s=silent_s)
        kept = await self._jobs.create(job.running() if state == "running" else job)
        assert kept is not None  # its id is random
        return kept

    async def _hand_over(self, order: Order, function_arn: str) -> Job:
        """Let another invocation of the function run the import; return its job."""
        kept = await self._created(order, "queued", JOB_QUEUED_S)
        payload = {"operation": OPERATION, "job_id": kept.job.id, "order": order.model_dump(mode="json")}
        try:
            await self._invoker.invoke(function_arn, json.dumps(payload | trace.header()).encode())
        except Problem as problem:
            with suppress(Problem, JobChanged):
                await self._jobs.replace(kept, kept.job.failed(problem.code, str(problem.detail)))
            raise
        return kept.job

    async def _follow(self, kept: KeptJob, task: "asyncio.Task[StoredUpload]", watched: _Watched) -> None:
        """Write an import's progress into its job, then how it ended."""
        try:
            written_at = time.monotonic()
            while not task.done():
                await asyncio.wait({task}, timeout=JOB_WRITES_EVERY_S)
                silent_s = time.monotonic() - written_at
                if not task.done() and (watched.progress != kept.job.progress or silent_s > JOB_BEATS_EVERY_S):
                    written_at = time.monotonic()
                    with suppress(Problem):  # the next one is soon, and the last one says more
                        kept = await self._jobs.replace(kept, kept.job.running(watched.progress))
            await self._jobs.replace(kept, _over(kept.job.running(watched.progress), task))
        except (Problem, JobChanged) as error:
            await _ended(task)
            fields = {"job": kept.job.id, "reason": type(error).__name__}
            log.warning("a job's state could not be written", extra={"fields": fields})

    async def aclose(self) -> None:
        """Let imports end for `FROM_URL_ENDING_S`, then abort them, and write what became of their jobs."""
        if self._imports:
            await asyncio.wait(self._imports, timeout=FROM_URL_ENDING_S)
        for task in self._imports:
            task.cancel()
        if left := {*self._imports, *self._followers}:
            await asyncio.wait(left)
        await self._downloader.aclose()


def _over(job: Job, task: "asyncio.Task[StoredUpload]") -> Job:
    """Return the job of an import that has ended."""
    if task.cancelled():
        return job.failed(
            INTERRUPTED, "The service ended in the middle of the import. Nothing was stored. Start it again."
        )
    error = task.exception()
    if error is None:
        stored = task.result()
        job = job.running(Progress(sent_bytes=stored.size_bytes, total_bytes=stored.size_bytes))
        return job.done(as_stored(stored), key=stored.key)
    if isinstance(error, Problem):
        return job.failed(error.code, str(error.detail))
    log.error("unexpected exception in an import", exc_info=error, extra={"fields": {"job": job.id}})
    return job.failed(InternalError.code, "Something went wrong in this service. Report the job's id to its operator.")


def as_stored(stored: StoredUpload) -> dict[str, Any]:
    """Return a stored file as JSON."""
    return {
        "objectKey": stored.key,
        "size": stored.size_bytes,
        "contentType": stored.content_type,
        "etag": stored.etag,
        "cdnUrl": stored.cdn_url,
        "url": f"/images/{quote(stored.key, safe='/~')}",
    }


async def _ended(task: "asyncio.Task[StoredUpload]") -> None:
    """Abort an import, and wait until nothing of it is left."""
    task.cancel()
    await asyncio.wait({task})
