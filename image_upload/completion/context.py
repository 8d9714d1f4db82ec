"""The stores of an upload: the bucket for its object, the database for its row, the quotas."""

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from image_upload.completion import confirmation
from image_upload.database.database import Database
from image_upload.domain import keys
from image_upload.jobs.tasks import Tasks, tasks_of
from image_upload.notify.notifier import notifier_of
from image_upload.outbound.collector import telemetry_of
from image_upload.s3.bucket import Bucket
from image_upload.settings.auth import AuthSettings
from image_upload.settings.database import DatabaseSettings
from image_upload.settings.notify import NotifySettings
from image_upload.settings.storage import StorageSettings
from image_upload.settings.tasks import TasksSettings
from image_upload.settings.telemetry import TelemetrySettings
from image_upload.settings.usage import UsageSettings
from image_upload.settings.verification import VerificationSettings
from image_upload.usage.quotas import quotas_of
from image_upload.verification.arrivals import Arrivals

if TYPE_CHECKING:
    from image_upload.notify.event import StoredFacts
    from image_upload.notify.receipts import Receipts


class Sections(Protocol):
    """The settings that completion needs: each store's, and what signs receipts."""

    @property
    def storage(self) -> StorageSettings: ...
    @property
    def database(self) -> DatabaseSettings: ...
    @property
    def usage(self) -> UsageSettings: ...
    @property
    def verification(self) -> VerificationSettings: ...
    @property
    def notify(self) -> NotifySettings: ...
    @property
    def tasks(self) -> TasksSettings: ...
    @property
    def auth(self) -> AuthSettings: ...
    @property
    def telemetry(self) -> TelemetrySettings: ...


class CompletionContext:
    """Bucket, arrivals, database, quotas, notifier, tasks, telemetry of one service. Each connects at its first call.

    With `only_arrivals` events of other objects are left alone, such as those of what was just published.
    """

    def __init__(self, settings: Sections, *, only_arrivals: bool = False) -> None:
        self._only_arrivals = only_arrivals
        self.bucket = Bucket(settings.storage)
        self.arrivals = Arrivals(self.bucket, settings.verification)
        self.database = Database(settings.database)
        self.quotas = quotas_of(settings.usage, self.database, self._confirm_end, self.bucket.purposes)
        self.notifier = notifier_of(settings.notify, self.database)
        self._auth, self._tasks = settings.auth, settings.tasks
        # Where events and tasks go, by the outbox's names.
        named = {
            "webhook": settings.notify.webhook_url,
            "event_bus": settings.notify.event_bus,
            "queue": settings.tasks.queue_url,
        }
        self.targets = [name for name, address in named.items() if address is not None]
        self.telemetry = telemetry_of(settings.telemetry)

    @cached_property
    def tasks(self) -> Tasks:
        """What hands tasks to workers. Made at its first use: no mint needs it."""
        return tasks_of(self._tasks, self._auth, self.bucket, self.database)

    @cached_property
    def _receipts(self) -> "Receipts":
        from image_upload.notify.receipts import Receipts  # 60 ms with PyJWT and cryptography

        return Receipts(self._auth)

    def receipt(self, facts: "StoredFacts") -> str | None:
        """Return the signed receipt of an object; None without JWT_SECRET."""
        return self._receipts.receipt(facts)

    @property
    def takes_events(self) -> bool:
        """Whether there is something to do when S3 tells of a new object."""
        return self.database.is_configured or self.arrivals.are_taken or self.notifier.enabled or self.tasks.enabled

    def concerns(self, key: str) -> bool:
        """Return whether there is something to do for an event of this object."""
        return not self._only_arrivals or key.startswith(keys.INCOMING)

    async def _confirm_end(self, key: str) -> None:
        await confirmation.confirm(self, key, row="if_reachable", is_over=True)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.notifier.aclose()
        if "tasks" in vars(self):
            await self.tasks.aclose()
        await self.bucket.aclose()
        await self.database.aclose()
        await self.quotas.aclose()
        await self.telemetry.aclose()
