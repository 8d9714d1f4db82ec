"""Count used quota in this process. Only the current day is stored: quotas do not carry over."""

from typing import NamedTuple, Protocol

from image_upload.limits import QUOTA_OPEN_MAX


class Usage(NamedTuple):
    """The used quota: stored and reserved bytes and files."""

    held_bytes: int
    held_files: int


class TotalUsage(Usage):
    """The same of all days together."""


class Allowance(NamedTuple):
    """The most bytes and files, of a day or of all days together; None is unlimited."""

    max_bytes: int | None
    max_files: int | None

    @property
    def is_set(self) -> bool:
        """Whether anything is limited."""
        return self != (None, None)

    def admits(self, held: Usage, size_bytes: int) -> bool:
        """Return whether there is room for one more file of this size."""
        wanted = (held.held_bytes + size_bytes, held.held_files + 1)
        return all(most is None or each <= most for each, most in zip(wanted, self, strict=True))


class UsageDay(NamedTuple):
    """A day in UTC, such as 2026-11-20, and the owner tag of a user."""

    day: str
    owner: str


class QuotaStore(Protocol):
    """Reservations by account and key. Methods return None if the store does not answer."""

    async def reserve(
        self, account: UsageDay, key: str, size_bytes: int, ends_at_s: int, allowance: Allowance
    ) -> Usage | bool | None:
        """Reserve all of the bytes and a file, or nothing; return True, or the usage that leaves no room.

        A reservation that is open under the key only gets the new end.
        """

    async def settle(self, account: UsageDay, key: str, stored_bytes: int | None) -> None:
        """End a reservation: count `stored_bytes`, or with None neither bytes nor file. A second call does nothing."""

    async def ended(self, account: UsageDay, before_s: int, most: int) -> list[str] | None:
        """Return the keys of open reservations that ended before a time in seconds since 1970, oldest first."""


class _Entries:
    """The usage and the open reservations of one account."""

    def __init__(self) -> None:
        self.held = Usage(0, 0)
        self.open: dict[str, tuple[int, int]] = {}


class MemoryQuotaStore:
    """A `QuotaStore` in memory. Its methods never await, so each is atomic.

    Above `QUOTA_OPEN_MAX` open reservations the oldest are forgotten. Their bytes count until the day ends, as they can
    no longer be settled. So memory is bounded, and no quota is exceeded.
    """

    def __init__(self) -> None:
        self._day = ""
        self._entries: dict[str, _Entries] = {}
        # The open reservations of all accounts, oldest first: a dictionary as an ordered set.
        self._order: dict[tuple[str, str], None] = {}

    def _of(self, account: UsageDay) -> _Entries:
        if account.day != self._day:
            self._day, self._entries, self._order = account.day, {}, {}
        return self._entries.setdefault(account.owner, _Entries())

    async def reserve(
        self, account: UsageDay, key: str, size_bytes: int, ends_at_s: int, allowance: Allowance
    ) -> Usage | bool | None:
        """See `QuotaStore`."""
        entries = self._of(account)
        if key in entries.open:
            entries.open[key] = (size_bytes, ends_at_s)
            return True
        if not allowance.admits(entries.held, size_bytes):
            return entries.held
        entries.held = Usage(entries.held.held_bytes + size_bytes, entries.held.held_files + 1)
        entries.open[key] = (size_bytes, ends_at_s)
        self._order[account.owner, key] = None
        if len(self._order) > QUOTA_OPEN_MAX:
            owner, oldest = next(iter(self._order))
            del self._order[owner, oldest]
            del self._entries[owner].open[oldest]
        return True

    async def settle(self, account: UsageDay, key: str, stored_bytes: int | None) -> None:
        """See `QuotaStore`."""
        entries = self._of(account)
        size_bytes, _ = entries.open.pop(key, (None, None))
        if size_bytes is not None:
            del self._order[account.owner, key]
            held_bytes, held_files = entries.held
            entries.held = Usage(held_bytes - size_bytes + (stored_bytes or 0), held_files - (stored_bytes is None))

    async def ended(self, account: UsageDay, before_s: int, most: int) -> list[str] | None:
        """See `QuotaStore`."""
        over = sorted((end, key) for key, (_, end) in self._of(account).open.items() if end <= before_s)
        return [key for _, key in over[:most]]
