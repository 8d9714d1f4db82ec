"""Send one file until it is stored and confirmed, refused, or failed with a reason.

A file is always read from begin to end. Parts that S3 has already, byte for byte, are not sent again.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from image_upload.cli.import_files import Stop
from image_upload.cli.import_files.inspection import true_type
from image_upload.cli.import_files.journal import Journal, Row
from image_upload.cli.import_files.report import Progress, Report
from image_upload.cli.import_files.rules import Rules, fit
from image_upload.cli.import_files.storage import Storage, answer_of, in_parallel, may_pass
from image_upload.cli.import_files.tree import ChangedError, OpenFile, Stat, Tree
from image_upload.errors import Problem
from image_upload.limits import IMPORT_IN_FLIGHT_BYTES, UPLOAD_PART_BYTES
from image_upload.outbound.budget import ByteBudget
from image_upload.s3 import multipart, objects, time_limits, transfer
from image_upload.s3.bucket import Bucket
from image_upload.s3.checksums import Digest, confirms, digest_of, digest_of_parts
from image_upload.s3.errors import S3Failure
from image_upload.s3.multipart import UploadPart
from image_upload.s3.objects import StoredObject
from image_upload.s3.part_reader import FileSource, PartReader
from image_upload.settings.verification import VerificationSettings

_FAILURES_LEAST: Final = 4
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_NO_OVERWRITE: Final = {"If-None-Match": "*"}


class Stored(NamedTuple):
    """A file that S3 has. `etag` is without quotes. `was_there`: S3 had it before this run."""

    stat: Stat
    sha256: str
    etag: str
    was_there: bool


class ForeignObject(Exception):
    """The key has an object that this import did not store."""


class Sender:
    """Send the files of one import. With `verify` only those that verification would let pass."""

    def __init__(
        self,
        storage: Storage,
        tree: Tree,
        journal: Journal,
        rules: Rules,
        report: Report,
        *,
        rehearse: bool,
        verify: VerificationSettings | None,
    ) -> None:
        self._storage = storage
        self._tree = tree
        self._journal = journal
        self._rules = rules
        self._report = report
        self._rehearse = rehearse
        self._verify = verify
        self._budget = ByteBudget(IMPORT_IN_FLIGHT_BYTES)
        self._failures_in_a_row = 0

    async def send_all(self, rows: Iterator[Row], jobs: int) -> None:
        """Send the rows' files, `jobs` at once. Raises `Stop` if all further files would fail too."""
        # After so many failed files in a row, each after all its attempts, the files are not the reason.
        self._failures_most = max(jobs, _FAILURES_LEAST)
        await in_parallel(rows, jobs, self._send)

    async def settle_left_behind(self) -> None:
        """Abort open uploads of files that earlier runs began and this one does not send. Raises `Stop`."""
        for row in self._journal.rows("left behind"):
            await self._settle(row)
            try:
                self._tree.open(row.path).raw.close()
            except (FileNotFoundError, NotADirectoryError):
                gone = f"it is gone since the last run, before S3 confirmed it. Look for {row.key}"
                self._report.not_moved("failed", row.path, gone)
                self._journal.forget(row.id)
            except (OSError, ChangedError):
                pass  # something is there

    async def _send(self, row: Row) -> None:
        """Send one file; its end is in the report and, if S3 has it, in the journal."""
        progress = self._report.progress(row.stat.size_bytes)
        try:
            stored = await self._storage.patiently(lambda bucket: self._attempt(bucket, row, progress))
        except Problem as problem:
            await self._settle(row)
            self._report.not_moved("refused", row.path, problem.detail)
        except (ChangedError, ForeignObject, OSError) as error:
            await self._settle(row)
            self._report.not_moved("failed", row.path, _reason(error, row))
        except S3Failure as failure:
            if not may_pass(failure):
                await self._settle(row)
            self._report.not_moved("failed", row.path, f"S3 answered {answer_of(failure)} to {failure.operation}")
            self._failures_in_a_row += may_pass(failure)
            if self._failures_in_a_row >= self._failures_most:
                raise Stop("S3 does not take files at the moment.") from None
        else:
            self._failures_in_a_row = 0
            if not self._rehearse:
                self._journal.stored(row.id, stored.stat, stored.sha256, stored.etag)
            self._report.stored(stored.stat.size_bytes, was_there=stored.was_there)
        finally:
            progress.close()

    async def _settle(self, row: Row) -> None:
        """Leave nothing of a file open in S3 that is given up."""
        if not self._rehearse:
            journal = self._journal
            await self._storage.patiently(lambda bucket: give_up(bucket, journal.row(row.id), journal))

    async def _attempt(self, bucket: Bucket, row: Row, progress: Progress) -> Stored:
        async with self._opened(row.path) as file:
            approved = fit(self._rules, row.path, file.stat.size_bytes)  # it may have grown since it was found
            headers = approved.headers | bucket.storage_headers(row.key)
            if self._verify is not None:
                declared = headers["Content-Type"]
                headers["Content-Type"] = await true_type(file, declared, self._rules.purpose, self._verify)
            if self._rehearse:
                return _stored(file, await self._digest(file, progress=progress), "")
            if file.stat.size_bytes <= UPLOAD_PART_BYTES:
                return await self._put(bucket, row, file, headers)
            return await self._send_parts(bucket, self._journal.row(row.id), file, headers, progress)

    @asynccontextmanager
    async def _opened(self, path: bytes) -> AsyncIterator[OpenFile]:
        opening = asyncio.get_running_loop().run_in_executor(None, self._tree.open, path)
        try:
            yield await asyncio.shield(opening)
        finally:
            # Also close a file that the thread opens after this task was cancelled.
            opening.add_done_callback(_close)

    async def _put(self, bucket: Bucket, row: Row, file: OpenFile, headers: Mapping[str, str]) -> Stored:
        part = await self._parts(file).next()
        if part is None:
            raise ChangedError
        try:
            file.check()
            digest = await digest_of(part.data)
            try:
                sent = await transfer.put(bucket, row.key, part.data, digest, {**headers, **_NO_OVERWRITE})
            except S3Failure as failure:
                if failure.status != 412:
                    raise
                found = await objects.head(bucket, row.key, checksums=True)
                if found is not None and await confirms(found, digest):
                    return _stored(file, digest, found.etag, was_there=True)
                self._check_ours(row, found)
                sent = await transfer.put(bucket, row.key, part.data, digest, headers)
            if not await confirms(sent, digest):
                # With KMS encryption the ETag proves nothing. A HEAD may return a checksum.
                found = await objects.head(bucket, row.key, checksums=True)
                if found is None or not await confirms(found, digest):
                    await objects.delete(bucket, row.key, etag=sent.etag)
                    raise S3Failure("PutObject", None, "BadDigest")
            return _stored(file, digest, sent.etag)
        finally:
            part.free()

    async def _send_parts(
        self, bucket: Bucket, row: Row, file: OpenFile, headers: Mapping[str, str], progress: Progress
    ) -> Stored:
        """Send a file in parts. If this raises, the upload stays open, to continue it or to abort it by `give_up`."""
        upload_id, there = row.upload_id, await _parts_there(bucket, row)
        conditions = _NO_OVERWRITE
        if upload_id is None or there is None:
            found = await objects.head(bucket, row.key, checksums=True)
            if found is not None:
                digest = await self._digest(file, with_etags=found.sha256 is None)
                if await confirms(found, digest):
                    return _stored(file, digest, found.etag, was_there=True)
                self._check_ours(row, found)
                conditions = {}
            upload_id = await self._begin(bucket, row, headers)
        parts = self._parts(file)
        sent = await transfer.send_parts(
            bucket, row.key, upload_id, parts, there=there, must_confirm=True, progress=progress
        )
        file.check()
        digest = digest_of_parts(file.stat.size_bytes, sent)
        failed = S3Failure("CompleteMultipartUpload", None, "BadDigest")
        try:
            await multipart.complete(bucket, row.key, upload_id, sent, conditions, limit=time_limits.COMPLETE_OWN)
        except S3Failure as failure:  # the upload may be complete all the same, so look at the object
            failed = failure
        stored = await objects.head(bucket, row.key, checksums=True)
        if stored is None or not await confirms(stored, digest):
            raise failed
        return _stored(file, digest, stored.etag)

    async def _begin(self, bucket: Bucket, row: Row, headers: Mapping[str, str]) -> str:
        await give_up(bucket, row, self._journal)
        # Before the call to S3, so that a kill in between leaves no upload that is not in the journal.
        self._journal.begun(row.id, None)
        upload_id = await multipart.create(bucket, row.key, headers, with_sha256=True)
        self._journal.begun(row.id, upload_id)
        return upload_id

    def _parts(self, file: OpenFile) -> PartReader:
        size = file.stat.size_bytes
        length = multipart.part_length(size, UPLOAD_PART_BYTES)
        return PartReader(FileSource(file.raw, size), length, self._budget, size)

    async def _digest(self, file: OpenFile, *, with_etags: bool = False, progress: Progress | None = None) -> Digest:
        """Return the digest that the object would have in parts, without sending anything."""
        reader = self._parts(file)
        parts: list[UploadPart] = []
        while (part := await reader.next()) is not None:
            try:
                digest = await digest_of(part.data)
                etag = await asyncio.to_thread(digest.etag) if with_etags else None
                parts.append(UploadPart(len(parts) + 1, etag or "", len(part.data), digest.sha256))
            finally:
                part.free()
            if progress is not None:
                progress(digest.size_bytes)
        file.check()
        return digest_of_parts(file.stat.size_bytes, parts)

    def _check_ours(self, row: Row, found: StoredObject | None) -> None:
        """Raise `ForeignObject` unless this import stored the object: no other program knows a random key."""
        if found is not None and self._rules.prefix is not None and row.etag != found.etag.strip('"'):
            raise ForeignObject


