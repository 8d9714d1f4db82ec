"""Timeouts of the service's own calls to S3."""

from typing import Final, NamedTuple

from image_upload.limits import (
    CONNECT_TIMEOUT_S,
    S3_ANSWER_TIMEOUT_S,
    S3_ATTEMPT_TIMEOUT_S,
    S3_COMPLETE_IDLE_S,
    S3_COMPLETE_TIMEOUT_S,
    UPSTREAM_IDLE_S,
)


class TimeLimit(NamedTuple):
    """Timeouts in seconds. On Lambda none exceeds the invocation (`deadline.at_most`).

    `connect_s` is for the connection, `idle_s` for each piece of body or answer, both of one attempt. `head_s` is for
    the begin of the answer, with all attempts and pauses; `whole_s`, counted from there, for its end. None: only the
    others apply.
    """

    connect_s: float
    idle_s: float
    head_s: float | None
    whole_s: float | None = None


# Calls without a file: create, list, head, abort, delete. `head_s` includes the end of the answer.
CONTROL: Final = TimeLimit(S3_ATTEMPT_TIMEOUT_S, S3_ATTEMPT_TIMEOUT_S, S3_ANSWER_TIMEOUT_S)

# CompleteMultipartUpload: S3 begins its answer at once, and sends white space while it works, for some minutes at most.
# A store that sends nothing while it works has less time; a second call then finds the object.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
COMPLETE: Final = TimeLimit(S3_ATTEMPT_TIMEOUT_S, S3_COMPLETE_IDLE_S, S3_ANSWER_TIMEOUT_S, S3_COMPLETE_TIMEOUT_S)

# The same for parts that the service has sent itself. It waits longer, because a retry would send all parts again.
COMPLETE_OWN: Final = COMPLETE._replace(idle_s=UPSTREAM_IDLE_S, head_s=UPSTREAM_IDLE_S)

# Calls that send a part of a file. They have no total limit while bytes move.
DATA: Final = TimeLimit(CONNECT_TIMEOUT_S, UPSTREAM_IDLE_S, None)

# Calls that read a part of a file, for which a client waits.
READ: Final = TimeLimit(S3_ATTEMPT_TIMEOUT_S, S3_ATTEMPT_TIMEOUT_S, None)
