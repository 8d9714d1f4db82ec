"""Units of bytes; S3, multipart plans, moving in, the database, and the stores of secrets."""

from typing import Final

# IEC 80000-13
KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# --- S3 -------------------------------------------------------------------------------------------

S3_BUCKET_NAME_MIN_CHARS: Final = 3
"""Below: the service does not start; S3 would answer `InvalidBucketName`.

[bucket names](https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html)
"""
S3_BUCKET_NAME_MAX_CHARS: Final = 63
"""Above: the same.

the same page
"""
S3_KEY_MAX_BYTES: Final = 1024
"""Above: `KeyTooLongError`. Counted in bytes of UTF-8, not in characters.

[object keys](https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html)
"""
S3_PUT_MAX_BYTES: Final = 5 * GIB
"""Above: `EntityTooLarge` to a single PUT; it takes a multipart upload.

[uploading objects](https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html)
"""
S3_OBJECT_MAX_BYTES: Final = 10_000 * 5 * GIB
"""Above: no upload of any kind is possible. It is 10,000 parts of 5 GiB.

[multipart limits](https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html)
"""
S3_PARTS_MAX: Final = 10_000
"""Parts are numbered from 1. Above: `InvalidArgument`.

the same page
"""
S3_PART_MIN_BYTES: Final = 5 * MIB
"""Below, in any part but the last: completing answers `EntityTooSmall`, when all bytes are already there.

the same page
"""
S3_PART_MAX_BYTES: Final = 5 * GIB
"""Above: `EntityTooLarge` to the part.

the same page
"""
S3_METADATA_MAX_BYTES: Final = 2 * KIB
"""Names and values of user metadata together, in UTF-8. Above: `MetadataTooLarge`.

[metadata](https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html)
"""
PRESIGN_MAX_S: Final = 604_800
"""`X-Amz-Expires`. Above: `AuthorizationQueryParametersError`, although signing libraries sign it.

[query authentication](https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html)
"""
CLOCK_SKEW_MAX_S: Final = 15 * 60
"""How far the date of a request may be from S3's own clock. Above: `RequestTimeTooSkewed`.

the same page
"""
S3_IA_MIN_DAYS: Final = 30
"""Below: `InvalidArgument` to a lifecycle rule that moves objects into Standard-IA, or out of it again, sooner.

[transitions](https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html)
"""
OLD_VERSIONS_KEPT_DAYS: Final = 30
"""In a bucket with versioning, what was overwritten or deleted is removed after this: a month to notice a mistake."""
EXPIRED_VERSIONS_KEPT_DAYS: Final = 1
"""The same for purposes that end by themselves (`scan`, `chat`)."""
QUARANTINE_KEPT_DAYS: Final = 30
"""Malware under `quarantine/` is removed after this: a month for an operator to look at it."""
CORS_MAX_AGE_S: Final = 3_600
"""A browser asks the bucket again after this, so a new CORS rule may take as long to be seen.

our own choice; Chromium keeps an answer for two hours at most
"""
S3_CALL_EXPIRES_S: Final = 60
"""A URL that the service signs for a call of its own ends after this."""
S3_CALL_ATTEMPTS: Final = 3
"""After so many 5xx or lost connections a call of the service's own ends in 502 `storage-unavailable`, after so many
time-outs in 504 `storage-timed-out`."""
S3_ATTEMPT_TIMEOUT_S: Final = 5.0
"""Longest wait for a connection, or for a piece of the answer, in one attempt at a call that carries no file (begin,
list, look, abort, delete). Less: a slow second of S3 fails."""
S3_ANSWER_TIMEOUT_S: Final = 12.0
"""All attempts at such a call and their pauses together; of CompleteMultipartUpload until its answer begins. Above:
504 `storage-timed-out`."""
S3_LOOK_TIMEOUT_S: Final = 3.0
"""Time to look at what a failed call has left behind, or to clean it up, before the client gets its answer: with the
12 s before, a silent S3 costs a client 15 s."""
S3_COMPLETE_IDLE_S: Final = 30.0
"""CompleteMultipartUpload, once its answer has begun: after so long a silence 504 `storage-timed-out`. Completing again
is safe.

our own choice; AWS sends white space while it works
"""
S3_COMPLETE_TIMEOUT_S: Final = 600.0
"""The same for the whole of its answer. Less: the client has to complete once more.

[CompleteMultipartUpload](https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html) may take
several minutes
"""
COMPLETE_WAIT_MAX_S: Final = 20
"""The longest `wait` of `POST /images/{key}/complete`. Above: 422 `validation-failed`.

our own choice; less than the 30 s after which some proxies give up
"""
CHECKING_ASKED_S: Final = 1.0
"""While it waits, S3 is asked every so many seconds.

our own choice
"""
ARRIVAL_ATTEMPTS: Final = 3
"""What has arrived is looked at once more if it was replaced meanwhile. After so many times 502 `storage-unavailable`.

our own choice
"""
ARRIVAL_LEFT_S: Final = 60
"""The sweep leaves what arrived in these last seconds to its client or its event.

our own choice
"""
COPY_PART_BYTES: Final = 512 * MIB
"""The parts in which an object above `S3_PUT_MAX_BYTES` is copied. Nothing refuses; larger ones take fewer calls.

our own choice; S3 takes parts up to 5 GiB
"""
COPY_PARTS_AT_ONCE: Final = 8
"""Of these at once. More wait.

our own choice
"""
LIST_MAX_KEYS: Final = 1_000
"""Objects of one page. Above: 422 `validation-failed`; S3 itself would cut the page without an error. With keys of
1,024 quotes such a page stays below Lambda's limit.

[ListObjectsV2](https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html)
"""
LIST_CALLS_MAX: Final = 64
"""Listings that one request for a user's own files asks S3 for: one for each day that a dated purpose is kept, and
some. Above: the page ends early, and its `next_token` goes on."""
LIST_WALK_S: Final = 5.0
"""How long such a request goes on asking. Above: the same."""

