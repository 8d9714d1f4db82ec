"""What S3 answered when it did not answer well.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from image_upload.errors import StorageDenied, StorageTimedOut, StorageUnavailable
from image_upload.limits import CLOCK_SKEW_MAX_S, S3_CALL_EXPIRES_S

# What the service's role must be allowed for each call it makes.
_ACTIONS = {
    "CreateMultipartUpload": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "ListParts": "s3:ListMultipartUploadParts",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "HeadObject": "s3:GetObject and s3:ListBucket",
    "GetObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "DeleteObject": "s3:DeleteObject",
    "PutObject": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
}

# What stores say that know no x-amz-checksum headers (Backblaze B2 the first), and of which calls.
_UNKNOWN_HEADER = frozenset({"InvalidArgument", "NotImplemented"})
_WITH_CHECKSUM = frozenset({"PutObject", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload"})

# As S3 words it: "User: arn:… is not authorized to perform: kms:Decrypt on resource: arn:…".
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html
_DENIED = re.compile(rb"not authorized to perform: ([a-z0-9-]{1,32}:[A-Za-z]{1,64})\b")

_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")


class S3Failure(Exception):
    """A call to S3 failed. `status` None: no answer came; `code` None: the answer named none.

    `action` is the IAM action that S3 says is missing, where it says so. `behind_s`: our clock's lag behind S3's.
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
        """S3 says that there is no such thing. A 403 never says that."""
        return self.status == 404

    @property
    def is_of_the_clock(self) -> bool:
        """S3 refused because our clock is wrong: a URL of ours has ended for S3 already, or begins too far ahead.

        S3 calls that AccessDenied, too, and says nothing at all to HEAD.
        """
        ended_already = self.behind_s > S3_CALL_EXPIRES_S
        begins_later = -self.behind_s > CLOCK_SKEW_MAX_S
        return self.code == "RequestTimeTooSkewed" or (self.action is None and (ended_already or begins_later))


def error_code(document: bytes) -> str | None:
    """Return the Code of S3's XML error document, None if there is none."""
    match = _CODE.search(document)
    return match[1].decode() if match else None


def denied_action(document: bytes) -> str | None:
    """Return the IAM action that S3's error document says is missing, None if it says none."""
    match = _DENIED.search(document)
    return match[1].decode() if match else None


class S3TimedOut(S3Failure):
    """S3 did not answer within the call's time limit. What was asked for may have been done."""

    def __init__(self, operation: str) -> None:
        super().__init__(operation, None)


def behind_s(date: str | None) -> float:
    """Return how far our clock is behind the one of an answer's Date (RFC 9110 section 6.6.1); 0 if it says nothing."""
    try:
        moment = parsedate_to_datetime(date or "")
        return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return 0.0


@asynccontextmanager
async def map_s3_errors() -> AsyncIterator[None]:
    """A failure of S3 that nobody expected, as a problem that says who can mend it.

    Raises `StorageDenied` with the IAM action that is missing or the error of our clock, `StorageTimedOut`, or
    `StorageUnavailable`.
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
