"""Tasks for workers: their interface for completion and the library, and its implementation without a queue."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from image_upload.database.database import Database
from image_upload.errors import QueueNotConfigured
from image_upload.s3.bucket import Bucket
from image_upload.s3.objects import StoredObject
from image_upload.settings.auth import AuthSettings
from image_upload.settings.tasks import TasksSettings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from image_upload.jobs.task import Task


class Tasks(Protocol):
    """Hands tasks to workers. Those of arrivals: first `record` what is `due`, then `send` the same."""

    # Whether there is a queue.
    enabled: ClassVar[bool]

    def starts(self, key: str) -> bool:
        """Return whether an arrival under this key starts a task."""

    def due(self, stored: StoredObject, owner_id: str | None) -> "Sequence[Task]":
        """Return the task that a stored arrival starts, or none. The id of its job is always the same."""

    async def record(self, connection: "AsyncConnection | None", tasks: "Sequence[Task]") -> None:
        """Write tasks to the outbox. See `Notifier.record`."""

    async def send(self, tasks: "Sequence[Task]") -> None:
        """Begin to queue recorded tasks. See `Notifier.send`."""

    async def retry_due(self, within_s: float) -> Counter[str]:
        """Queue what is due. See `Notifier.retry_due`."""

    async def queue(self, stored: StoredObject, owner_id: str) -> str:
        """Queue the task of a file's purpose, or `SCAN_TASK`; return the id of its job, which is always the same.

        Raises `QueueNotConfigured`, `QueueUnavailable`, the problems of S3.
        """

    async def age_s(self) -> float | None:
        """Return the age of the oldest message. See `Queue.age_s`."""

    async def aclose(self) -> None:
        """Wait for what is under way, then close the connections."""


class NoTasks:
    """Starts nothing: QUEUE_URL is not set."""

    enabled: ClassVar[bool] = False

    def starts(self, key: str) -> bool:
        """Return False."""
        return False

    def due(self, stored: StoredObject, owner_id: str | None) -> "Sequence[Task]":
        """Return none."""
        return ()

    async def record(self, connection: "AsyncConnection | None", tasks: "Sequence[Task]") -> None:
        """Do nothing."""

    async def send(self, tasks: "Sequence[Task]") -> None:
        """Do nothing."""

    async def retry_due(self, within_s: float) -> Counter[str]:
        """Return that nothing was due."""
        return Counter()

    async def queue(self, stored: StoredObject, owner_id: str) -> str:
        """Raise `QueueNotConfigured`."""
        raise QueueNotConfigured("This service hands no work to workers. Its operator sets QUEUE_URL.")

    async def age_s(self) -> float | None:
        """Return None."""
        return None

    async def aclose(self) -> None:
        """Do nothing."""


def tasks_of(settings: TasksSettings, auth: AuthSettings, bucket: Bucket, database: Database) -> Tasks:
    """Return the tasks that the settings ask for. They connect at the first call."""
    # A command may run without the secret of the service (`serving` in `settings.load`); then it queues nothing.
    if settings.queue_url is None or auth.jwt_secret is None:
        return NoTasks()
    from image_upload.jobs.queued_tasks import QueuedTasks  # most services have no workers

    return QueuedTasks(settings, auth, bucket, database)
