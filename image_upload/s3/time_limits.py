"""How long the service waits for a call of its own to S3."""

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
    """Seconds. On Lambda none of them reaches past the invocation (`deadline.at_most`).

    `connect_s` is for the connection, `idle_s` for each piece of body or answer, both of one attempt. `head_s` is for
    the answer to begin, all attempts and their pauses together; `whole_s`, counted from there, for its end. None: no
    bound but the others.
    """

    connect_s: float
    idle_s: float
    head_s: float | None
    whole_s: float | None = None


# What carries no file: begin, list, look, abort, delete. The answer's end is part of the same time.
CONTROL: Final = TimeLimit(S3_ATTEMPT_TIMEOUT_S, S3_ATTEMPT_TIMEOUT_S, S3_ANSWER_TIMEOUT_S)

# CompleteMultipartUpload: S3 begins its answer at once, and sends white space while it works, up to some minutes. A
# store that is silent while it works has less time; completing again then finds the object.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
COMPLETE: Final = TimeLimit(S3_ATTEMPT_TIMEOUT_S, S3_COMPLETE_IDLE_S, S3_ANSWER_TIMEOUT_S, S3_COMPLETE_TIMEOUT_S)

# The same where the service has sent all the parts itself: much would be lost with a store that is slow to begin.
COMPLETE_OWN: Final = COMPLETE._replace(idle_s=UPSTREAM_IDLE_S, head_s=UPSTREAM_IDLE_S)

# What carries a part of a file. A slow line may take as long as it likes, as long as it takes something.
DATA: Final = TimeLimit(CONNECT_TIMEOUT_S, UPSTREAM_IDLE_S, None)

# What brings a part of a file, for which a client waits.
READ: Final = TimeLimit(S3_ATTEMPT_TIMEOUT_S, S3_ATTEMPT_TIMEOUT_S, None)
