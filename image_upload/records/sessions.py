"""Sessions: a one-time code first, then one refresh token after the other. RFC 9700 section 4.14.2.

The database keeps hashes only: whoever reads it can sign in as nobody. SHA-256 is enough, because what is hashed has
256 random bits.
"""

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import delete, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from image_upload.limits import CODE_EXPIRES_S
from image_upload.records.people import Renewed
from image_upload.records.records import Records, new_id
from image_upload.records.tables import sessions

# In front of each: logs recognise them and black them out. No JWT begins so.
CODE_PREFIX: Final = "upc1."
REFRESH_PREFIX: Final = "upr1."

_REFRESH: Final = re.compile(rf"{re.escape(REFRESH_PREFIX)}([1-9][0-9]{{0,15}})\.[\w-]{{43}}", re.ASCII)


class Sessions:
    """Begin, go on, end. What is not accepted is None: there is nothing to tell apart for whoever tries."""

    def __init__(self, records: Records, refresh_days: int) -> None:
        self._run = records.run
        self._life = timedelta(days=refresh_days)

    async def begin(self, user_id: int, challenge: str | None) -> str:
        """A session that waits for its code to come back; the code. `challenge` is the front end's (RFC 7636)."""
        code, now = CODE_PREFIX + secrets.token_urlsafe(32), datetime.now(UTC)
        row = {
            "id": new_id(),
            "user_id": user_id,
            "code_hash": _hash(code),
            "code_challenge": challenge,
            "created_at": now,
            "expires_at": now + timedelta(seconds=CODE_EXPIRES_S),
        }

        async def work(connection: AsyncConnection) -> None:
            # What is over goes when its user comes back; it grows by no more than somebody signs in.
            over = (sessions.c.user_id == user_id, sessions.c.expires_at < now)
            await connection.execute(delete(sessions).where(*over))
            await connection.execute(insert(sessions).values(row))

        await self._run(work)
        return code

    async def redeem(self, code: str, challenge: str | None) -> Renewed | None:
        """The first refresh token, for a code with the challenge it was made for, or without one for one without.

        A code that comes a second time, or with another challenge, ends the session (RFC 6749 section 4.1.2).
        """
        now, code_is = datetime.now(UTC), sessions.c.code_hash == _hash(code)
        first = (code_is, sessions.c.refresh_hash.is_(None), sessions.c.ended_at.is_(None), sessions.c.expires_at > now)
        bound = sessions.c.code_challenge.is_not_distinct_from(challenge)
        secret = secrets.token_urlsafe(32)
        values = {"refresh_hash": _hash(secret), "expires_at": now + self._life}
        redeemed = update(sessions).where(*first, bound).values(values).returning(sessions.c.id, sessions.c.user_id)
        end = update(sessions).where(code_is, sessions.c.ended_at.is_(None)).values(ended_at=now)

        async def work(connection: AsyncConnection) -> Renewed | None:
            row = (await connection.execute(redeemed)).one_or_none()
            if row is None:
                await connection.execute(end)
                return None
            return Renewed(row.user_id, _refresh_token(row.id, secret))

        return await self._run(work)

    async def renew(self, refresh_token: str) -> Renewed | None:
        """The next refresh token. One that was used before ends the session: somebody else has a copy of it."""
        session_id = _session_of(refresh_token)
        if session_id is None:
            return None
        now, secret, session_is = datetime.now(UTC), secrets.token_urlsafe(32), sessions.c.id == session_id
        good = (
            session_is,
            sessions.c.refresh_hash == _hash(refresh_token.rpartition(".")[2]),
            sessions.c.ended_at.is_(None),
            sessions.c.expires_at > now,
        )
        renewed = update(sessions).where(*good).values(refresh_hash=_hash(secret)).returning(sessions.c.user_id)
        end = update(sessions).where(session_is, sessions.c.ended_at.is_(None)).values(ended_at=now)

        async def work(connection: AsyncConnection) -> Renewed | None:
            user_id = (await connection.execute(renewed)).scalar_one_or_none()
            if user_id is None:
                await connection.execute(end)
                return None
            return Renewed(user_id, _refresh_token(session_id, secret))

        return await self._run(work)

    async def end(self, refresh_token: str) -> None:
        """Sign out: neither this refresh token nor any after it is accepted. Safe to repeat."""
        session_id = _session_of(refresh_token)
        if session_id is None:
            return
        over = update(sessions).where(sessions.c.id == session_id, sessions.c.ended_at.is_(None))

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(over.values(ended_at=datetime.now(UTC)))

        await self._run(work)


def _refresh_token(session_id: int, secret: str) -> str:
    return f"{REFRESH_PREFIX}{session_id}.{secret}"


def _session_of(refresh_token: str) -> int | None:
    match = _REFRESH.fullmatch(refresh_token)
    return None if match is None else int(match[1])


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
