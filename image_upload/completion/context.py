"""The stores of an upload: the bucket for its object, the database for its row, the quotas."""

from image_upload.completion import confirmation
from image_upload.database.database import Database
from image_upload.domain import keys
from image_upload.s3.bucket import Bucket
from image_upload.settings.database import DatabaseSettings
from image_upload.settings.storage import StorageSettings
from image_upload.settings.usage import UsageSettings
from image_upload.settings.verification import VerificationSettings
from image_upload.usage.quotas import quotas_of
from image_upload.verification.arrivals import Arrivals


class CompletionContext:
    """Bucket, arrivals, database and quotas of one service. Each connects at its first call.

    With `only_arrivals` events of other objects are left alone, such as those of what was just published.
    """

    def __init__(
        self,
        storage: StorageSettings,
        database: DatabaseSettings,
        usage: UsageSettings,
        verification: VerificationSettings,
        *,
        only_arrivals: bool = False,
    ) -> None:
        self.bucket = Bucket(storage)
        self._only_arrivals = only_arrivals
        self.arrivals = Arrivals(self.bucket, verification)
        self.database = Database(database)
        self.quotas = quotas_of(usage, self.database, self._confirm_end, self.bucket.kept_days)

    @property
    def takes_events(self) -> bool:
        """Whether there is something to do when S3 tells of a new object."""
        return self.database.is_configured or self.arrivals.are_taken

    def concerns(self, key: str) -> bool:
        """Return whether there is something to do for an event of this object."""
        return not self._only_arrivals or key.startswith(keys.INCOMING)

    async def _confirm_end(self, key: str) -> None:
        await confirmation.confirm(self, key, row="if_reachable", is_over=True)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.bucket.aclose()
        await self.database.aclose()
        await self.quotas.aclose()