# --- Multipart plans ------------------------------------------------------------------------------

MULTIPART_FROM_BYTES: Final = 100 * MIB
"""Below: one request, which is cheaper, unless the client accepts only `multipart`. Above, a broken line costs one part
and not the whole file.

[AWS recommends it](https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html) from 100 MB on
"""
PLAN_PART_MIN_BYTES: Final = 8 * MIB
"""The smallest part of a plan. Smaller parts mean more requests without a benefit."""
PLAN_PARTS_WANTED: Final = 2_000
"""Above: the parts' length doubles, while it is below the next constant."""
PLAN_PART_WANTED_BYTES: Final = 512 * MIB
"""Longer parts only where 10,000 of these are too few: above 4.88 TiB. A part that breaks is sent again whole."""
MULTIPART_URL_EXPIRES_S: Final = 3_600
"""The URLs of a multipart plan work at least this long, because many parts need more than 300 s; those of `POST
/files/upload-url` exactly. Then ask for fresh ones."""
TICKET_EXPIRES_S: Final = 86_400
"""How long an upload can be gone on with. Above: 410 `ticket-expired`. The lifecycle rule aborts what is unfinished
after a day, too."""
TICKET_MAX_CHARS: Final = 4_096
"""A longer text is no ticket: 403 `ticket-invalid`.

our own choice; a usual one has about 310, the longest a key of 1,024 bytes in base64
"""
BATCH_MAX: Final = 1_000
"""Files of one batch. Above: 422 `validation-failed`, because the answer could pass Lambda's limit."""

# --- Resumable uploads ----------------------------------------------------------------------------

