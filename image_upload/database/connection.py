"""A connection to PostgreSQL that waits for a server no longer than it is told to.

psycopg's own, once cancelled, asks the server to stop and waits for that: up to ten seconds where it is frozen.
"""

import asyncio
import contextlib
from typing import Any

import psycopg
from psycopg import waiting
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus

from image_upload.limits import DATABASE_CANCEL_TIMEOUT_S, DATABASE_PING_TIMEOUT_S

_POLL_S = 0.1


class BoundedConnection(psycopg.AsyncConnection[Any]):
    """psycopg's connection, which ends with the statement that was cancelled on it."""

    async def wait(
        self, gen: PQGen[RV], interval: float = _POLL_S, timeout: float | None = None
    ) -> RV:  # psycopg's signature
        """As psycopg's. Cancelled in a statement, it asks the server to stop, waits a moment, and closes."""
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                with contextlib.suppress(psycopg.Error, OSError, TimeoutError):
                    async with asyncio.timeout(DATABASE_CANCEL_TIMEOUT_S):
                        await self.cancel_safe(timeout=DATABASE_CANCEL_TIMEOUT_S)
                self.pgconn.finish()
            raise


async def ping(connection: psycopg.AsyncConnection[Any]) -> None:
    """Ask the server whether it is there. Raises `psycopg.Error`, `OSError` or `TimeoutError`."""
    async with asyncio.timeout(DATABASE_PING_TIMEOUT_S):
        # Outside of a transaction: one round trip.
        await connection.set_autocommit(True)
        await connection.execute("SELECT 1")
        await connection.set_autocommit(False)
