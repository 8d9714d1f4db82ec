"""The database as the rest of the service holds it: opened by the first call that needs it, or never."""

from typing import TYPE_CHECKING

from image_upload.errors import DatabaseNotConfigured
from image_upload.settings import Settings

if TYPE_CHECKING:
    from image_upload.database.records import Records
    from image_upload.database.sessions import Sessions
    from image_upload.database.users import Users


class Database:
    """Where the records are, if there is a database at all."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._records: Records | None = None

    @property
    def is_configured(self) -> bool:
        """Whether DATABASE_URL is set. It says nothing about whether anybody answers there."""
        return self._settings.database_url is not None

    @property
    def records(self) -> "Records":
        """The records. Connects to nothing yet. Raises `DatabaseNotConfigured`."""
        if not self.is_configured:
            raise DatabaseNotConfigured(
                "This service has no database, so it keeps no posts, file records or users. Its operator sets "
                "DATABASE_URL. POST /uploads works without one."
            )
        if self._records is None:
            # SQLAlchemy costs 200 ms of import, which uploads without a record do not pay.
            from image_upload.database.records import Records

            self._records = Records(self._settings)
        return self._records

    @property
    def users(self) -> "Users":
        """Who has signed in. As with the records, nothing is connected to yet. Raises `DatabaseNotConfigured`."""
        records = self.records
        from image_upload.database.users import Users  # it brings SQLAlchemy

        return Users(records)

    @property
    def sessions(self) -> "Sessions":
        """The sessions of users. Raises `DatabaseNotConfigured`."""
        records = self.records
        from image_upload.database.sessions import Sessions  # the same

        return Sessions(records, self._settings.refresh_token_days)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._records is not None:
            await self._records.aclose()
