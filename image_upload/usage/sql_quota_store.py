"""Count used quota in the service's database, for all processes. Each change is one transaction.

The condition of an UPDATE checks the quota, so that check and change cannot be separated: on PostgreSQL the second of
two changes waits for the first, on SQLite for the file's one lock, and on Aurora DSQL it is repeated.
https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from weakref import WeakValueDictionary

from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from image_upload.database.records import Records, new_id
from image_upload.database.tables import quota_reservations, quota_usage
from image_upload.limits import DATABASE_CONNECTIONS, DATABASE_TIMEOUT_S, QUOTA_ATTEMPTS, QUOTA_KEEP_S
from image_upload.usage.quota_store import Allowance, Usage, UsageDay
from image_upload.usage.shared_store import SharedStore

Answer = TypeVar("Answer")


class SqlQuotaStore:
    """A `QuotaStore` in the database of the records, whose connections it uses."""

    def __init__(self, records: Records) -> None:
        self._run = records.run
        self._store = SharedStore(DATABASE_CONNECTIONS, DATABASE_TIMEOUT_S)
        # One question of a user at a time: all change one row, and would hold connections while they wait for it.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def reserve(
        self, account: UsageDay, key: str, size_bytes: int, ends_at_s: int, allowance: Allowance
    ) -> Usage | bool | None:
        """See `QuotaStore`."""
        reservation = {
            "id": new_id(),
            **account._asdict(),
            "key": key,
            "size": size_bytes,
            "ends_at": datetime.fromtimestamp(ends_at_s, UTC),
        }

        async def work(connection: AsyncConnection) -> Usage | bool:
            held = await _take(connection, account, size_bytes, allowance)
            if held is not None:
                return held
            await connection.execute(insert(quota_reservations).values(reservation))
            return True

        return await self._ask(account, work)

    async def settle(self, account: UsageDay, key: str, stored_bytes: int | None) -> None:
        """See `QuotaStore`. What is settled counts for the day of its reservation."""
        ended = (
            delete(quota_reservations)
            .where(quota_reservations.c.key == key)
            .returning(quota_reservations.c.day, quota_reservations.c.owner, quota_reservations.c.size)
        )

        async def work(connection: AsyncConnection) -> None:
            row = (await connection.execute(ended)).one_or_none()
            if row is not None:
                counted = {
                    "held_bytes": quota_usage.c.held_bytes - row.size + (stored_bytes or 0),
                    "held_files": quota_usage.c.held_files - (1 if stored_bytes is None else 0),
                }
                await connection.execute(update(quota_usage).where(_is(UsageDay(row.day, row.owner))).values(counted))

        await self._ask(account, work)

    async def ended(self, account: UsageDay, before_s: int, most: int) -> list[str] | None:
        """See `QuotaStore`."""
        open_ = quota_reservations.c
        rows = (
            select(open_.key)
            .where(
                open_.owner == account.owner,
                open_.day == account.day,
                open_.ends_at <= datetime.fromtimestamp(before_s, UTC),
            )
            .order_by(open_.ends_at, open_.id)
            .limit(most)
        )

        async def work(connection: AsyncConnection) -> list[str]:
            return list((await connection.execute(rows)).scalars())

        return await self._ask(account, work)

    async def _ask(self, account: UsageDay, work: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer | None:
        async def question() -> Answer:
            try:
                return await self._run(work, QUOTA_ATTEMPTS)
            except IntegrityError:
                # Two processes inserted the first reservation of a day; the second attempt finds the row.
                return await self._run(work, QUOTA_ATTEMPTS)

        async with self._turns.setdefault(account.owner, asyncio.Lock()):
            return await self._store.ask(question)

    async def aclose(self) -> None:
        """Do nothing: the records close the connections."""


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
    oldest = (date.fromisoformat(account.day) - timedelta(seconds=QUOTA_KEEP_S)).isoformat()
    for table in (quota_reservations, quota_usage):
        await connection.execute(delete(table).where(table.c.owner == account.owner, table.c.day < oldest))
    await connection.execute(insert(quota_usage).values(**account._asdict(), held_bytes=size_bytes, held_files=1))


def _is(account: UsageDay) -> ColumnElement[bool]:
    return and_(quota_usage.c.day == account.day, quota_usage.c.owner == account.owner)
