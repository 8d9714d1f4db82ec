"""What minting asks of a user's quota, and the answer of a service that sets none."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import ClassVar, Protocol

from image_upload.settings import Settings


class Quotas(Protocol):
    """What each user may still store."""

    # Whether there is anything to exceed, so that a fact that only quotas need is worth a request to S3.
    enabled: ClassVar[bool]

    async def reserve(self, key: str, most_bytes: int, ends_at: datetime) -> None:
        """Take room for a file under this key, which may be stored until `ends_at`. Raises `QuotaExceeded`."""

    async def settle(self, key: str, stored_bytes: int | None) -> None:
        """Count the bytes that S3 has under the key; None releases the room. Safe to repeat; never fails."""

    async def aclose(self) -> None:
        """Close the connections to a store."""


class NoQuotas:
    """No limits: every file has room."""

    enabled: ClassVar[bool] = False

    async def reserve(self, key: str, most_bytes: int, ends_at: datetime) -> None:
        """Do nothing."""

    async def settle(self, key: str, stored_bytes: int | None) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""


def quotas_of(settings: Settings, confirm: Callable[[str], Awaitable[None]]) -> Quotas:
    """The quotas that the settings set; `confirm` as `DailyQuotas` takes it."""
    if settings.quota_bytes_per_day is None and settings.quota_files_per_day is None:
        return NoQuotas()
    from image_upload.usage.daily_quotas import DailyQuotas  # 2 ms, and most services have none

    return DailyQuotas(settings, confirm)
