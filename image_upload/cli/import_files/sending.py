"""One file to its end: stored and confirmed, refused, or failed with a reason."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from image_upload.cli.import_files import parts
from image_upload.cli.import_files.fitting import Rules, fit
from image_upload.cli.import_files.journal import Journal, Mark, Row
from image_upload.cli.import_files.parts import ForeignObject, Kept
from image_upload.cli.import_files.patience import Stop, Storage, answer_of, passes
from image_upload.cli.import_files.report import Report
from image_upload.cli.import_files.walking import ChangedError, Stat, Tree
from image_upload.errors import Problem
from image_upload.limits import IMPORT_IN_FLIGHT_BYTES, KIB, UPLOAD_PART_BYTES
from image_upload.outbound.budget import ByteBudget
from image_upload.s3.bucket import Bucket
from image_upload.s3.checksums import Stored, confirms, digest_of, head, put
from image_upload.s3.errors import S3Failure
from image_upload.s3.inspection import Inspected, remove

# What a small file costs beside its bytes: a connection, a task, a request.
_OVERHEAD_BYTES = 64 * KIB
_PRECONDITION_FAILED = 412
_FAILURES_LEAST = 4


class _Whole(NamedTuple):
    stat: Stat
    data: bytes | None


class Sender:
    """Sends the files of one import."""

    def __init__(
        self, storage: Storage, tree: Tree, journal: Journal, rules: Rules, report: Report, *, rehearse: bool
    ) -> None:
        self._storage = storage
        self._tree = tree
        self._journal = journal
        self._rules = rules
        self._report = report
        self._rehearse = rehearse
        self._budget = ByteBudget(IMPORT_IN_FLIGHT_BYTES)
        self._failures_in_a_row = 0

    async def send_all(self, rows: Iterator[Row], jobs: int) -> None:
        """Send the rows' files, so many at once. Raises `Stop` when going on makes no sense, `JournalError`."""
        # So many files one after the other, each after all its attempts: it is not the files.
        self._failures_most = max(jobs, _FAILURES_LEAST)

        async def worker() -> None:
            for row in rows:
                await self._send(row)

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(jobs):
                    workers.create_task(worker())
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _send(self, row: Row) -> None:
        """One file; what came of it is in the report and, if S3 has it, in the journal."""
        credit = self._report.file(row.stat.size_bytes)
        try:
            kept, stat = await self._storage.patiently(lambda bucket: self._attempt(bucket, row, credit))
        except Problem as problem:
            await self._settle(row)
            self._report.refused(row.path, problem.detail)
        except (ChangedError, ForeignObject, OSError) as error:
            await self._settle(row)
            self._report.failed(row.path, _reason(error, row))
        except S3Failure as failure:
            if not passes(failure):
                await self._settle(row)
            self._report.failed(row.path, f"S3 answered {answer_of(failure)} to {failure.operation}")
            self._failures_in_a_row += passes(failure)
            if self._failures_in_a_row >= self._failures_most:
                raise Stop("S3 does not take files at the moment.") from None
        else:
            self._failures_in_a_row = 0
            if not self._rehearse:
                self._journal.stored(Mark(row.id, stat, kept.sha256, kept.etag))
            (self._report.already if kept.was_there else self._report.moved)(stat.size_bytes)
        finally:
            credit.close()

    async def _settle(self, row: Row) -> None:
        """The file will not be gone on with: nothing of it may stay open in S3."""
        if not self._rehearse:
            journal = self._journal
            await self._storage.patiently(lambda bucket: parts.give_up(bucket, journal.row(row.id), journal))

    async def _attempt(self, bucket: Bucket, row: Row, credit: Callable[[int], None]) -> tuple[Kept, Stat]:
        taken = await self._budget.take(min(row.stat.size_bytes, UPLOAD_PART_BYTES) + _OVERHEAD_BYTES)
        try:
            whole = await asyncio.to_thread(self._read, row.path)
            approved = fit(self._rules, row.path, whole.stat.size_bytes)  # it may have grown since it was found
            headers = approved.headers | bucket.storage_headers(row.key)
            if whole.data is not None:
                return await self._whole(bucket, row, headers, whole.data), whole.stat
        finally:
            self._budget.give_back(taken)
        return await self._in_parts(bucket, row, headers, credit)

    def _read(self, path: bytes) -> _Whole:
        """Return the file if it is short enough to go at once. Raises `ChangedError`, `OSError`."""
        with self._tree.open(path) as file:
            if file.stat.size_bytes > UPLOAD_PART_BYTES:
                return _Whole(file.stat, None)
            data = file.read(0, file.stat.size_bytes)
            file.check()
            return _Whole(file.stat, data)

    async def _in_parts(
        self, bucket: Bucket, row: Row, headers: Mapping[str, str], credit: Callable[[int], None]
    ) -> tuple[Kept, Stat]:
        with await asyncio.to_thread(self._tree.open, row.path) as file:
            if self._rehearse:
                digest = await parts.digest_of_file(file, with_etag=False, progress=credit)
                return Kept(digest.sha256, "", was_there=False), file.stat
            kept = await parts.store(
                bucket,
                self._journal.row(row.id),
                file,
                headers,
                journal=self._journal,
                budget=self._budget,
                is_ours=self._is_ours,
                progress=credit,
            )
            return kept, file.stat

    async def _whole(self, bucket: Bucket, row: Row, headers: Mapping[str, str], data: bytes) -> Kept:
        digest = await asyncio.to_thread(digest_of, data)
        if self._rehearse:
            return Kept(digest.sha256, "", was_there=False)
        try:
            stored = await put(bucket, row.key, data, digest, headers, overwrite=False)
        except S3Failure as failure:
            if failure.status != _PRECONDITION_FAILED:
                raise
            found = await head(bucket, row.key)
            if found is not None and await confirms(found, digest):
                return Kept(digest.sha256, found.etag, was_there=True)
            if found is not None and not self._is_ours(row, found):
                raise ForeignObject from None
            stored = await put(bucket, row.key, data, digest, headers, overwrite=True)
        if not await confirms(stored, digest):
            # An ETag alone says nothing where S3 encrypts with KMS. A HEAD knows more, or nobody does.
            found = await head(bucket, row.key)
            if found is None or not await confirms(found, digest):
                await remove(bucket, Inspected(row.key, len(data), "", f'"{stored.etag}"', None))
                raise S3Failure("PutObject", None, "BadDigest")
        return Kept(digest.sha256, stored.etag, was_there=False)

    def _is_ours(self, row: Row, found: Stored) -> bool:
        """Return whether this import stored the object. A random key proves it; a path as key may belong to another."""
        return self._rules.prefix is None or (row.etag is not None and row.etag == found.etag)


def _reason(error: Exception, row: Row) -> str:
    if isinstance(error, ForeignObject):
        return f"another object is already there under {row.key}. Compare the two, remove one, repeat the command"
    if isinstance(error, ChangedError):
        return "it changes while it is read. Repeat the command when nobody writes to it"
    if isinstance(error, FileNotFoundError):
        return "it is gone"
    return f"it cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
