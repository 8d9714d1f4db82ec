"""Tasks for workers: their messages, and what a worker may answer."""

from typing import Final

# --- Workers --------------------------------------------------------------------------------------

QUEUE_TIMEOUT_S: Final = 5.0
"""SQS or Redis does not take a message within this: 503 `queue-unavailable`, or the sweep sends it again."""
QUEUE_BATCH: Final = 10
"""Tasks of arrivals that are queued at once."""
QUEUE_ANSWER_MAX_BYTES: Final = 64 * 1024
"""A longer answer of SQS is not read: the attempt has failed."""
STREAM_MAX_MESSAGES: Final = 100_000
"""Above, Redis removes the oldest messages of the stream, also unread ones: about 100 MB.

our own choice; without a bound a stream without workers fills the Redis
"""
TASK_URL_EXPIRES_S: Final = 43_200
"""A message's presigned GET is valid for so long: 12 hours, less if the service's credentials end before. A CDN's URL
has no end."""
TASK_STARTS_DAYS: Final = 6
"""The task of a purpose starts for files that arrived less than so many days ago. A day less than jobs are kept, so
that no file's task starts again."""
JOB_RESULT_MAX_BYTES: Final = 8 * 1024
"""A worker's `result` as JSON. Above: 422 `validation-failed`. Store what is longer, and return where it is.

our own choice; an event of 20 kB holds it
"""
JOB_ERROR_MAX_CHARS: Final = 1_000
"""A worker's `error`. Above: 422 `validation-failed`."""
JOB_WRITE_ATTEMPTS: Final = 5
"""A result that meets another write of its job is written again, so often."""
