"""What of a quota is taken, in this process. One day at a time, because a new day owes nothing to the one before."""

from typing import NamedTuple, Protocol

from image_upload.limits import QUOTA_OPEN_MAX


class Allowance(NamedTuple):
    """How much, in bytes and in files; None is without end."""

    max_bytes: int | None
    max_files: int | None


class UsageDay(NamedTuple):
    """A day in UTC, such as 2026-11-20, and the owner tag of a user."""

    day: str
    owner: str


class Usage(NamedTuple):
    """How much is taken: what is stored, and what is reserved."""

    held_bytes: int
    held_files: int


class QuotaStore(Protocol):
    """Reservations by account and key. None in place of an answer: nobody knows, the store does not answer."""

    async def reserve(
        self, account: UsageDay, key: str, size_bytes: int, ends_at_s: int, allowance: Allowance
    ) -> Usage | bool | None:
        """Take it, all of it or nothing: True, or what is taken already."""

    async def settle(self, account: UsageDay, key: str, stored_bytes: int | None) -> None:
        """The end of a reservation: this many bytes count, or with None not even the file. Once only."""

    async def ended(self, account: UsageDay, before_s: int, most: int) -> list[str] | None:
        """Keys of reservations whose time was over then, and of which nobody has told the end; oldest first."""


class _Entries:
    """What is in one account."""

    def __init__(self) -> None:
        self.held = Usage(0, 0)
        self.open: dict[str, tuple[int, int]] = {}


class MemoryQuotaStore:
    """In this process alone. Nothing is awaited inside, so that nothing comes in between.

    Of more than `QUOTA_OPEN_MAX` open reservations the oldest are forgotten: what they hold stays held until the day
    ends, because their end cannot be counted any more. So memory is bounded, and a quota is never exceeded by it.
    """

    def __init__(self) -> None:
        self._day = ""
        self._entries: dict[str, _Entries] = {}
        # Of all accounts, oldest first: a dictionary used as an ordered set.
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
        held = Usage(entries.held.held_bytes + size_bytes, entries.held.held_files + 1)
        for wanted, most in zip(held, allowance, strict=True):
            if most is not None and wanted > most:
                return entries.held
        entries.held = held
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
