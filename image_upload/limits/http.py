"""HTTP: bodies, heads and forms that arrive, requests to the outside, connections; and what Lambda makes of them."""

from typing import Final

from image_upload.limits.units import KIB, MIB

# --- Bodies and names -----------------------------------------------------------------------------

JSON_BODY_MAX_BYTES: Final = 1 * MIB
"""Above: 413 `body-too-large`."""
JSON_BRACKETS_MAX: Final = 50_000
"""Lists and objects that a JSON body opens, brackets in texts included. Above: 422 `validation-failed`, before it is
parsed: each takes the parser a hundred times as long as a letter does.

our own choice; the longest list of ours has 10,000 members
"""
MEMBERS_MAX: Final = 1_024
"""Members of `metadata`. Above: 422 `validation-failed`, and none is looked at.

our own choice; more never fit into `S3_METADATA_MAX_BYTES`
"""
ACCEPTS_MAX: Final = 16
"""Members of `accepts`. Above: 422 `validation-failed`.

our own choice; there are four strategies
"""
ACCEPT_LANGUAGE_MAX_BYTES: Final = 512
"""A longer `Accept-Language` is not read; the answer is in English.

our own choice; browsers send below 200 bytes
"""
FAULTS_LISTED_MAX: Final = 100
"""422 `validation-failed` and 400 `batch-refused` list so many faults and count the others. A body of 1 MiB can hold a
hundred thousand, and their list is 40 times as long."""
LOGGED_MAX_CHARS: Final = 2_048
"""The log shows so much of a path, and of a method."""
CONTENT_LENGTH_MAX_DIGITS: Final = 19
"""A longer number in a `Content-Length` is above every limit; in an answer of S3 it makes the answer unreadable.
Python refuses to read more than 4,300 digits.

2^63 has 19 digits
"""
FILENAME_MAX_CHARS: Final = 255
"""Above: 400 `invalid-filename`.

NTFS, APFS, ext4
"""
COMBINING_RUN_MAX: Final = 30
"""Accents in a row in a file name. Above: 400 `invalid-filename`, before they are sorted, which takes a time that
grows with the square of their number.

[UAX 15](https://www.unicode.org/reports/tr15/#Stream_Safe_Text_Format)
"""
ENCODINGS_MAX: Final = 16
"""So often a key or a name may be percent-encoded over and over. Above: 400 `invalid-key` or `invalid-filename`."""

# --- Forms ----------------------------------------------------------------------------------------

FORM_OVERHEAD_MAX_BYTES: Final = 64 * KIB
"""A form may be this much larger than the file in it: part headers, boundaries, the signed URL."""
FORM_PARTS_MAX: Final = 64
"""Above: 400 `malformed-form`.

our own choice; five are needed, frameworks and upload widgets add their own
"""
FORM_FIELD_MAX_BYTES: Final = 16 * KIB
"""One field that is not the file. Above: 400 `malformed-form`.

our own choice; a URL with a session token has about 1.4 kB
"""
SUCCESS_URL_MAX_CHARS: Final = 2_048
"""Above: 422 `validation-failed`.

our own choice; it becomes a header
"""
STREAM_FROM_BYTES: Final = 1 * MIB
"""From this length on a file goes through to S3 as it arrives, if `uploadUrl` stands before it. Below, it is received
first, which allows any order of fields, and retry."""
FORM_SPOOL_BYTES: Final = 1 * MIB
"""Above, or while half of `BUFFER_BYTES` is taken: the form's file waits in the temporary directory, not in memory."""
CLIENT_IDLE_S: Final = 30.0
"""After so many seconds of silence in the middle of a form a client gets 408 `client-too-slow`."""
CLIENT_MIN_BYTES_PER_S: Final = 1 * KIB
"""The least average rate, once a client was waited for that long. Below: 408; it would hold its connection and one of
the places in `UPLOADS_AT_ONCE` for nothing."""
CLIENT_BUSY_MIN_BYTES_PER_S: Final = 32 * KIB
"""The same while three quarters of the places are taken, or an upload waits for room in `BUFFER_BYTES`.

our own choice; a quarter of a megabit, which a slow line has
"""
UPLOADS_AT_ONCE: Final = 256
"""Forms that one process takes at once, each with two sockets and perhaps a file. Above: 503 `too-many-uploads`."""
UPLOADS_FOR_USERS: Final = 32
"""The last of these places are for signed-in users only."""

# --- To S3 and other servers ----------------------------------------------------------------------

