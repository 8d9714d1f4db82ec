"""The stores of an upload: the bucket for its object, the database for its row, the quotas."""

from image_upload.completion import confirmation
from image_upload.database.database import Database
from image_upload.s3.bucket import Bucket
from image_upload.settings import Settings
from image_upload.usage.quotas import quotas_of


class CompletionContext:
    """Bucket, database and quotas of one service. Each connects at its first call."""

    def __init__(self, settings: Settings) -> None:
        self.bucket = Bucket(settings)
        self.database = Database(settings)
        self.quotas = quotas_of(settings, self._confirm_end)

    async def _confirm_end(self, key: str) -> None:
        await confirmation.confirm(self, key, row="if_reachable", is_over=True)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.bucket.aclose()
        await self.database.aclose()
        await self.quotas.aclose()