def _close(opening: asyncio.Future[OpenFile]) -> None:
    if opening.exception() is None:
        opening.result().raw.close()


def _stored(file: OpenFile, digest: Digest, etag: str, *, was_there: bool = False) -> Stored:
    return Stored(file.stat, digest.sha256, etag.strip('"'), was_there)


async def _parts_there(bucket: Bucket, row: Row) -> dict[int, UploadPart] | None:
    """Return the parts of the open upload by number; None if none is open."""
    if row.upload_id is None:
        return None
    try:
        return {part.number: part for part in await multipart.list_parts(bucket, row.key, row.upload_id)}
    except S3Failure as failure:
        if failure.is_missing and failure.code != "NoSuchBucket":
            return None  # completed, or aborted by a lifecycle rule
        raise


async def give_up(bucket: Bucket, row: Row, journal: Journal) -> None:
    """Abort the upload that this import has begun for a file. Raises `S3Failure`."""
    if not row.begun:
        return
    upload_ids = [row.upload_id] if row.upload_id else await multipart.list_uploads(bucket, row.key)
    await multipart.abort_each(bucket, row.key, upload_ids)
    journal.ended(row.id)


def _reason(error: ChangedError | ForeignObject | OSError, row: Row) -> str:
    if isinstance(error, ForeignObject):
        return f"another object is already there under {row.key}. Compare the two, remove one, repeat the command"
    if isinstance(error, ChangedError):
        return "it changes while it is read. Repeat the command when no program writes to it"
    if isinstance(error, FileNotFoundError):
        return "it is gone"
    return f"it cannot be read: {error.strerror}"
