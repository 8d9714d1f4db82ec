"""Count used quota in the service's database, for all processes. Each change is one transaction.

The condition of an UPDATE checks the quota, so that check and change cannot be separated: on PostgreSQL the second of
two changes waits for the first, on SQLite for the file's one lock, and on Aurora DSQL it is repeated.
https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from sqlalchemy import ColumnElement, Table, and_, delete, exists, insert, literal, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from image_upload.database.records import Records, new_id
from image_upload.database.tables import quota_files, quota_reservations, quota_usage
from image_upload.limits import (
    DATABASE_CONNECTIONS,
    DATABASE_TIMEOUT_S,
    QUOTA_ATTEMPTS,
    QUOTA_GRACE_S,
    QUOTA_KEEP_S,
    QUOTA_PRUNE_BATCH,
)
from image_upload.usage.quota_store import Allowance, TotalUsage, Usage, UsageDay
from image_upload.usage.shared_store import SharedStore

Answer = TypeVar("Answer")

# In place of a day: the row of `quota_usage` for all days.
_TOTAL: Final = "total"


class _NoRoom(Exception):
    """Roll back a reservation: the day or the total leaves no room for it."""

    def __init__(self, held: Usage) -> None:
        super().__init__()
        self.held = held


class SqlQuotaStore:
    """A `QuotaStore` in the database of the records, whose connections it uses.

    It holds users to a `total` of all days, too. `kept_days` returns how many days the file under a key is kept; None
    is for ever.
    """

    def __init__(self, records: Records, total: Allowance, kept_days: Callable[[str], int | None]) -> None:
        self._run = records.run
        self._total = total
        self._kept_days = kept_days
        self._store = SharedStore(DATABASE_CONNECTIONS, DATABASE_TIMEOUT_S)
        # One question of a user at a time: all change one row, and would hold connections while they wait for it.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def reserve(
        self, account: UsageDay, key: str, size_bytes: int, ends_at_s: int, allowance: Allowance
    ) -> Usage | bool | None:
        """See `QuotaStore`. Return `TotalUsage` if the day has room and the total has none."""
        file = {
            "id": new_id(),
            "owner": account.owner,
            "key": key,
            "size": size_bytes,
            "ends_at": datetime.fromtimestamp(ends_at_s, UTC),
        }

        parts = (
            (quota_reservations, {**file, "day": account.day}, account, allowance, Usage),
            (quota_files, {**file, "stored": False}, UsageDay(_TOTAL, account.owner), self._total, TotalUsage),
        )

        async def work(connection: AsyncConnection) -> bool:
            for table, row, of, most, usage in parts:
                if most.is_set and await _open(connection, table, row):
                    held = await _take(connection, of, size_bytes, most)
                    if held is not None:
                        raise _NoRoom(usage(*held))
            return True

        async def question() -> Usage | bool:
            try:
                return await self._attempt(work)
            except _NoRoom as full:
                if not isinstance(full.held, TotalUsage):
                    return full.held
                if not await self._attempt(lambda connection: _end_kept(connection, account.owner)):
                    return full.held
            try:
                return await self._attempt(work)
            except _NoRoom as full:
                return full.held

        return await self._ask(account.owner, question)

    async def settle(self, account: UsageDay, key: str, stored_bytes: int | None) -> None:
        """See `QuotaStore`. What is settled counts for the day of its reservation, and for the total until released."""
        ended = (
            delete(quota_reservations)
            .where(quota_reservations.c.key == key)
            .returning(quota_reservations.c.day, quota_reservations.c.owner, quota_reservations.c.size)
        )

        async def work(connection: AsyncConnection) -> None:
            row = (await connection.execute(ended)).one_or_none()
            if row is not None:
                files = -1 if stored_bytes is None else 0
                await _correct(connection, UsageDay(row.day, row.owner), (stored_bytes or 0) - row.size, files)
            if self._total.is_set:
                await self._settle_file(connection, key, stored_bytes)

        await self._ask(account.owner, lambda: self._attempt(work))

    async def _settle_file(self, connection: AsyncConnection, key: str, stored_bytes: int | None) -> None:
        """Make the row of an open plan that of a stored file, or delete it; correct the total."""
        if stored_bytes is None:
            await _release(connection, quota_files.c.key == key)
            return
        is_open = and_(quota_files.c.key == key, quota_files.c.stored.is_(False))
        days = self._kept_days(key)
        # S3 removes an object at the midnight that follows its last day.
        kept_until = None if days is None else datetime.now(UTC) + timedelta(days=days + 1)
        # The size is that of the reservation until the next statement.
        stored = update(quota_files).where(is_open).values(stored=True, kept_until=kept_until).returning(*quota_files.c)
        row = (await connection.execute(stored)).one_or_none()
        if row is not None:
            await connection.execute(update(quota_files).where(quota_files.c.id == row.id).values(size=stored_bytes))
            await _correct(connection, UsageDay(_TOTAL, row.owner), stored_bytes - row.size, 0)

    async def release(self, owner: str, key: str) -> None:
        """Give back to the total what a deleted file holds of it.

        While its URL can still store it again, only make it an open plan, which `ended` returns when that is over.
        """

        async def work(connection: AsyncConnection) -> None:
            is_stored = and_(quota_files.c.key == key, quota_files.c.stored.is_(True))
            over = quota_files.c.ends_at <= _ends_before()
            if not await _release(connection, and_(is_stored, over)):
                await connection.execute(update(quota_files).where(is_stored).values(stored=False, kept_until=None))

        await self._ask(owner, lambda: self._attempt(work))

    async def end(self, owner: str, key: str) -> None:
        """Note that nothing can store a file again under its key, so that `release` gives it back at once."""
        over = update(quota_files).where(quota_files.c.key == key).values(ends_at=_ends_before())

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(over)

        await self._ask(owner, lambda: self._attempt(work))

    async def ended(self, account: UsageDay, before_s: int, most: int) -> list[str] | None:
        """See `QuotaStore`. Plans of other days count for the total only."""
        open_, files, before = quota_reservations.c, quota_files.c, datetime.fromtimestamp(before_s, UTC)
        of_day = (
            select(open_.key)
            .where(open_.owner == account.owner, open_.day == account.day, open_.ends_at <= before)
            .order_by(open_.ends_at, open_.id)
        )
        of_total = (
            select(files.key)
            .where(files.owner == account.owner, files.stored.is_(False), files.ends_at <= before)
            .order_by(files.ends_at, files.id)
        )

        async def work(connection: AsyncConnection) -> list[str]:
            found: dict[str, None] = {}
            for rows in (of_day, of_total) if self._total.is_set else (of_day,):
                found |= dict.fromkeys((await connection.execute(rows.limit(most))).scalars())
            return list(found)[:most]

        return await self._ask(account.owner, lambda: self._attempt(work))

    async def prune(self, today: str) -> bool:
        """Delete a batch of days that are no longer read, with their reservations; return whether there was any.

        `today` is a day such as 2026-11-20. Raises `DatabaseUnavailable`.
        """
        # An index leads to these rows: by the day to the accounts, by the owner to the reservations.
        day, owner = quota_usage.c.day, quota_usage.c.owner
        oldest = _oldest_kept(today)
        batch = select(day, owner).where(day < oldest).order_by(day, owner).limit(QUOTA_PRUNE_BATCH)

        async def work(connection: AsyncConnection) -> bool:
            found = [(row.day, row.owner) for row in (await connection.execute(batch)).all()]
            if found:
                of_owners = quota_reservations.c.owner.in_({account[1] for account in found})
                await connection.execute(delete(quota_reservations).where(of_owners, quota_reservations.c.day < oldest))
                await connection.execute(delete(quota_usage).where(tuple_(day, owner).in_(found)))
            return bool(found)

        return await self._run(work, QUOTA_ATTEMPTS)

    async def _attempt(self, work: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
        try:
            return await self._run(work, QUOTA_ATTEMPTS)
        except IntegrityError:
            # Two processes inserted the first reservation of a day, or of a key; the second attempt finds the row.
            return await self._run(work, QUOTA_ATTEMPTS)

    async def _ask(self, owner: str, question: Callable[[], Awaitable[Answer]]) -> Answer | None:
        async with self._turns.setdefault(owner, asyncio.Lock()):
            return await self._store.ask(question)


async def _open(connection: AsyncConnection, table: Table, values: dict[str, Any]) -> bool:
    """Insert the row of an open plan; return False if its key has one, which then gets the new end."""
    has_one = exists().where(table.c.key == values["key"])
    row = select(*(literal(value, table.c[name].type) for name, value in values.items())).where(~has_one)
    new = insert(table).from_select(list(values), row).returning(table.c.id)
    if (await connection.execute(new)).one_or_none() is not None:
        return True
    await connection.execute(update(table).where(table.c.key == values["key"]).values(ends_at=values["ends_at"]))
    return False


async def _take(connection: AsyncConnection, account: UsageDay, size_bytes: int, allowance: Allowance) -> Usage | None:
    """Add the bytes and a file to an account; return None, or the usage that leaves no room for them.

    Write first: SQLite lets no reader become a writer while another one writes.
    """
    wanted = {"held_bytes": quota_usage.c.held_bytes + size_bytes, "held_files": quota_usage.c.held_files + 1}
    within = (each <= most for each, most in zip(wanted.values(), allowance, strict=True) if most is not None)
    add = update(quota_usage).where(_is(account), *within).values(wanted)
    while not (await connection.execute(add)).rowcount:
        row = select(quota_usage.c.held_bytes, quota_usage.c.held_files).where(_is(account))
        found = (await connection.execute(row)).one_or_none()
        held = Usage(0, 0) if found is None else Usage(*found)
        if not allowance.admits(held, size_bytes):
            return held
        if found is None:
            await _begin(connection, account, size_bytes)
            return None
        # On PostgreSQL another transaction made room, or the row, between the two statements.
    return None


async def _begin(connection: AsyncConnection, account: UsageDay, size_bytes: int) -> None:
    """Insert the row of a day with its first file, and delete what the user has of days that are no longer read."""
    if account.day != _TOTAL:
        oldest = _oldest_kept(account.day)
        for table in (quota_reservations, quota_usage):
            await connection.execute(delete(table).where(table.c.owner == account.owner, table.c.day < oldest))
    await connection.execute(insert(quota_usage).values(**account._asdict(), held_bytes=size_bytes, held_files=1))


async def _correct(connection: AsyncConnection, account: UsageDay, size_bytes: int, files: int) -> None:
    """Add to the usage of an account, whatever its allowance."""
    sums = {"held_bytes": quota_usage.c.held_bytes + size_bytes, "held_files": quota_usage.c.held_files + files}
    await connection.execute(update(quota_usage).where(_is(account)).values(sums))


async def _end_kept(connection: AsyncConnection, owner: str) -> bool:
    """Release what a user's files held whose life time is over; return whether there was any."""
    return await _release(connection, and_(quota_files.c.owner == owner, quota_files.c.kept_until <= datetime.now(UTC)))


async def _release(connection: AsyncConnection, which: ColumnElement[bool]) -> bool:
    """Delete files of one user and what they hold of the total; return whether there was any."""
    gone = delete(quota_files).where(which).returning(quota_files.c.owner, quota_files.c.size)
    rows = (await connection.execute(gone)).all()
    if rows:
        await _correct(connection, UsageDay(_TOTAL, rows[0].owner), -sum(row.size for row in rows), -len(rows))
    return bool(rows)


def _oldest_kept(today: str) -> str:
    """Return the first day whose rows are kept. `total` comes behind every day."""
    return (date.fromisoformat(today) - timedelta(seconds=QUOTA_KEEP_S)).isoformat()


def _ends_before() -> datetime:
    """Return the latest end of a plan for which no upload can be under way any more."""
    return datetime.now(UTC) - timedelta(seconds=QUOTA_GRACE_S)


def _is(account: UsageDay) -> ColumnElement[bool]:
    return and_(quota_usage.c.day == account.day, quota_usage.c.owner == account.owner)