RESUMABLE_PART_BYTES: Final = 8 * MIB
"""The parts of a resumable upload. Such a part is in memory while it is sent, and a process that is killed loses less
than one.

our own choice; it is in each ticket
"""
RESUMABLE_MAX_BYTES: Final = S3_PARTS_MAX * RESUMABLE_PART_BYTES
"""The longest file that can be sent so, 78.1 GiB. Above: 400 `file-too-large`; a multipart plan takes it.

10,000 of these parts
"""
LAMBDA_APPEND_MAX_BYTES: Final = 4 * MIB
"""The longest append on Lambda. Above: 413 `append-too-large`.

half a part, so that two of them make one; [6 MB a request](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)
hold 4.5 MiB as base64
"""
RESUMABLE_KNOWN_MAX: Final = 256
"""Uploads of which a process remembers where they are, so that their next append needs no listing. Above: one listing.

our own choice; about 2 KiB each
"""
NOTE_MAX_BYTES: Final = 512
"""What a protocol wants back (`Upload-Metadata`, `Upload-Concat`) is in the ticket up to this length, and above in an
object of its own.

our own choice: a ticket is in every URL
"""
PARTIALS_MAX: Final = 100
"""Partial uploads that one final upload joins. Above: 400 `concatenation-invalid`.

our own choice; a header names them all, and clients send up to ten at once
"""
RESUMABLE_KEPT_DAYS: Final = 2
"""The bucket's rules delete the chunks of an unfinished upload after so many days: later than its ticket ends."""

# --- Objects that the service stores --------------------------------------------------------------

UPLOAD_PART_BYTES: Final = 8 * MIB
"""Files stored by the service itself go in parts of this length, each in memory until S3 has it. Longer where a file
would need more than 10,000 of them."""
UPLOAD_IN_FLIGHT_BYTES: Final = 80 * MIB
"""Bytes of such parts that one upload has under way at once, if `BUFFER_BYTES` has room. Less: slow on lines that lose
packets.

our own choice; ten parts, as aws-cli sends
"""
BUFFER_MIN_BYTES: Final = 2 * UPLOAD_PART_BYTES
"""A part that is sent, and one that arrives. Less in `BUFFER_BYTES`: the service does not start."""
HASH_PIECE_BYTES: Final = 8 * MIB
"""An object whose SHA-256 S3 does not know is read in pieces of this length."""

# --- Jobs -----------------------------------------------------------------------------------------

JOBS_KEPT_DAYS: Final = 7
"""The bucket's rules delete a job's state after so many days.

our own choice; a client asks while it waits
"""
JOB_WRITES_EVERY_S: Final = 3.0
"""So often at most a job's progress is written. Each time is a request to S3."""
JOB_BEATS_EVERY_S: Final = 30.0
"""So often at least a running job is written, also without progress, so that it is known to live."""
JOB_SILENT_S: Final = 150.0
"""A running job that was not written for so long has failed, as `interrupted`: its process has ended. Five times as
long as a job that lives is silent."""
JOB_QUEUED_S: Final = 900.0
"""The same for a job that has not begun."""

# --- Moving in ------------------------------------------------------------------------------------

IMPORT_IN_FLIGHT_BYTES: Final = 64 * MIB
"""Files wait until there is room for them in memory. One part of a file above 625 GiB is longer than this and goes
alone."""
IMPORT_JOBS: Final = 16
"""Files at once without `--jobs`."""
IMPORT_JOBS_MAX: Final = 64
"""Above: `--jobs` is refused. Connections would be opened and closed again for nothing, and hashing takes all cores."""
IMPORT_FILE_ATTEMPTS: Final = 5
"""After so many failures that may pass, a file has failed. Each call within them is tried `S3_CALL_ATTEMPTS` times."""
IMPORT_DATABASE_BATCH: Final = 500
"""Old paths that one statement, and one transaction, turns into keys.

our own choice; both databases take more parameters
"""

# --- Files from scripts ---------------------------------------------------------------------------

