"""Imports from a URL: their source, their time, and how many run at once."""

from typing import Final

from image_upload.limits.storage import MIB

# --- Imports from a URL ---------------------------------------------------------------------------

SOURCE_URL_MAX_CHARS: Final = 8_192
"""Above: 422 `validation-failed`.

our own choice; presigned URLs with a session token have about 1,400
"""
SOURCE_REDIRECTS_MAX: Final = 5
"""More redirects in a row: 400 `source-refused`. Each address is checked like the first.

our own choice; five is the limit of RFC 2068, browsers follow 20
"""
SOURCE_HEAD_S: Final = 20.0
"""Longest time for all connections, redirects and heads of answers in front of the first byte. Above: 504
`source-timed-out`."""
SOURCE_IDLE_S: Final = 30.0
"""The source sends nothing for so long: 504 `source-timed-out`."""
SOURCE_MIN_BYTES_PER_S: Final = 1_024
"""The least average rate, once the source was waited for longer than `SOURCE_IDLE_S`. Below: 504 `source-timed-out`."""
FROM_URL_WAIT_S: Final = 15.0
"""A request waits so long for its file, unless it says `wait`. Then it answers 202 and the import goes on as a job."""
FROM_URL_WAIT_MAX_S: Final = 60.0
"""The largest `wait`.

our own choice; proxies give up after 60 s
"""
FROM_URL_MAX_S: Final = 21_600.0
"""Longest time for one import: 6 hours. On Lambda it also ends in front of the function's own deadline."""
FROM_URL_LAMBDA_MARGIN_S: Final = 6.0
"""An import on Lambda ends so long before the invocation, to remove what is half stored and to write its job."""
FROM_URL_LAMBDA_NOW_BYTES: Final = 32 * MIB
"""On Lambda a longer source, or one that may be longer, is imported by another invocation of the function.

our own choice; a second or two in the region
"""
FROM_URL_AT_ONCE: Final = 32
"""Imports that one process runs at once. Above: 503 `too-many-uploads`. They share `BUFFER_BYTES` with forms."""
FROM_URL_AT_ONCE_PER_USER: Final = 4
"""Imports of one user that one process runs at once; all anonymous users are one. Above: 503 `too-many-uploads`."""
FROM_URL_ENDING_S: Final = 3.0
"""An ending process waits so long for its imports; what is left then has failed, as `interrupted`."""
INVOKE_TIMEOUT_S: Final = 10.0
"""Lambda does not take an asynchronous invocation within this: 503 `job-not-started`."""
