"""Sessions: a one-time code, then rotating refresh tokens. RFC 9700 section 4.14.2.

The database stores hashes only, so its contents do not allow a sign-in. SHA-256 is enough, because the hashed secrets
have 256 random bits.
"""

import base64
import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from image_upload.database.identity import Renewed
from image_upload.database.records import Records, new_id
from image_upload.database.tables import sessions
from image_upload.limits import CODE_EXPIRES_S

# Logs redact texts with these prefixes. No JWT begins with them.
CODE_PREFIX: Final = "upc1."
REFRESH_PREFIX: Final = "upr1."

# The session's id, its proof, and the secret that rotates. Tokens of the first versions have no proof.
_REFRESH: Final = re.compile(
    rf"{re.escape(REFRESH_PREFIX)}([1-9][0-9]{{0,15}})\.(?:([\w-]{{22}})\.)?([\w-]{{43}})", re.ASCII
)


class _Presented(NamedTuple):
    """A refresh token in its parts. `proof` shows that the bearer once had a valid token of this session."""

    session_id: int
    proof: str | None
    secret_hash: str


class Sessions:
    """Begin, renew and end sessions. Methods return None for anything invalid; a reason would help an attacker."""

    def __init__(self, records: Records, refresh_days: int) -> None:
        self._run = records.run
        self._life = timedelta(days=refresh_days)

    async def begin(self, user_id: int, challenge: str | None) -> str:
        """Begin a session; return its one-time code. `challenge` is the front end's (RFC 7636)."""
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
            # Expired sessions of the user are deleted at each sign-in, so their number stays small.
            over = (sessions.c.user_id == user_id, sessions.c.expires_at < now)
            await connection.execute(delete(sessions).where(*over))
            await connection.execute(insert(sessions).values(row))

        await self._run(work)
        return code

    async def redeem(self, code: str, challenge: str | None) -> Renewed | None:
        """Exchange a one-time code for the first refresh token. The challenge must be the code's own, or both None.

        A second use of a code, or another challenge, ends the session (RFC 6749 section 4.1.2).
        """
        now, code_is = datetime.now(UTC), sessions.c.code_hash == _hash(code)
        first = (code_is, sessions.c.refresh_hash.is_(None), sessions.c.ended_at.is_(None), sessions.c.expires_at > now)
        bound = sessions.c.code_challenge.is_not_distinct_from(challenge)
        secret = secrets.token_urlsafe(32)
        values = {"refresh_hash": _hash(secret), "expires_at": now + self._life}
        redeemed = update(sessions).where(*first, bound).values(values).returning(*sessions.c)
        end = update(sessions).where(code_is, sessions.c.ended_at.is_(None)).values(ended_at=now)

        async def work(connection: AsyncConnection) -> Renewed | None:
            row = (await connection.execute(redeemed)).one_or_none()
            if row is None:
                await connection.execute(end)
                return None
            return Renewed(row.user_id, _refresh_token(row.id, _proof(row.code_hash), secret))

        return await self._run(work)

    async def renew(self, refresh_token: str) -> Renewed | None:
        """Return the next refresh token. A used one ends the session, because a copy of it exists.

        Only a token with the session's proof ends it: the session's id is not secret.
        """
        presented = _read(refresh_token)
        if presented is None:
            return None
        now, secret = datetime.now(UTC), secrets.token_urlsafe(32)
        good = (
            sessions.c.id == presented.session_id,
            sessions.c.refresh_hash == presented.secret_hash,
            sessions.c.ended_at.is_(None),
            sessions.c.expires_at > now,
        )
        renewed = update(sessions).where(*good).values(refresh_hash=_hash(secret)).returning(*sessions.c)

        async def work(connection: AsyncConnection) -> Renewed | None:
            row = (await connection.execute(renewed)).one_or_none()
            if row is None:
                await _end(connection, presented, now)
                return None
            return Renewed(row.user_id, _refresh_token(row.id, _proof(row.code_hash), secret))

        return await self._run(work)

    async def end(self, refresh_token: str) -> None:
        """End the session of a refresh token: no token of it is accepted any more. Safe to repeat."""
        presented = _read(refresh_token)
        if presented is None:
            return

        async def work(connection: AsyncConnection) -> None:
            await _end(connection, presented, datetime.now(UTC))

        await self._run(work)


async def _end(connection: AsyncConnection, presented: _Presented, now: datetime) -> None:
    """End the session of a refresh token that is or was valid; do nothing for any other."""
    session_is = sessions.c.id == presented.session_id
    found = select(sessions.c.code_hash, sessions.c.refresh_hash).where(session_is)
    row = (await connection.execute(found)).one_or_none()
    if row is None:
        return
    # A token without a proof counts while it is the newest one.
    proven = presented.secret_hash == row.refresh_hash or (
        presented.proof is not None and hmac.compare_digest(presented.proof, _proof(row.code_hash))
    )
    if proven:
        over = update(sessions).where(session_is, sessions.c.ended_at.is_(None))
        await connection.execute(over.values(ended_at=now))


def _refresh_token(session_id: int, proof: str, secret: str) -> str:
    return f"{REFRESH_PREFIX}{session_id}.{proof}.{secret}"


def _read(refresh_token: str) -> _Presented | None:
    match = _REFRESH.fullmatch(refresh_token)
    return None if match is None else _Presented(int(match[1]), match[2], _hash(match[3]))


def _proof(code_hash: str) -> str:
    """Return the 128 bits that all refresh tokens of a session share. They derive from the code's hash."""
    digest = hashlib.sha256(b"image-upload session proof v1\0" + code_hash.encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
