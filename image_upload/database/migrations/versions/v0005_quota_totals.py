"""The files that count in the totals of users."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """One table in one statement; see `tables.py`."""
    op.create_table(
        "quota_files",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(1024), nullable=False),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stored", sa.Boolean, nullable=False),
        sa.Column("kept_until", sa.DateTime(timezone=True)),
        sa.CheckConstraint("size >= 0", name="size"),
        sa.CheckConstraint("key <> ''", name="key"),
        sa.CheckConstraint("stored OR kept_until IS NULL", name="kept_until"),
        sa.UniqueConstraint("key"),
        sa.UniqueConstraint("owner", "stored", "ends_at", "id"),
        if_not_exists=True,
    )
