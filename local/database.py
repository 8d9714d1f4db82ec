"""The database of a local run: an SQLite file."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from image_upload.database.migration import migrate
from image_upload.settings import load_section
from image_upload.settings.database import DatabaseSettings


def migrated(path: Path) -> dict[str, str]:
    """Create or migrate the database in a file; return the settings for it."""
    environ = {"DATABASE_URL": f"sqlite:///{path.absolute().as_posix()}"}
    migrate(
        load_section(DatabaseSettings, {"ENVIRONMENT": "local", "AWS_REGION": "us-east-1", **environ}, serving=False)
    )
    return environ


@contextlib.contextmanager
def local_database() -> Iterator[dict[str, str]]:
    """Yield the settings for a migrated database in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="image-upload-", ignore_cleanup_errors=True) as folder:
        yield migrated(Path(folder) / "records.sqlite3")