CONNECT_TIMEOUT_S: Final = 10.0
"""No connection to S3 within this: the attempt has failed."""
UPSTREAM_IDLE_S: Final = 60.0
"""S3 takes no byte of a file, or says nothing, for so long: the attempt has failed. Half of the time that is left,
where another attempt may follow."""
EXPECT_TIMEOUT_S: Final = 1.0
"""A store that does not answer to `Expect: 100-continue` gets the file after this, and is not asked again.

our own choice; curl's
"""
EXPECT_IGNORED_MAX: Final = 256
"""Such stores that are remembered. Above: all are asked again."""
INTERIM_ANSWERS_MAX: Final = 16
"""More answers of the kind 1xx: the attempt has failed.

our own choice; S3 sends one at most
"""
UPSTREAM_ERROR_MAX_BYTES: Final = 16 * KIB
"""The rest of a longer error of S3 is not read.

our own choice; S3's own are below 2 kB
"""
RETRIES_MAX: Final = 10
"""Attempts beyond the first that a caller of the retry route may ask for. Above: 422 `validation-failed`.

the contract with clients
"""
RETRY_AFTER_MAX_S: Final = 20.0
"""A longer `Retry-After` is cut to this."""
HEALTH_TIMEOUT_S: Final = 2.0
"""Slower: `GET /` says that the bucket is `unreachable`."""
HEALTH_CACHE_S: Final = 5.0
"""`GET /` may say what was true this long ago.

our own choice; the route is public, and S3 requests cost money
"""

# --- Connections ----------------------------------------------------------------------------------

HEAD_MAX_BYTES: Final = 64 * KIB
"""Path, query and headers together. Above: 431 `head-too-large`. In the plain server also chunk extensions and trailers
([RFC 9112](https://www.rfc-editor.org/rfc/rfc9112#section-7.1.1)).

our own choice; uvicorn's h11 has the same, and a token, a ticket and a key of the greatest length fit
"""
HEAD_FIELDS_MAX: Final = 128
"""Above: 431 `head-too-large`.

our own choice; browsers send about 20
"""
HEAD_TIMEOUT_S: Final = 10.0
"""A head that is not complete by then: 408 `client-too-slow`. A connection that has sent nothing is closed."""
BODY_TIMEOUT_S: Final = 20.0
"""A body other than a form that is not complete by then: 408 `client-too-slow`.

our own choice; 1 MiB needs 420 kbit/s
"""
KEEP_ALIVE_S: Final = 75
"""A connection that is idle between two requests for so long is closed. Clients lose a request where this is shorter
than their own time.

longer than the 60 s of
[AWS's load balancers](https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html)
and of nginx
"""
PIPELINED_MAX: Final = 8
"""Requests that wait on one connection behind the one that is being answered. Above: the others are not read until
these are answered.

our own choice; browsers send none
"""
REST_MAX_BYTES: Final = 64 * KIB
"""A longer body that was not read when its request is answered ends the connection: `Connection: close`."""
LINGER_S: Final = 30.0
"""How long the rest of such a body is read and discarded, so that the client gets the answer: closing at once resets
the connection."""
LINGER_MAX_BYTES: Final = 256 * MIB
"""How much of it. A client that sends more before it reads may see a reset connection in place of its answer."""
LINGER_ENDING_S: Final = 2.0
"""The same time once the process was asked to end."""
ANSWER_STALL_S: Final = 30.0
"""A client that reads nothing of its answer for so long is cut."""
CONNECTIONS_MAX: Final = 1_024
"""Connections of one process, unless `MAX_CONNECTIONS` says otherwise or its open files have no room for them. Above:
the one that has been idle longest is closed; if none is idle, 503 `too-many-connections`."""
CONNECTIONS_MIN: Final = 8
"""The least of them, however few files a process may open."""
DESCRIPTORS_PER_CONNECTION: Final = 4
"""How many open files a connection is counted as, so that connections alone never use them up.

a form has its own socket, one to S3 with its duplicate, and perhaps a temporary file
"""
DESCRIPTORS_RESERVED: Final = 160
"""Open files for the rest of the process.

40 for idle connections to S3, 64 for parts under way (`BUFFER_BYTES` of 8 MiB each), 32 for Redis, 5 for the
database, and the log and the event loop
"""
CONNECTION_LOG_INTERVAL_S: Final = 10.0
"""`connection limit reached` is logged at most so often, with what happened in between."""

# --- Lambda ---------------------------------------------------------------------------------------

LAMBDA_FORM_MAX_BYTES: Final = 4_400_000
"""Above: 413 `body-too-large`. Somewhat further up AWS itself answers 413, and the function never runs.

[quotas](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html): 6 MB a request, and a form travels as
base64 inside a JSON event: 6,291,456 * 3/4 less about 2 kB
"""
RESPONSE_PAGE_BYTES: Final = 5 * MIB
"""The URLs of more parts than fit come on further pages (`next`).

the same page: 6 MB an answer, and it travels as text inside JSON, its quotes escaped
"""
LAMBDA_RESPONSE_MAX_BYTES: Final = 6_291_556
"""Above: Lambda would end the process with all that it keeps warm. The client gets 500 `internal-error` in its place.

what [AWS's emulator](https://github.com/aws/aws-lambda-runtime-interface-emulator) says of an answer's JSON
"""
LAMBDA_DEADLINE_MARGIN_S: Final = 2.0
"""Time kept back before Lambda's deadline. Less: Lambda may kill the function before it has answered."""
LAMBDA_ANSWER_MARGIN_S: Final = 1.0
"""The same for one call to S3 or the database. It is less than the one above: in between, what a form's upload leaves
behind is cleaned up."""
SMOKE_CLEAN_UP_S: Final = 5.0
"""So long before the end of its invocation a smoke test inside the function (docs/deploy.md#smoke-test) stops and
deletes what it stored: seven objects, two calls each."""