PUT_PARALLEL: Final = 4
"""Requests that `put` sends at once without `--parallel`: files, and parts of a file."""
PUT_PARALLEL_MAX: Final = 64
"""Above: `--parallel` is refused.

our own choice; a line that 64 connections do not fill is not filled by more
"""
PUT_CHUNK_BYTES: Final = 256 * KIB
"""`put` reads and sends so much of a file at once, for each request, however large the file is."""
PUT_ATTEMPTS: Final = 8
"""After so many failures that may pass, a request of `put` has failed, about 20 seconds after the first one."""
PUT_RETRY_AFTER_MAX_S: Final = 60.0
"""A longer `Retry-After`, as of a quota, is not waited for: the file has failed."""
PUT_SIGN_PARTS: Final = 100
"""Parts whose URLs `put` asks for at once, to go on with an upload."""
PUT_WAIT_S: Final = 60.0
"""So long `put` waits for the verdict on a file that is stored, without `--wait`."""
PUT_STATE_KEPT_S: Final = 2 * 86_400
"""What `put` keeps to go on with an upload is removed after so long: its ticket has ended."""

# --- The database ---------------------------------------------------------------------------------

DATABASE_CONNECT_TIMEOUT_S: Final = 5
"""No connection within this: 503 `database-unavailable`. libpq counts in whole seconds, from 2."""
DATABASE_TIMEOUT_S: Final = 10.0
"""One transaction, with connecting and waiting for others. Above: 503, and the server is told to stop. The server ends
it by itself, too (`statement_timeout`, `idle_in_transaction_session_timeout`).

our own choice: a hundred times what any transaction takes, and less than clients wait
"""
DATABASE_PING_TIMEOUT_S: Final = 2.0
"""A connection that was used before and does not answer within this: all connections of the process are replaced.
With a new connection and the next constant it is less than `DATABASE_TIMEOUT_S`."""
DATABASE_CANCEL_TIMEOUT_S: Final = 0.5
"""Longest wait for the server to take notice that a statement is to stop. Then the connection is closed."""
DATABASE_KEEPALIVE_S: Final = 30
"""So often an idle connection is tested by TCP. What is not acknowledged for 5 s (`tcp_user_timeout`) has failed."""
DATABASE_ATTEMPTS: Final = 3
"""After so many transactions that collided with another one: 503."""
DATABASE_CONNECTIONS: Final = 5
"""Connections of one process; further calls wait. On Lambda it is one an environment."""
DATABASE_TOKEN_EXPIRES_S: Final = 900
"""A token lets connect for this long. Connections outlive it.

[RDS](https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.Connecting.html)
"""
SWEEP_BATCH: Final = 25
"""Rows that a sweep takes at once, and asks S3 about at once."""
SWEEP_LEASE_S: Final = 240.0
"""A row that one sweep has taken is left alone by others for so long.

our own choice: less than the five minutes between two scheduled sweeps, so that the next one looks again
"""
ARRIVAL_MAX_CHARS: Final = 256 * KIB
"""A longer message of the queue fails unread, and goes to the dead letters.

[EventBridge](https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html): 256 KiB an event; one of S3 has
about 1 KiB
"""

# --- Secrets by reference -------------------------------------------------------------------------

SECRETS_ATTEMPT_TIMEOUT_S: Final = 2.0
"""One attempt at Parameter Store or Secrets Manager, from the look-up of its host to the last byte. Above: it has
failed. In the region an answer takes some 50 ms."""
SECRETS_START_TIMEOUT_S: Final = 5.0
"""Both attempts and the pause between them when a process starts. Above: the function does not start, and its init
error says why.

[Lambda](https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib) ends a
start after 10 s
"""
SECRETS_REFRESH_TIMEOUT_S: Final = 2.0
"""A later look takes no longer, and no more than a quarter of the invocation's time. Above: the secrets of before
stay in use."""
SECRETS_RETRY_S: Final = 60.0
"""How long the settings stay as they are after a look that failed. Less: a store that is down costs every other
request its time."""
SECRETS_ANSWER_MAX_BYTES: Final = 512 * KIB
"""Above: the answer is refused.

[a secret](https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html) has 64 KiB, and JSON
escapes it; a page of ten parameters has less
"""
SECRETS_PAGE_PARAMETERS: Final = 10
"""Parameters a request; a page may hold fewer.

[GetParametersByPath](https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParametersByPath.html)
"""
SECRETS_PAGES_MAX: Final = 5
"""Above: the path is not the settings' own, and is refused. There are fewer secret settings than ten."""
