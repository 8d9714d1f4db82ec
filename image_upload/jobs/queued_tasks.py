"""The tasks of services with a queue. A task has one job in the bucket, and a message in the queue.

    job is created (If-None-Match) ──► message is queued ──► job is marked as sent ──► worker posts the result

A process may end between any two steps. The next call for the same file finds the job without its mark, and queues the
message again: a worker may get it twice, with the same id. Tasks of arrivals come here from the outbox, where there is
a database: the sweep repeats what failed.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final
from weakref import WeakValueDictionary

from image_upload.database.database import Database
from image_upload.domain import purposes
from image_upload.domain.purposes import Purpose
from image_upload.errors import Problem
from image_upload.jobs.job import Job
from image_upload.jobs.queue import Queue, unavailable
from image_upload.jobs.store import JobChanged, JobStore
from image_upload.jobs.task import Task
from image_upload.jobs.tokens import JobTokens
from image_upload.limits import QUEUE_BATCH, TASK_STARTS_DAYS, TASK_URL_EXPIRES_S
from image_upload.notify.delivery import Delivery, Outcome, TargetName
from image_upload.notify.dispatcher import Dispatcher
from image_upload.s3.bucket import Bucket
from image_upload.s3.objects import StoredObject
from image_upload.settings.auth import AuthSettings
from image_upload.settings.tasks import QueueAddress, TasksSettings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

log = logging.getLogger(__name__)

# The outbox's name of the queue.
QUEUE: Final[TargetName] = "queue"


class QueuedTasks:
    """A `Tasks` with a queue."""

    enabled: ClassVar[bool] = True

    def __init__(self, settings: TasksSettings, auth: AuthSettings, bucket: Bucket, database: Database) -> None:
        self._settings = settings
        self._bucket = bucket
        self._jobs = JobStore(bucket)
        self._tokens = JobTokens(auth)
        # Two requests of this process for one file send one message.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._dispatcher = Dispatcher(lambda: {QUEUE: _QueueTarget(self)}, database, on_lambda=settings.on_lambda)

    @cached_property
    def _queue(self) -> Queue:
        address = self._settings.queue
        assert address is not None  # see `tasks_of`
        return _queue_of(self._settings, address)

    def _purpose(self, key: str) -> Purpose | None:
        return purposes.of_key(key, self._bucket.purposes.every())

    def starts(self, key: str) -> bool:
        """See `Tasks`."""
        purpose = self._purpose(key)
        return purpose is not None and purpose.task is not None

    def due(self, stored: StoredObject, owner_id: str | None) -> Sequence[Task]:
        """See `Tasks`. None for a file that may be older than its job is kept."""
        purpose = self._purpose(stored.key)
        if purpose is None or purpose.task is None:
            return ()
        if stored.last_modified < datetime.now(UTC) - timedelta(days=TASK_STARTS_DAYS):
            return ()
        return (_task(purpose.task, stored, owner_id or ""),)

    async def record(self, connection: "AsyncConnection | None", tasks: Sequence[Task]) -> None:
        """See `Tasks`."""
        await self._dispatcher.record(connection, tasks)

    async def send(self, tasks: Sequence[Task]) -> None:
        """See `Tasks`."""
        await self._dispatcher.send(tasks)

    async def retry_due(self, within_s: float) -> Counter[str]:
        """See `Tasks`."""
        return await self._dispatcher.retry_due(within_s)

    async def queue(self, stored: StoredObject, owner_id: str) -> str:
        """See `Tasks`."""
        purpose = self._purpose(stored.key)
        name = (purpose.task if purpose else None) or self._settings.scan_task
        return (await self.start(_task(name, stored, owner_id))).id

    async def start(self, task: Task) -> Job:
        """Make the job of a task if there is none, and queue its message if that was not done; return the job.

        Raises `QueueUnavailable` and the problems of S3; then the next call does what is left.
        """
        job_id = str(task.id)
        async with self._locks.setdefault(job_id, asyncio.Lock()):
            kept = await self._jobs.read(job_id)
            if kept is None:
                new = Job.new(task.name, task.owner_id, job_id=job_id, key=task.key)
                kept = await self._jobs.create(new) or await self._jobs.read(job_id)
            if kept is None:
                raise unavailable("the job was removed meanwhile")
            if not kept.job.awaits_queue:
                return kept.job
            await self._queue.send(await self._message(task))
            with suppress(JobChanged, Problem):  # without the mark the message may be sent again, which does no harm
                # Its worker may have been faster, and its result is not overwritten.
                kept = await self._jobs.replace(kept, kept.job.sent(), strictly=True)
            return kept.job

    async def _message(self, task: Task) -> str:
        url = self._bucket.cdn_url(task.key)
        if url is None:
            url = (await self._bucket.presigner(TASK_URL_EXPIRES_S)).url("GET", task.key)
        purpose = self._purpose(task.key)
        job_id = str(task.id)
        return task.message(
            url=url,
            is_picture=purpose is not None and purpose.holds_pictures,
            token=self._tokens.issue(job_id),
            result_url=f"{self._settings.service_url or ''}/jobs/{job_id}/result",
        )

    async def age_s(self) -> float | None:
        """See `Tasks`."""
        return await self._queue.age_s()

    async def aclose(self) -> None:
        """See `Tasks`."""
        await self._dispatcher.aclose()
        if "_queue" in vars(self):
            await self._queue.aclose()


class _QueueTarget:
    """The queue as a target of the outbox."""

    batch: ClassVar[int] = QUEUE_BATCH

    def __init__(self, tasks: QueuedTasks) -> None:
        self._tasks = tasks

    async def deliver(self, deliveries: Sequence[Delivery], timeout_s: float | None) -> list[Outcome]:
        """See `Target`."""
        return await asyncio.gather(*(self._start(each, timeout_s) for each in deliveries))

    async def _start(self, delivery: Delivery, timeout_s: float | None) -> Outcome:
        try:
            async with asyncio.timeout(timeout_s):
                await self._tasks.start(Task.of(delivery.body))
        except TimeoutError:
            return Outcome("failed", "timeout")
        except Problem as problem:
            return Outcome("failed", problem.code)
        return Outcome("delivered", "queued")

    async def aclose(self) -> None:
        """Do nothing: `QueuedTasks` closes the queue."""


def _task(name: str, stored: StoredObject, owner_id: str) -> Task:
    return Task(name, stored.key, owner_id, stored.metadata.get("class_id"))


def _queue_of(settings: TasksSettings, address: QueueAddress) -> Queue:
    """Return the queue of an address. It connects at its first call."""
    if address.kind == "redis":
        from image_upload.jobs.redis_stream import RedisStream  # 60 ms with redis

        return RedisStream(address)
    from image_upload.jobs.sqs_queue import SqsQueue  # httpx, 80 ms

    return SqsQueue(settings, address)
