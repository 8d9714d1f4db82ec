"""The database for the rest of the service. The first call that needs it opens it."""

from typing import TYPE_CHECKING

from image_upload.errors import DatabaseNotConfigured
from image_upload.settings.database import DatabaseSettings

if TYPE_CHECKING:
    from image_upload.database.records import Records
    from image_upload.database.sessions import Sessions
    from image_upload.database.users import Users


class Database:
    """The repositories, if a database is configured."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._records: Records | None = None

    @property
    def is_configured(self) -> bool:
        """Whether DATABASE_URL is set. The database may be unreachable all the same."""
        return self._settings.database_url is not None

    @property
    def records(self) -> "Records":
        """The records. They connect at their first call. Raises `DatabaseNotConfigured`."""
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
        """The users. They connect at their first call. Raises `DatabaseNotConfigured`."""
        records = self.records
        from image_upload.database.users import Users  # it brings SQLAlchemy

        return Users(records)

    def sessions(self, refresh_token_days: int) -> "Sessions":
        """Return the sessions of users, each renewable for so long after its sign-in.

        Raises `DatabaseNotConfigured`.
        """
        records = self.records
        from image_upload.database.sessions import Sessions  # the same

        return Sessions(records, refresh_token_days)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._records is not None:
            await self._records.aclose()
