"""The outbox: rows of events that are to be delivered. Each call is one short transaction; none is open meanwhile.

A row is claimed, then sent, then settled. A claim counts the attempt and leaves the row to others after
`DELIVERY_LEASE_S`, so that what a killed process had claimed is sent again. The application may see an event twice,
with the same id.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, and_, delete, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from image_upload.database.records import Records
from image_upload.database.tables import outbox
from image_upload.limits import DEAD_KEPT_DAYS, DELIVERED_KEPT_DAYS, DELIVERY_LEASE_S
from image_upload.notify.delivery import DEAD, DELIVERED, PENDING, Announced, Delivery, Outcome, TargetName

# A row's primary key.
_KEY: Final = (outbox.c.id, outbox.c.target)


class Listed(NamedTuple):
    """A row of the outbox, without its payload."""

    id: str
    target: str
    type: str
    state: str
    attempts: int
    next_at: datetime
    last_status: str | None
    created_at: datetime


class Backlog(NamedTuple):
    """How many rows of a target are in a state, and when the oldest was made."""

    target: str
    state: str
    rows: int
    oldest_at: datetime


class Outbox:
    """The rows of `outbox`, over the connections of the records. Methods raise `DatabaseUnavailable`."""

    def __init__(self, records: Records) -> None:
        self._run = records.run
        self._skip_locked = records.skip_locked

    async def insert(
        self, connection: AsyncConnection | None, events: Sequence[Announced], targets: Collection[TargetName]
    ) -> None:
        """Insert a row for each event and target, due at once; with this connection in its transaction.

        A row that is there already stays as it is.
        """
        now = datetime.now(UTC)
        rows: list[dict[str, Any]] = [
            {
                "id": str(event.id),
                "target": target,
                "type": event.type,
                "payload": event.body,
                "state": PENDING,
                "attempts": 0,
                "next_at": now,
                "created_at": now,
                "updated_at": now,
            }
            for event in events
            for target in targets
        ]

        async def work(connection: AsyncConnection) -> None:
            dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
            await connection.execute(dialect.insert(outbox).on_conflict_do_nothing(), rows)

        if not rows:
            return
        if connection is None:
            await self._run(work)
        else:
            await work(connection)

    async def claim(
        self, targets: Collection[TargetName], most: int, ids: Collection[str] | None = None
    ) -> list[Delivery]:
        """Claim the `most` rows of these targets that are due longest, exclusively for `DELIVERY_LEASE_S`.

        With `ids`, only those of these events.
        """
        now = datetime.now(UTC)
        wanted = [outbox.c.state == PENDING, outbox.c.next_at <= now, outbox.c.target.in_(targets)]
        if ids is not None:
            wanted.append(outbox.c.id.in_(ids))
        due = (
            select(*_KEY)
            .where(*wanted)
            .order_by(outbox.c.next_at)
            .limit(most)
            .with_for_update(skip_locked=self._skip_locked)
            # A CTE is evaluated once, which PostgreSQL does not guarantee for a subquery with a limit.
            .cte("due")
        )
        taken = (
            update(outbox)
            .where(tuple_(*_KEY).in_(select(due.c.id, due.c.target)))
            .values(attempts=outbox.c.attempts + 1, next_at=now + timedelta(seconds=DELIVERY_LEASE_S), updated_at=now)
            .returning(*_KEY, outbox.c.type, outbox.c.payload, outbox.c.attempts)
        )

        async def work(connection: AsyncConnection) -> list[Delivery]:
            return [Delivery(*row) for row in (await connection.execute(taken)).all()]

        return await self._run(work)

    async def settle(self, delivery: Delivery, outcome: Outcome) -> str:
        """Write the outcome of a claimed delivery; return the row's new state."""
        now = datetime.now(UTC)
        pause_s = outcome.next_pause_s(delivery.attempts)
        of_row = and_(outbox.c.id == delivery.id, outbox.c.target == delivery.target, outbox.c.state == PENDING)
        if outcome.verdict == "delivered":
            state, next_at = DELIVERED, now + timedelta(days=DELIVERED_KEPT_DAYS)
        else:
            # After the lease another attempt may be under way, and then its outcome counts.
            of_row = and_(of_row, outbox.c.attempts == delivery.attempts)
            if pause_s is None:
                state, next_at = DEAD, now + timedelta(days=DEAD_KEPT_DAYS)
            else:
                state, next_at = PENDING, now + timedelta(seconds=pause_s)
        move = (
            update(outbox)
            .where(of_row)
            .values(state=state, next_at=next_at, last_status=outcome.status, updated_at=now)
        )

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(move)

        await self._run(work)
        return state

    async def prune(self) -> int:
        """Delete the rows that have been delivered or dead long enough; return their number."""
        over = delete(outbox).where(outbox.c.state.in_((DELIVERED, DEAD)), outbox.c.next_at <= datetime.now(UTC))

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(over)).rowcount

        return await self._run(work)

    async def listed(self, state: str, most: int) -> list[Listed]:
        """Return the `most` newest rows of a state."""
        columns = [outbox.c[name] for name in Listed._fields]
        rows = select(*columns).where(outbox.c.state == state).order_by(outbox.c.updated_at.desc()).limit(most)

        async def work(connection: AsyncConnection) -> list[Listed]:
            return [Listed(*row) for row in (await connection.execute(rows)).all()]

        return await self._run(work)

    async def backlog(self) -> list[Backlog]:
        """Return what is pending or dead."""
        of_each = (outbox.c.target, outbox.c.state)
        rows = (
            select(*of_each, func.count(), func.min(outbox.c.created_at))
            .where(outbox.c.state.in_((PENDING, DEAD)))
            .group_by(*of_each)
        )

        async def work(connection: AsyncConnection) -> list[Backlog]:
            return [Backlog(*row) for row in (await connection.execute(rows)).all()]

        return await self._run(work)

    async def replay(self, ids: Collection[str] | None) -> list[str]:
        """Make dead rows due again, with all their attempts: those of these events, with None all; return their ids."""
        now = datetime.now(UTC)
        which: list[ColumnElement[bool]] = [outbox.c.state == DEAD]
        if ids is not None:
            which.append(outbox.c.id.in_(ids))
        again = (
            update(outbox)
            .where(*which)
            .values(state=PENDING, attempts=0, next_at=now, updated_at=now)
            .returning(outbox.c.id)
        )

        async def work(connection: AsyncConnection) -> list[str]:
            return list((await connection.execute(again)).scalars())

        return await self._run(work)
