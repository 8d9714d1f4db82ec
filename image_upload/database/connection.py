"""A PostgreSQL connection that closes soon after a statement is cancelled.

psycopg's own asks the server to cancel and waits for it: up to ten seconds if the server does not respond.
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
    """psycopg's connection, closed when a statement on it is cancelled."""

    async def wait(
        self, gen: PQGen[RV], interval: float = _POLL_S, timeout: float | None = None
    ) -> RV:  # psycopg's signature
        """Wait as psycopg does. If cancelled, ask the server to cancel the statement, wait briefly, and close."""
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
    """Check that the server answers. Raises `psycopg.Error`, `OSError` or `TimeoutError`."""
    async with asyncio.timeout(DATABASE_PING_TIMEOUT_S):
        # Outside a transaction it is one round trip.
        await connection.set_autocommit(True)
        await connection.execute("SELECT 1")
        await connection.set_autocommit(False)
