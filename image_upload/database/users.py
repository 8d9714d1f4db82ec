"""Users, and the provider accounts that they sign in with.

Issuer and subject identify an account. An address joins two accounts only if the provider has verified it: an
unverified address in a profile may be another person's.
"""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import RowMapping, exists, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from image_upload.database.identity import Identity, User
from image_upload.database.records import Records, new_id
from image_upload.database.tables import oauth_accounts, users

# For two simultaneous first sign-ins of one user: the second attempt finds the row of the first.
_ATTEMPTS: Final = 3

_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def address_of(identity: Identity) -> str | None:
    """Return the verified address in the form that is compared: only ASCII letters in lower case.

    Folding the case of other letters would make different addresses equal.
    """
    return identity.email.translate(_LOWER) if identity.email and identity.email_verified else None


class Users:
    """Find, create and update users. Raises `DatabaseUnavailable`."""

    def __init__(self, records: Records) -> None:
        self._run = records.run

    async def find(self, user_id: int) -> User | None:
        """Return the user with this id."""

        async def work(connection: AsyncConnection) -> RowMapping | None:
            return (await connection.execute(select(users).where(users.c.id == user_id))).mappings().one_or_none()

        row = await self._run(work)
        return None if row is None else _user(row)

    async def sign_in(self, identity: Identity) -> User:
        """Return the user of an identity: the one of the last sign-in, else of the verified address, else a new one."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                return await self._run(lambda connection: _sign_in(connection, identity))
            except IntegrityError:
                if not left:
                    raise
        raise AssertionError("the last attempt returns or raises")


async def _sign_in(connection: AsyncConnection, identity: Identity) -> User:
    now, address = datetime.now(UTC), address_of(identity)
    user_id = await _seen(connection, identity, now)
    if user_id is None:
        user_id = await _whose(connection, address) or await _made(connection, identity, address, now)
        account = {
            **identity._asdict(),
            "id": new_id(),
            "user_id": user_id,
            "created_at": now,
            "seen_at": now,
        }
        account.pop("name")
        await connection.execute(insert(oauth_accounts).values(account))
    else:
        await _take_over(connection, user_id, address, now)
    return _user((await connection.execute(select(users).where(users.c.id == user_id))).mappings().one())


async def _seen(connection: AsyncConnection, identity: Identity, now: datetime) -> int | None:
    """Return the user of an account. Write first: SQLite lets no reader become a writer while another one writes."""
    row = (
        update(oauth_accounts)
        .where(oauth_accounts.c.issuer == identity.issuer, oauth_accounts.c.subject == identity.subject)
        .values(email=identity.email, email_verified=identity.email_verified, seen_at=now)
        .returning(oauth_accounts.c.user_id)
    )
    found: int | None = (await connection.execute(row)).scalar_one_or_none()
    return found


async def _whose(connection: AsyncConnection, address: str | None) -> int | None:
    if address is None:
        return None
    row = select(users.c.id).where(users.c.email == address)
    found: int | None = (await connection.execute(row)).scalar_one_or_none()
    return found


async def _made(connection: AsyncConnection, identity: Identity, address: str | None, now: datetime) -> int:
    user_id = new_id()
    row = {"id": user_id, "email": address, "name": identity.name, "created_at": now, "updated_at": now}
    await connection.execute(insert(users).values(row))
    return user_id


async def _take_over(connection: AsyncConnection, user_id: int, address: str | None, now: datetime) -> None:
    """Update a known user's address, unless another user has it: the old one may soon be another person's."""
    if address is None:
        return
    others = users.alias()
    taken = exists().where(others.c.email == address, others.c.id != user_id)
    await connection.execute(
        update(users)
        .where(users.c.id == user_id, users.c.email.is_distinct_from(address), ~taken)
        .values(email=address, updated_at=now)
    )


def _user(row: RowMapping) -> User:
    return User(row[users.c.id], row[users.c.email], row[users.c.name])
