"""Posts and file records in one table, `uploads`.

The version before runs on during this migration and after it: until the new one is live, in a canary, on the way back.
So a view with the name of each old table stands over the new one, to read and to write: docs/decisions/one-table.md.

On Aurora DSQL each statement is a transaction of its own. Interrupted between two of them, run it again.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# Rows a statement. A transaction of Aurora DSQL changes at most 3,000, and each row has entries in two indexes.
# https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html
_BATCH: Final = 500

_COLUMNS: Final = (
    "id",
    "user_id",
    "key",
    "filename",
    "content_type",
    "promised_size",
    "promised_sha256",
    "ends_at",
    "state",
    "fault",
    "size",
    "etag",
    "created_at",
    "updated_at",
    "stored_at",
    "swept_at",
)
_UPLOADS: Final = sa.table("uploads", sa.column("kind"), *map(sa.column, _COLUMNS))


def upgrade() -> None:
    """Make the table, then move the rows of both kinds."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "uploads",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("key", sa.String(1024), nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("promised_size", sa.BigInteger),
        sa.Column("promised_sha256", sa.String(44)),
        sa.Column("ends_at", moment, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("fault", sa.String(24)),
        sa.Column("size", sa.BigInteger),
        sa.Column("etag", sa.Text),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("updated_at", moment, nullable=False),
        sa.Column("stored_at", moment),
        sa.Column("swept_at", moment),
        sa.CheckConstraint("kind IN ('post', 'file')", name="kind"),
        sa.CheckConstraint("state IN ('pending', 'stored', 'rejected', 'quarantined', 'expired')", name="state"),
        sa.CheckConstraint("(state = 'stored') = (stored_at IS NOT NULL)", name="stored_at"),
        sa.CheckConstraint("state <> 'stored' OR (size IS NOT NULL AND etag IS NOT NULL)", name="stored_size"),
        sa.CheckConstraint("(state IN ('rejected', 'quarantined')) = (fault IS NOT NULL)", name="fault"),
        sa.CheckConstraint("promised_size >= 1", name="promised_size"),
        sa.CheckConstraint("size >= 0", name="size"),
        sa.CheckConstraint("length(promised_sha256) = 44", name="promised_sha256"),
        sa.CheckConstraint("key <> ''", name="key"),
        sa.CheckConstraint("user_id <> ''", name="user_id"),
        sa.UniqueConstraint("key"),
        sa.UniqueConstraint("state", "ends_at", "id"),
        if_not_exists=True,
    )
    _move("post", "posts", "image_key")
    _move("file", "file_records", "s3_key")


def _move(kind: str, name: str, key: str) -> None:
    """Put the old table aside and a view in its place, copy the rows, drop the old table."""
    connection, aside = op.get_bind(), f"{name}_before_0003"
    if name in sa.inspect(connection).get_table_names():
        op.rename_table(name, aside)
    if connection.dialect.name == "postgresql":
        # SQLite has no views that can be written to, and serves local runs, where no two versions run at once.
        columns = ", ".join(f"key AS {key}" if each == "key" else each for each in (*_COLUMNS, "kind"))
        view = f"SELECT {columns} FROM uploads WHERE kind = '{kind}'"  # noqa: S608  literals of this module
        op.execute(f"CREATE OR REPLACE VIEW {name} AS {view}")
        # An INSERT of the version before names no kind.
        op.execute(f"ALTER VIEW {name} ALTER COLUMN kind SET DEFAULT '{kind}'")
    if aside in sa.inspect(connection).get_table_names():
        _copy(connection, kind, sa.table(aside, *(sa.column(key if each == "key" else each) for each in _COLUMNS)))
        op.drop_table(aside)


def _copy(connection: sa.Connection, kind: str, old: sa.TableClause) -> None:
    """Copy the rows that are not there yet, by id.

    Raises `IntegrityError` for a post and a file record with one id or key: no row is passed over.
    """
    after = -(2**63)
    while True:
        batch = sa.select(old.c.id).where(old.c.id > after).order_by(old.c.id).limit(_BATCH).subquery()
        last: int | None = connection.scalar(sa.select(sa.func.max(batch.c.id)))
        if last is None:
            return
        copied = sa.exists().where(_UPLOADS.c.id == old.c.id, _UPLOADS.c.kind == kind)
        rows = sa.select(sa.literal(kind), *old.c).where(old.c.id > after, old.c.id <= last, ~copied)
        connection.execute(sa.insert(_UPLOADS).from_select(["kind", *_COLUMNS], rows))
        after = last
