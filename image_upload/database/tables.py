"""The tables. The migrations create them; a test compares the two.

Everything a table needs is inside its CREATE TABLE, also the sweep's index (as a unique constraint, which always
holds because it contains `id`): Aurora DSQL allows one DDL statement in a transaction and builds
other indexes only ASYNC. https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-ddl.html
"""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from image_upload.limits import (
    EMAIL_MAX_CHARS,
    ISSUER_MAX_CHARS,
    PERSON_NAME_MAX_CHARS,
    S3_KEY_MAX_BYTES,
    SUBJECT_MAX_CHARS,
)


class Moment(TypeDecorator[datetime]):
    """A timezone-aware moment in UTC. SQLite itself stores no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Raise `ValueError` for a naive time, which names no moment."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the database's value in UTC."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


uploads: Final = Table(
    "uploads",
    metadata,
    # Random, and one over both kinds: see `records.new_id`.
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(8), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("key", String(S3_KEY_MAX_BYTES), nullable=False, unique=True),
    Column("filename", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("promised_size", BigInteger, nullable=True),
    Column("promised_sha256", String(44), nullable=True),
    Column("ends_at", Moment, nullable=False),
    Column("state", String(16), nullable=False),
    Column("fault", String(24), nullable=True),
    Column("size", BigInteger, nullable=True),
    Column("etag", Text, nullable=True),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("stored_at", Moment, nullable=True),
    # When a sweep last claimed the row: other sweeps pass over it for `SWEEP_LEASE_S`.
    Column("swept_at", Moment, nullable=True),
    CheckConstraint("kind IN ('post', 'file')", name="kind"),
    CheckConstraint("state IN ('pending', 'stored', 'rejected', 'quarantined', 'expired')", name="state"),
    CheckConstraint("(state = 'stored') = (stored_at IS NOT NULL)", name="stored_at"),
    CheckConstraint("state <> 'stored' OR (size IS NOT NULL AND etag IS NOT NULL)", name="stored_size"),
    CheckConstraint("(state IN ('rejected', 'quarantined')) = (fault IS NOT NULL)", name="fault"),
    # The words are those of `domain.faults`: a new one takes no migration.
    CheckConstraint("promised_size >= 1", name="promised_size"),
    CheckConstraint("size >= 0", name="size"),
    CheckConstraint("length(promised_sha256) = 44", name="promised_sha256"),
    CheckConstraint("key <> ''", name="key"),
    CheckConstraint("user_id <> ''", name="user_id"),
    UniqueConstraint("state", "ends_at", "id"),
)

# What a user holds of a day's quota, stored and reserved, in one row that one UPDATE checks: `usage.sql_quota_store`.
quota_usage: Final = Table(
    "quota_usage",
    metadata,
    # In UTC, such as 2026-11-20; `total` for all days, where QUOTA_BYTES_TOTAL or QUOTA_FILES_TOTAL is set.
    Column("day", String(10), primary_key=True),
    # The tag in the user's keys (`keys.owner_tag`).
    Column("owner", String(32), primary_key=True),
    Column("held_bytes", BigInteger, nullable=False),
    Column("held_files", BigInteger, nullable=False),
    CheckConstraint("held_bytes >= 0", name="held_bytes"),
    CheckConstraint("held_files >= 0", name="held_files"),
)

# A plan whose end is not known yet. `held_bytes` of its day includes its size.
quota_reservations: Final = Table(
    "quota_reservations",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", String(S3_KEY_MAX_BYTES), nullable=False, unique=True),
    Column("day", String(10), nullable=False),
    Column("owner", String(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("ends_at", Moment, nullable=False),
    CheckConstraint("size >= 0", name="size"),
    CheckConstraint("key <> ''", name="key"),
    UniqueConstraint("owner", "ends_at", "id"),
)

# A file that counts in the `total` of its user, from its plan until it is deleted.
quota_files: Final = Table(
    "quota_files",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", String(S3_KEY_MAX_BYTES), nullable=False, unique=True),
    Column("owner", String(32), nullable=False),
    # The reserved size until it is stored.
    Column("size", BigInteger, nullable=False),
    # When the permission to upload ends.
    Column("ends_at", Moment, nullable=False),
    Column("stored", Boolean, nullable=False),
    # When the life time of its purpose is over; null for ever.
    Column("kept_until", Moment, nullable=True),
    CheckConstraint("size >= 0", name="size"),
    CheckConstraint("key <> ''", name="key"),
    CheckConstraint("stored OR kept_until IS NULL", name="kept_until"),
    UniqueConstraint("owner", "stored", "ends_at", "id"),
)

# Events for the application, a row for each target: `notify.outbox`. Never a secret, nor an address.
outbox: Final = Table(
    "outbox",
    metadata,
    # The event's UUID, in 36 characters.
    Column("id", String(36), primary_key=True),
    Column("target", String(16), primary_key=True),
    Column("type", String(32), nullable=False),
    Column("payload", Text, nullable=False),
    Column("state", String(9), nullable=False),
    Column("attempts", Integer, nullable=False),
    # When the sweep does the next thing with it: send a pending row, delete one that is delivered or dead.
    Column("next_at", Moment, nullable=False),
    # What the target said last: a status of HTTP, or the kind of failure.
    Column("last_status", String(64), nullable=True),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    CheckConstraint("length(id) = 36", name="id"),
    CheckConstraint("target <> ''", name="target"),
    CheckConstraint("state IN ('pending', 'delivered', 'dead')", name="state"),
    CheckConstraint("attempts >= 0", name="attempts"),
    UniqueConstraint("state", "next_at", "id", "target"),
)

# No foreign keys: Aurora DSQL has none.
users: Final = Table(
    "users",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    # An address that a provider has verified, of one user only. A user without one has null.
    Column("email", String(EMAIL_MAX_CHARS), nullable=True, unique=True),
    Column("name", String(PERSON_NAME_MAX_CHARS), nullable=True),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    CheckConstraint("email <> ''", name="email"),
)

oauth_accounts: Final = Table(
    "oauth_accounts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, nullable=False),
    # The route it came by, and who vouches for it: another issuer in Google's place has other users.
    Column("provider", String(16), nullable=False),
    Column("issuer", String(ISSUER_MAX_CHARS), nullable=False),
    Column("subject", String(SUBJECT_MAX_CHARS), nullable=False),
    # As the provider states it; without `email_verified` it proves nothing.
    Column("email", String(EMAIL_MAX_CHARS), nullable=True),
    Column("email_verified", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    UniqueConstraint("issuer", "subject"),
    UniqueConstraint("user_id", "id"),
)

# A sign-in: its one-time code, then its current refresh token. Both as SHA-256 in hexadecimal.
sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, nullable=False),
    Column("code_hash", String(64), nullable=False, unique=True),
    Column("code_challenge", String(43), nullable=True),
    Column("refresh_hash", String(64), nullable=True),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("ended_at", Moment, nullable=True),
    UniqueConstraint("user_id", "expires_at", "id"),
)
