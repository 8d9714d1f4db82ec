"""After the sending: the list of old paths and keys, and removing the files that S3 has."""

import asyncio
import csv
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from image_upload.cli.import_files.journal import Journal, Row
from image_upload.cli.import_files.patience import Storage
from image_upload.cli.import_files.report import Report
from image_upload.cli.import_files.walking import Tree
from image_upload.s3.bucket import Bucket
from image_upload.s3.checksums import Digest, confirms, head
from image_upload.s3.errors import S3Failure


def write_list(file: str, rows: Iterator[Row]) -> int:
    """Write a CSV (RFC 4180) of every file that S3 has, in one step; return its number of rows. Raises `OSError`.

    Cells are data as they are: a spreadsheet that takes `=…` in a file name for a formula is told to import text.
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
        # Its new name has to outlive a crash as well: what it lists may be removed next.
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
    """Remove each file that S3 confirms once more and that is still what was hashed. Raises `Stop`."""

    async def worker() -> None:
        for row in rows:
            await _remove(row, storage, tree, report)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(jobs):
                workers.create_task(worker())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def _remove(row: Row, storage: Storage, tree: Tree, report: Report) -> None:
    known = Digest(row.stat.size_bytes, row.sha256 or "", lambda: row.etag)

    async def confirmed(bucket: Bucket) -> bool:
        found = await head(bucket, row.key)
        return found is not None and await confirms(found, known)

    try:
        if not await storage.patiently(confirmed):
            report.failed(row.path, f"kept here: S3 has no longer what was stored under {row.key}")
        elif await asyncio.to_thread(tree.remove, row.path, row.stat):
            report.removed()
        else:
            report.failed(row.path, "kept here: it has changed since it was sent. Repeat the command")
    except FileNotFoundError:
        return
    except (S3Failure, OSError) as error:
        report.failed(row.path, f"kept here: {error}")


def forget_gone(journal: Journal, tree: Tree, report: Report) -> Iterator[Row]:
    """Files of earlier runs that nobody sends any more; uploads begun for them are the caller's to abort."""
    for row in journal.left_behind():
        yield row
        if not tree.exists(row.path):
            report.failed(row.path, f"it is gone since the last run, before S3 confirmed it. Look for {row.key}")
            journal.forget(row.id)
