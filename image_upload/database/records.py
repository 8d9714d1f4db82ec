"""Rows of `uploads`: insert, find, settle, claim. Each call is one short transaction.

A row's state changes only where it still is what it was. Of two callers that notice the same upload at once, the second
one gets the row that the first one wrote.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, RowMapping, insert, or_, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from image_upload.database.engine import Target, open_engine
from image_upload.database.tables import uploads
from image_upload.database.values import ExpectedObject, Kind, Record
from image_upload.domain.faults import Fault
from image_upload.errors import DatabaseUnavailable
from image_upload.limits import DATABASE_ATTEMPTS, DATABASE_TIMEOUT_S, SWEEP_LEASE_S
from image_upload.outbound.deadline import at_most
from image_upload.settings.database import DatabaseSettings
from image_upload.telemetry import metrics
from image_upload.telemetry.calls import database, measured, operation_of

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

# What else is written in the transaction that settles a row, with the row as it is settled: `notify`'s outbox.
Also = Callable[[AsyncConnection, Record], Awaitable[None]]

# JavaScript reads whole numbers exactly up to here (Number.MAX_SAFE_INTEGER).
ID_BITS: Final = 53
ID_MIN: Final = 10**12

# The states that S3's answer can still change.
UNSETTLED: Final = ("pending", "expired")

# serialization_failure and deadlock_detected: a retry of the transaction may succeed. Aurora DSQL raises the first when
# two transactions change one row. https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html
_CONFLICTS: Final = frozenset({"40001", "40P01"})
_NO_SUCH_TABLE: Final = "42P01"


def new_id() -> int:
    """Return a random integer of 13 to 16 digits, as version 1 clients expect. It needs no database sequence.

    It never has fewer digits, so that an identity provider's numeric ids do not look like it (`auth.claims`).
    """
    return id_of(secrets.token_bytes(16))


def id_of(seed: bytes) -> int:
    """Return the id that 16 random bytes lead to, the same each time."""
    number: int = int.from_bytes(seed) % (2**ID_BITS - ID_MIN) + ID_MIN
    return number


class Records:
    """The rows of `uploads`. The engine connects at its first use. Each call takes at most `timeout_s` seconds."""

    def __init__(self, settings: DatabaseSettings, *, timeout_s: float = DATABASE_TIMEOUT_S) -> None:
        target = Target(settings)
        self._engine = open_engine(target, on_lambda=settings.on_lambda, timeout_s=timeout_s)
        self._timeout_s = timeout_s
        self._system = database("sqlite" if target.is_sqlite else "postgresql")
        # DSQL has no SKIP LOCKED: there the second of two claims of one row is retried.
        self.skip_locked = not target.is_dsql

    async def insert(self, kind: Kind, expected_object: ExpectedObject) -> Record:
        """Insert a pending row and return it. Raises `DatabaseUnavailable`, as every method here."""
        try:
            return await self._insert(kind, expected_object, new_id())
        except IntegrityError:
            # A random id exists already with a probability of 1 in 2**53; a second time it is a bug.
            return await self._insert(kind, expected_object, new_id())

    async def insert_once(self, kind: Kind, expected_object: ExpectedObject, seed: bytes) -> Record:
        """Insert a pending row with the id of a seed; return it, or the row that has this id already."""
        try:
            return await self._insert(kind, expected_object, id_of(seed))
        except IntegrityError:
            found = await self.by_seed(seed)
            if found is None:
                raise
            return found

    async def _insert(self, kind: Kind, expected_object: ExpectedObject, row_id: int) -> Record:
        now = datetime.now(UTC)
        values = {
            "id": row_id,
            "kind": kind,
            "user_id": expected_object.user_id,
            "key": expected_object.key,
            "filename": expected_object.filename,
            "content_type": expected_object.content_type,
            "promised_size": expected_object.size_bytes,
            "promised_sha256": expected_object.sha256,
            "ends_at": expected_object.ends_at,
            "state": "pending",
            "created_at": now,
            "updated_at": now,
        }

        async def work(connection: AsyncConnection) -> Record:
            row = insert(uploads).values(values).returning(*uploads.c)
            return _record((await connection.execute(row)).mappings().one())

        return await self.run(work)

    async def find(self, kind: Kind, row_id: int) -> Record | None:
        """Return the row with this id and kind, of any user."""
        return await self._one(uploads.c.id == row_id, uploads.c.kind == kind)

    async def by_seed(self, seed: bytes) -> Record | None:
        """Return the row that `insert_once` inserted with this seed."""
        return await self._one(uploads.c.id == id_of(seed))

    async def by_key(self, key: str) -> Record | None:
        """Return the row for an object's key, of any kind."""
        return await self._one(uploads.c.key == key)

    async def oldest(self, kind: Kind) -> datetime | None:
        """Return when the oldest row of a kind was written; None where there is none."""

        async def work(connection: AsyncConnection) -> datetime | None:
            first = select(uploads.c.created_at).where(uploads.c.kind == kind).order_by(uploads.c.created_at).limit(1)
            return (await connection.execute(first)).scalar_one_or_none()

        return await self.run(work)

    async def known(self, kind: Kind, some: Sequence[str]) -> frozenset[str]:
        """Return which of these keys a row of a kind has."""

        async def work(connection: AsyncConnection) -> frozenset[str]:
            rows = select(uploads.c.key).where(uploads.c.key.in_(some), uploads.c.kind == kind)
            return frozenset((await connection.execute(rows)).scalars())

        return await self.run(work) if some else frozenset()

    async def again(self, record: Record) -> Record:
        """Return the row as it is now."""
        return await self._one(uploads.c.id == record.id) or record

    async def store(self, record: Record, size_bytes: int, etag: str, *, also: Also | None = None) -> Record:
        """Settle a row that S3 has confirmed. Return the current row, as the next two do.

        If this call settles it, `also` runs in the same transaction: both are committed, or neither. It runs again if
        the transaction does.
        """
        now = datetime.now(UTC)
        return await self._settle(
            record, UNSETTLED, also, state="stored", size=size_bytes, etag=etag, stored_at=now, updated_at=now
        )

    async def reject(
        self,
        record: Record,
        fault: Fault,
        size_bytes: int,
        etag: str,
        *,
        quarantined: bool = False,
        also: Also | None = None,
    ) -> Record:
        """Settle a row whose object in S3 is not the expected one. `also` as in `store`."""
        state, now = "quarantined" if quarantined else "rejected", datetime.now(UTC)
        return await self._settle(
            record, UNSETTLED, also, state=state, fault=fault, size=size_bytes, etag=etag, updated_at=now
        )

    async def expire(self, record: Record) -> Record:
        """Settle a row whose time is over and whose object is missing."""
        return await self._settle(record, ("pending",), None, state="expired", updated_at=datetime.now(UTC))

    async def renew(self, record: Record, ends_at: datetime) -> Record:
        """Let an upload that S3 has not confirmed arrive until `ends_at`, also if its time was over."""
        now = datetime.now(UTC)
        return await self._settle(record, UNSETTLED, None, state="pending", ends_at=ends_at, updated_at=now)

    async def claim(self, now: datetime, most: int) -> list[Record]:
        """Claim and return the `most` oldest pending rows whose time is over, exclusively for `SWEEP_LEASE_S`."""
        free = or_(uploads.c.swept_at.is_(None), uploads.c.swept_at < now - timedelta(seconds=SWEEP_LEASE_S))
        due = (
            select(uploads.c.id)
            .where(uploads.c.state == "pending", uploads.c.ends_at < now, free)
            .order_by(uploads.c.ends_at)
            .limit(most)
            .with_for_update(skip_locked=self.skip_locked)
            # A CTE is evaluated once, which PostgreSQL does not guarantee for a subquery with a limit.
            .cte("due")
        )
        taken = update(uploads).where(uploads.c.id.in_(select(due.c.id))).values(swept_at=now).returning(*uploads.c)

        async def work(connection: AsyncConnection) -> list[Record]:
            return [_record(row) for row in (await connection.execute(taken)).mappings()]

        return await self.run(work)

    async def _settle(self, record: Record, states: tuple[str, ...], also: Also | None, **values: Any) -> Record:
        move = (
            update(uploads)
            .where(uploads.c.id == record.id, uploads.c.state.in_(states))
            .values(values)
            .returning(*uploads.c)
        )

        async def work(connection: AsyncConnection) -> Record | None:
            row = (await connection.execute(move)).mappings().one_or_none()
            settled = None if row is None else _record(row)
            if settled is not None and also is not None:
                await also(connection, settled)
            return settled

        return await self.run(work) or await self.again(record)

    async def _one(self, *conditions: ColumnElement[bool]) -> Record | None:
        async def work(connection: AsyncConnection) -> RowMapping | None:
            return (await connection.execute(select(uploads).where(*conditions))).mappings().one_or_none()

        row = await self.run(work)
        return None if row is None else _record(row)

    async def run(
        self, work: Callable[[AsyncConnection], Awaitable[Answer]], attempts: int = DATABASE_ATTEMPTS
    ) -> Answer:
        """Run `work` in one transaction; run it again after a conflict of two transactions, up to `attempts` times."""
        operation = operation_of(work)
        for left in reversed(range(attempts)):
            with measured(self._system, operation) as call:
                try:
                    async with asyncio.timeout(at_most(self._timeout_s)), self._engine.begin() as connection:
                        answer = await work(connection)
                except IntegrityError:
                    call.outcome = "refused"
                    raise
                except (DBAPIError, PoolTimeout, TimeoutError, OSError) as error:
                    call.outcome = "failed"
                    if _sqlstate(error) not in _CONFLICTS or not left:
                        raise _translated(error) from None
                else:
                    call.outcome = "ok"
                    return answer
            metrics.record(metrics.RETRIES, 1, operation)
        raise AssertionError("the last attempt returns or raises")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._engine.dispose()


def _record(row: RowMapping) -> Record:
    expected_object = ExpectedObject(
        user_id=row["user_id"],
        key=row["key"],
        filename=row["filename"],
        content_type=row["content_type"],
        size_bytes=row["promised_size"],
        sha256=row["promised_sha256"],
        ends_at=row["ends_at"],
    )
    return Record(
        kind=row["kind"],
        id=row["id"],
        expected_object=expected_object,
        state=row["state"],
        fault=row["fault"],
        size_bytes=row["size"],
        etag=row["etag"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        stored_at=row["stored_at"],
    )


def _sqlstate(error: Exception) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def _translated(error: Exception) -> DatabaseUnavailable:
    """Log the error of the database or the connection; return the problem, which names the remedy."""
    message = str(getattr(error, "orig", error)) or type(error).__name__
    log.error("the database failed", extra={"fields": {"sqlstate": _sqlstate(error), "database_error": message}})
    if _sqlstate(error) == _NO_SUCH_TABLE or "no such table" in message:
        return DatabaseUnavailable(
            "The database lacks a table of this version. The service's operator runs: "
            "python -m image_upload migrate-db."
        )
    return DatabaseUnavailable("The database does not answer as it should. Try again in a moment.")
