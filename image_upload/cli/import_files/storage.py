"""The bucket of an import: retry temporary failures, and stop the import after a failure that all files would have.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from image_upload.cli.import_files import Stop
from image_upload.cli.import_files.journal import Row
from image_upload.cli.import_files.tree import ChangedError
from image_upload.errors import CredentialsUnavailable, StorageDenied, StorageUnavailable
from image_upload.limits import IMPORT_FILE_ATTEMPTS
from image_upload.outbound.retry import RETRYABLE_STATUSES
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import S3Failure, map_s3_errors

T = TypeVar("T")

_PAUSE_MAX_S: Final = 60.0
_TELL_EVERY_S: Final = 10.0

# Temporary 4xx codes. NoSuchUpload: a lifecycle rule has aborted the upload; begin a new one.
_PASSING_CODES: Final = frozenset(
    {"RequestTimeout", "BadDigest", "IncompleteBody", "NoSuchUpload", "ConditionalRequestConflict"}
)
_ENDED_CODES: Final = frozenset({"ExpiredToken", "TokenRefreshRequired", "TokenInvalid"})
# All files would get the same answer.
_SAME_FOR_ALL_STATUSES: Final = frozenset({301, 307, 401, 403})
_SAME_FOR_ALL_CODES: Final = frozenset({"NoSuchBucket", "PermanentRedirect", "AuthorizationHeaderMalformed"})


def may_pass(error: BaseException) -> bool:
    """Return whether a retry of the same file may succeed."""
    if isinstance(error, S3Failure):
        passes = error.status is None or error.status in RETRYABLE_STATUSES or error.code in _PASSING_CODES
        return passes or _credentials_ended(error)
    return isinstance(error, ChangedError)


def answer_of(failure: S3Failure) -> str:
    """Return status and code, as far as the answer has them."""
    return f"{failure.status or 'nothing'} {failure.code or ''}".strip()


def _credentials_ended(failure: S3Failure) -> bool:
    """Return whether temporary credentials have ended. A HEAD has no body that could say so, only its 400."""
    return failure.code in _ENDED_CODES or (failure.status == 400 and failure.code is None)


async def in_parallel(rows: Iterator[Row], jobs: int, work: Callable[[Row], Awaitable[None]]) -> None:
    """Do the work for each row, `jobs` at once. Raises the first failure."""

    async def worker() -> None:
        for row in rows:
            await work(row)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(jobs):
                workers.create_task(worker())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


class Storage:
    """The bucket. It is opened again with fresh credentials when those in use expire."""

    def __init__(self, open_bucket: Callable[[], Bucket], say: Callable[[str], None]) -> None:
        self._open = open_bucket
        self._opened = [open_bucket()]
        self._say = say
        self._said_at: float | None = None

    @property
    def bucket(self) -> Bucket:
        """The bucket with the latest credentials."""
        return self._opened[-1]

    async def patiently(self, work: Callable[[Bucket], Awaitable[T]]) -> T:
        """Do the work, with retries after temporary failures. Raises `Stop`, or a failure that is not temporary."""
        renewals = 0
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(may_pass),
            stop=stop_after_attempt(IMPORT_FILE_ATTEMPTS),
            wait=wait_random_exponential(max=_PAUSE_MAX_S),
            before_sleep=self._tell,
            reraise=True,
        ):
            with attempt:
                bucket = self.bucket
                try:
                    return await work(bucket)
                except CredentialsUnavailable as problem:
                    raise Stop(problem.detail) from None
                except S3Failure as failure:
                    if _credentials_ended(failure):
                        renewals += 1
                        await self._renew(bucket, renewals)
                    await _stop_if_same_for_all(failure)
                    raise
        raise AssertionError("tenacity ends with an answer or an error")

    def _tell(self, state: RetryCallState) -> None:
        """Report the failure that a retry waits for, but not for every file."""
        error = state.outcome.exception() if state.outcome is not None else None
        now = time.monotonic()
        if isinstance(error, S3Failure) and (self._said_at is None or now - self._said_at >= _TELL_EVERY_S):
            self._said_at = now
            self._say(f"waiting  S3 answered {answer_of(error)} to {error.operation}; trying again")

    async def _renew(self, used: Bucket, renewals: int) -> None:
        if renewals > 1:
            raise Stop("The AWS credentials have ended, and there are no fresh ones. Get some.")
        if used is self.bucket:  # otherwise another file's task has renewed it
            self._opened.append(await asyncio.to_thread(self._open))

    async def aclose(self) -> None:
        """Close all connections."""
        for bucket in self._opened:
            await bucket.aclose()


async def _stop_if_same_for_all(failure: S3Failure) -> None:
    if failure.status not in _SAME_FOR_ALL_STATUSES and failure.code not in _SAME_FOR_ALL_CODES:
        return
    try:
        async with map_s3_errors():
            raise failure
    except (StorageDenied, StorageUnavailable) as problem:
        advice = problem.detail if isinstance(problem, StorageDenied) else "Check bucket, region and endpoint."
        raise Stop(f"S3 answered {answer_of(failure)} to {failure.operation}. {advice}") from None
