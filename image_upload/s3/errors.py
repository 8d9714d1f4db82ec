"""Failures of S3's API: read its error documents, and map failures to problems.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from image_upload.errors import StorageDenied, StorageTimedOut, StorageUnavailable
from image_upload.limits import CLOCK_SKEW_MAX_S, S3_CALL_EXPIRES_S

# The IAM action of each call that the service makes.
_ACTIONS = {
    "CreateMultipartUpload": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "ListParts": "s3:ListMultipartUploadParts",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "HeadObject": "s3:GetObject and s3:ListBucket",
    "GetObject": "s3:GetObject",
    "GetObjectTagging": "s3:GetObjectTagging",
    "ListObjectsV2": "s3:ListBucket",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "PutObject": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CopyObject": "s3:PutObject",
    "UploadPartCopy": "s3:PutObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
}

# The codes of stores that do not support x-amz-checksum headers (such as Backblaze B2), and the calls with them.
_UNKNOWN_HEADER = frozenset({"InvalidArgument", "NotImplemented"})
_WITH_CHECKSUM = frozenset({"PutObject", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload"})

# As S3 words it: "User: arn:… is not authorized to perform: kms:Decrypt on resource: arn:…".
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html
_DENIED = rb"not authorized to perform: ([a-z0-9-]{1,32}:[A-Za-z]{1,64})\b"

_CODE = rb"<Code>([A-Za-z0-9.]{1,64})</Code>"


class S3Failure(Exception):
    """A call to S3 failed. `status` is None without an answer, `code` if the answer has none.

    `action` is the missing IAM action, if S3 names it. `behind_s`: the seconds that this clock is behind S3's.
    """

    def __init__(
        self,
        operation: str,
        status: int | None,
        code: str | None = None,
        action: str | None = None,
        behind_s: float = 0.0,
    ) -> None:
        super().__init__(f"{operation}: {status} {code}")
        self.operation = operation
        self.status = status
        self.code = code
        self.action = action
        self.behind_s = behind_s

    @property
    def is_missing(self) -> bool:
        """Whether S3 answered that the object, upload or bucket does not exist. A 403 does not say that."""
        return self.status == 404

    @property
    def is_of_the_clock(self) -> bool:
        """Whether S3 refused because of this machine's clock: for S3 the URL has expired, or begins in the future.

        S3's code for an expired URL is AccessDenied, and a HEAD has no code.
        """
        ended_already = self.behind_s > S3_CALL_EXPIRES_S
        begins_later = -self.behind_s > CLOCK_SKEW_MAX_S
        return self.code == "RequestTimeTooSkewed" or (self.action is None and (ended_already or begins_later))


def error_code(document: bytes) -> str | None:
    """Return the Code of S3's XML error document; None if it has none."""
    match = re.search(_CODE, document)
    return match[1].decode() if match else None


def denied_action(document: bytes) -> str | None:
    """Return the missing IAM action that S3's error document names; None if it names none."""
    match = re.search(_DENIED, document)
    return match[1].decode() if match else None


class S3TimedOut(S3Failure):
    """S3 did not answer within the call's time limit. It may have executed the call."""

    def __init__(self, operation: str) -> None:
        super().__init__(operation, None)


def behind_s(date: str | None) -> float:
    """Return the seconds that this clock is behind an answer's Date (RFC 9110 section 6.6.1); 0 without a Date."""
    try:
        moment = parsedate_to_datetime(date or "")
        return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return 0.0


@asynccontextmanager
async def map_s3_errors() -> AsyncIterator[None]:
    """Map an unexpected `S3Failure` to a problem that names the remedy.

    Raises `StorageDenied` with the missing IAM action or the clock's error, `StorageTimedOut`, or `StorageUnavailable`.
    """
    try:
        yield
    except S3TimedOut:
        raise StorageTimedOut("S3 did not answer in time, so it is not known what is stored. Ask again.") from None
    except S3Failure as failure:
        if failure.status == 403 and failure.is_of_the_clock:
            raise StorageDenied(
                "S3 denied {operation}, because the clock of this service is wrong. Its operator sets it right.",
                facts={"operation": failure.operation},
                clock_off_s=-round(failure.behind_s),
                upstream_code=failure.code,
            ) from None
        if failure.status == 403:
            action = failure.action or _ACTIONS[failure.operation]
            raise StorageDenied(
                f"S3 denied {failure.operation}. The service's operator grants {action} to its role.",
                action=action,
                upstream_code=failure.code,
            ) from None
        if failure.status in (400, 501) and failure.code in _UNKNOWN_HEADER and failure.operation in _WITH_CHECKSUM:
            raise StorageUnavailable(
                "The store does not take what {operation} sends; trying again cannot help. If it knows no "
                "x-amz-checksum headers, the service's operator sets S3_CHECKSUMS=md5.",
                facts={"operation": failure.operation},
                upstream_status=failure.status,
                upstream_code=failure.code,
            ) from None
        raise StorageUnavailable(
            "S3 failed at {operation}. Try again in a moment.",
            facts={"operation": failure.operation},
            upstream_status=failure.status,
            upstream_code=failure.code,
        ) from None
