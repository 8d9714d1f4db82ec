"""The database of a local run: an SQLite file that lives as long as the embedded S3 whose objects it speaks of."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from image_upload.records.migrating import migrate
from image_upload.settings import load


@contextlib.contextmanager
def local_database() -> Iterator[dict[str, str]]:
    """A migrated database in a temporary folder; yields the settings that lead to it."""
    with tempfile.TemporaryDirectory(prefix="image-upload-", ignore_cleanup_errors=True) as folder:
        environ = {"DATABASE_URL": f"sqlite:///{Path(folder).as_posix()}/records.sqlite3"}
        migrate(load({"ENVIRONMENT": "local", "S3_BUCKET_NAME": "local-uploads", "AWS_REGION": "us-east-1", **environ}))
        yield environ
