"""What users hold of their quotas."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Two tables, each in one statement; see `tables.py`."""
    op.create_table(
        "quota_usage",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("owner", sa.String(32), primary_key=True),
        sa.Column("held_bytes", sa.BigInteger, nullable=False),
        sa.Column("held_files", sa.BigInteger, nullable=False),
        sa.CheckConstraint("held_bytes >= 0", name="held_bytes"),
        sa.CheckConstraint("held_files >= 0", name="held_files"),
        if_not_exists=True,
    )
    op.create_table(
        "quota_reservations",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(1024), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("size >= 0", name="size"),
        sa.CheckConstraint("key <> ''", name="key"),
        sa.UniqueConstraint("key"),
        sa.UniqueConstraint("owner", "ends_at", "id"),
        if_not_exists=True,
    )
