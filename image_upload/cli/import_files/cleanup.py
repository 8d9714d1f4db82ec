"""After sending: write the list of old paths and keys, and remove the files that S3 has."""

import asyncio
import csv
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from image_upload.cli.import_files.journal import Row
from image_upload.cli.import_files.report import Report
from image_upload.cli.import_files.storage import Storage, in_parallel
from image_upload.cli.import_files.tree import Tree
from image_upload.s3 import objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.checksums import Digest, confirms
from image_upload.s3.errors import S3Failure


def write_list(file: str, rows: Iterator[Row]) -> int:
    """Write a CSV (RFC 4180) of every file that S3 has, in one step; return its number of rows. Raises `OSError`.

    Cells are unescaped data: import them as text, or a spreadsheet may read `=…` in a file name as a formula.
    """
    count = 0
    target = Path(file)
    fd, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    partial = Path(name)
    try:
        with os.fdopen(fd, "w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["path", "key", "bytes", "sha256"])
            for count, row in enumerate(rows, 1):  # noqa: B007  counted on purpose
                writer.writerow([row.path.decode(), row.key, row.stat.size_bytes, row.sha256])
            out.flush()
            os.fsync(fd)
        partial.replace(target)
        # Its new name must survive a crash, because the listed files may be removed next.
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return count


async def remove_files(rows: Iterator[Row], jobs: int, storage: Storage, tree: Tree, report: Report) -> None:
    """Remove each file that S3 confirms once more and that has not changed since it was hashed. Raises `Stop`."""
    await in_parallel(rows, jobs, lambda row: _remove(row, storage, tree, report))


async def _remove(row: Row, storage: Storage, tree: Tree, report: Report) -> None:
    known = Digest(row.stat.size_bytes, row.sha256 or "", lambda: row.etag)

    async def confirmed(bucket: Bucket) -> bool:
        found = await objects.head(bucket, row.key, checksums=True)
        return found is not None and await confirms(found, known)

    try:
        if not await storage.patiently(confirmed):
            report.not_moved("failed", row.path, f"kept here: S3 has no longer what was stored under {row.key}")
        elif await asyncio.to_thread(tree.remove, row.path, row.stat):
            report.removed()
        else:
            report.not_moved("failed", row.path, "kept here: it has changed since it was sent. Repeat the command")
    except FileNotFoundError:
        return
    except (S3Failure, OSError) as error:
        report.not_moved("failed", row.path, f"kept here: {error}")
