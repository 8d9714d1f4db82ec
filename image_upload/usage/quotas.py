"""The quotas' interface for minting and completion, and its implementation without limits."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

from image_upload.database.database import Database
from image_upload.domain.purposes import Purposes
from image_upload.settings.usage import UsageSettings


class Quotas(Protocol):
    """The quotas of all users."""

    # Whether what is stored is limited. If not, no request to S3 is needed for quotas alone.
    enabled: bool

    async def reserve(self, key: str, most_bytes: int, ends_at: datetime) -> None:
        """Reserve quota for a file under this key, which may be stored until `ends_at`. Raises `QuotaExceeded`.

        A reservation that is open under the key only gets the later end.
        """

    async def settle(self, key: str, stored_bytes: int | None, *, is_over: bool = False) -> None:
        """Count the bytes that S3 has under the key; None releases the quota. Safe to repeat; never fails.

        `is_over`: nothing can store another file under the key.
        """

    async def release(self, key: str) -> None:
        """Give back to the user's total what a deleted file held of it. Safe to repeat; never fails."""

    async def prune(self) -> bool:
        """Delete some of what is kept of days that are over; return whether there was any. The sweep calls it.

        Raises `DatabaseUnavailable`.
        """

    async def aclose(self) -> None:
        """Close the connections to a store."""


class NoQuotas:
    """Quotas without limits."""

    enabled = False

    async def reserve(self, key: str, most_bytes: int, ends_at: datetime) -> None:
        """Do nothing."""

    async def settle(self, key: str, stored_bytes: int | None, *, is_over: bool = False) -> None:
        """Do nothing."""

    async def release(self, key: str) -> None:
        """Do nothing."""

    async def prune(self) -> bool:
        """Do nothing."""
        return False

    async def aclose(self) -> None:
        """Do nothing."""


def quotas_of(
    settings: UsageSettings,
    database: Database,
    confirm: Callable[[str], Awaitable[None]],
    purposes: Purposes,
) -> Quotas:
    """Return the quotas that the settings and the purposes set. The arguments are passed to `DailyQuotas`."""
    if not settings.has_quotas and not any(each.files_per_day for each in purposes.every()):
        return NoQuotas()
    from image_upload.usage.daily_quotas import DailyQuotas  # 2 ms, and most services have none

    return DailyQuotas(settings, database, confirm, purposes)
