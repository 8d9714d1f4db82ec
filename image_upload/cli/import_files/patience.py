"""What may pass is tried again, what will not stops the import: one file's failure is not everybody's.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from image_upload.cli.import_files.walking import ChangedError
from image_upload.errors import CredentialsUnavailable, StorageDenied, StorageUnavailable
from image_upload.limits import IMPORT_FILE_ATTEMPTS
from image_upload.outbound.retry import RETRYABLE_STATUSES
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import S3Failure, map_s3_errors

T = TypeVar("T")

PAUSE_MAX_S = 60.0
_TELL_EVERY_S = 10.0

# 4xx that the next attempt may not see again. NoSuchUpload: somebody's lifecycle rule has aborted it; begin anew.
_PASSING_CODES = frozenset(
    {"RequestTimeout", "BadDigest", "IncompleteBody", "NoSuchUpload", "ConditionalRequestConflict"}
)
_ENDED_CODES = frozenset({"ExpiredToken", "TokenRefreshRequired", "TokenInvalid"})
# Every file would get the same answer.
_SAME_FOR_ALL_STATUSES = frozenset({301, 307, 401, 403})
_SAME_FOR_ALL_CODES = frozenset({"NoSuchBucket", "PermanentRedirect", "AuthorizationHeaderMalformed"})


class Stop(Exception):
    """The import cannot go on. The message says why and what to do."""


def passes(error: BaseException) -> bool:
    """Return whether the same file may go well the next time."""
    if isinstance(error, S3Failure):
        status_passes = error.status is None or error.status in RETRYABLE_STATUSES
        return status_passes or error.code in _PASSING_CODES or credentials_ended(error)
    return isinstance(error, ChangedError)


def answer_of(failure: S3Failure) -> str:
    """Status and code, as far as there are any."""
    return f"{failure.status or 'nothing'} {failure.code or ''}".strip()


def credentials_ended(failure: S3Failure) -> bool:
    """Temporary credentials are over. A HEAD has no body that could say so, only its 400."""
    return failure.code in _ENDED_CODES or (failure.status == 400 and failure.code is None)


class Storage:
    """The bucket, opened anew with fresh credentials when those in use have ended."""

    def __init__(self, open_bucket: Callable[[], Bucket], say: Callable[[str], None]) -> None:
        self._open = open_bucket
        self._opened = [open_bucket()]
        self._say = say
        self._said: float | None = None

    @property
    def bucket(self) -> Bucket:
        """The bucket with the latest credentials."""
        return self._opened[-1]

    async def patiently(self, work: Callable[[Bucket], Awaitable[T]]) -> T:
        """Do the work, again while its failures may pass. Raises `Stop`, or what does not pass."""
        renewals = 0
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(passes),
            stop=stop_after_attempt(IMPORT_FILE_ATTEMPTS),
            wait=wait_random_exponential(max=PAUSE_MAX_S),
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
                    if credentials_ended(failure):
                        renewals += 1
                        await self._renew(bucket, renewals)
                    await _stop_if_same_for_all(failure)
                    raise
        raise AssertionError("tenacity ends with an answer or an error")

    def _tell(self, state: RetryCallState) -> None:
        """Whoever waits wants to know what for, but not of every file."""
        error = state.outcome.exception() if state.outcome is not None else None
        now = time.monotonic()
        if isinstance(error, S3Failure) and (self._said is None or now - self._said >= _TELL_EVERY_S):
            self._said = now
            self._say(f"waiting  S3 answered {answer_of(error)} to {error.operation}; trying again")

    async def _renew(self, used: Bucket, renewals: int) -> None:
        if renewals > 1:
            raise Stop("The AWS credentials have ended, and there are no fresh ones. Get some.")
        if used is self.bucket:  # else another file has seen to it
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
