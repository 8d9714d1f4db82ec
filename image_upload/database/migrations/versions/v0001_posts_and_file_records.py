"""Posts and file records."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Two tables of the same form; each is one statement, see `tables.py`."""
    _create("posts", "image_key")
    _create("file_records", "s3_key")


def _create(name: str, key: str) -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        name,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column(key, sa.String(1024), nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("promised_size", sa.BigInteger),
        sa.Column("promised_sha256", sa.String(44)),
        sa.Column("ends_at", moment, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("fault", sa.String(8)),
        sa.Column("size", sa.BigInteger),
        sa.Column("etag", sa.Text),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("updated_at", moment, nullable=False),
        sa.Column("stored_at", moment),
        sa.Column("swept_at", moment),
        sa.CheckConstraint("state IN ('pending', 'stored', 'rejected', 'expired')", name="state"),
        sa.CheckConstraint("(state = 'stored') = (stored_at IS NOT NULL)", name="stored_at"),
        sa.CheckConstraint("state <> 'stored' OR (size IS NOT NULL AND etag IS NOT NULL)", name="stored_size"),
        sa.CheckConstraint("(state = 'rejected') = (fault IS NOT NULL)", name="fault"),
        sa.CheckConstraint("fault IN ('size', 'type', 'checksum')", name="fault_name"),
        sa.CheckConstraint("promised_size >= 1", name="promised_size"),
        sa.CheckConstraint("size >= 0", name="size"),
        sa.CheckConstraint("length(promised_sha256) = 44", name="promised_sha256"),
        sa.CheckConstraint(f"{key} <> ''", name=key),
        sa.CheckConstraint("user_id <> ''", name="user_id"),
        sa.UniqueConstraint(key),
        sa.UniqueConstraint("state", "ends_at", "id"),
    )
