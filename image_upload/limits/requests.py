"""Requests and connections, from clients and to the outside; Lambda; tokens, sign-in, rate limits, quotas."""

from typing import Final

from image_upload.limits.storage import KIB, MIB

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

our own choice; there are five strategies
"""
ACCEPT_MAX_BYTES: Final = 1_024
"""A longer `Accept` is not read; `GET /` is answered in JSON.

our own choice; browsers send below 200 bytes
"""
ACCEPT_LANGUAGE_MAX_BYTES: Final = 512
"""A longer `Accept-Language` is not read; the answer is in English.

our own choice; browsers send below 200 bytes
"""
EDGE_ADDRESS_MAX_CHARS: Final = 64
"""A longer `CloudFront-Viewer-Address` is not read; the address stays that of the edge.

an IPv6 address and a port have at most 51
"""
FAULTS_LISTED_MAX: Final = 100
"""422 `validation-failed` and 400 `batch-refused` list so many faults and count the others. A body of 1 MiB can hold
a hundred thousand, and their list is 40 times as long."""
LOGGED_MAX_CHARS: Final = 2_048
"""The log shows so much of a path, and of a method."""
CONTENT_LENGTH_MAX_DIGITS: Final = 19
"""A longer number in a `Content-Length` is above every limit; in an answer of S3 it makes the answer unreadable. Python
refuses to read more than 4,300 digits.

2^63 has 19 digits
"""
IDEMPOTENCY_KEY_MAX_CHARS: Final = 255
"""Above: 400 `invalid-idempotency-key`.

our own choice; a UUID has 36
"""
UPLOAD_METADATA_MAX_CHARS: Final = 4 * KIB
"""Characters of `Upload-Metadata`. Above: 400 `invalid-upload-header`, before it is decoded.

our own choice; file name, type and purpose have below 500
"""
UPLOAD_METADATA_MAX_PAIRS: Final = 32
"""Pairs of `Upload-Metadata`. Above: the same."""
FILENAME_MAX_CHARS: Final = 255
"""Above: 400 `invalid-filename`.

NTFS, APFS, ext4
"""
COMBINING_RUN_MAX: Final = 30
"""Accents in a row in a file name. Above: 400 `invalid-filename`, before they are sorted, which takes a time that grows
with the square of their number.

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
"""From this length on a file goes through to S3 as it arrives, if `uploadUrl` stands before it. Below, it is
received first, which allows any order of fields, and retry."""
FORM_SPOOL_BYTES: Final = 1 * MIB
"""Above, or while half of `BUFFER_BYTES` is taken: the form's file waits in the temporary directory, not in memory."""
CLIENT_IDLE_S: Final = 30.0
"""After so many seconds of silence in the middle of a form a client gets 408 `client-too-slow`."""
CLIENT_MIN_BYTES_PER_S: Final = 1 * KIB
"""The least average rate, once a client was waited for that long. Below: 408; it would hold its connection and one
of the places in `UPLOADS_AT_ONCE` for nothing."""
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

longer than the 60 s of [AWS's load
balancers](https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html) and
of nginx
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
"""Connections of one process, unless `MAX_CONNECTIONS` says otherwise or its open files have no room for them.
Above: the one that has been idle longest is closed; if none is idle, 503 `too-many-connections`."""
CONNECTIONS_MIN: Final = 8
"""The least of them, however few files a process may open."""
DESCRIPTORS_PER_CONNECTION: Final = 4
"""How many open files a connection is counted as, so that connections alone never use them up.

a form has its own socket, one to S3 with its duplicate, and perhaps a temporary file
"""
DESCRIPTORS_RESERVED: Final = 160
"""Open files for the rest of the process.

40 for idle connections to S3, 64 for parts under way (`BUFFER_BYTES` of 8 MiB each), 32 for Redis, 5 for the database,
and the log and the event loop
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
"""The same for one call to S3 or the database. It is less than the one above: in between, what a form's upload
leaves behind is cleaned up."""
SMOKE_CLEAN_UP_S: Final = 5.0
"""So long before the end of its invocation a smoke test inside the function (docs/deploy.md#smoke-test) stops and
deletes what it stored: seven objects, two calls each."""

# --- Tokens ---------------------------------------------------------------------------------------

TOKEN_MAX_CHARS: Final = 8192
"""Above: 401 `token-invalid`, before it is parsed.

our own choice; a usual one has about 1,000
"""
TOKEN_LEEWAY_S: Final = 30
"""How far `exp`, `nbf` and `iat` may be off. Less: clocks that differ refuse good tokens. More: an ended token works
longer.

our own choice; [RFC 7519](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4) allows "a few minutes"
"""
TOKEN_CACHE_S: Final = 60
"""How long a verified token is known without verifying it again, never past its own end. A token outlives the
removal of its key as long."""
TOKEN_CACHE_MAX: Final = 1_000
"""Verified tokens that are known at once. Above: the one that was verified first is verified again.

our own choice; about 300 bytes each
"""
SUBJECT_MAX_CHARS: Final = 255
"""Above: 401 `token-invalid`. The user's id becomes part of keys.

[OpenID Connect](https://openid.net/specs/openid-connect-core-1_0.html#IDToken)
"""
TOKEN_LIFE_MAX_S: Final = 2_592_000
"""`python -m image_upload token` signs none that lives longer, and `JWT_EXPIRE_MINUTES` allows none. A token that
got out works until its end, or until the secret is changed."""
RSA_KEY_MIN_BITS: Final = 2_048
"""Below: the provider's key is not used.

[RFC 7518](https://www.rfc-editor.org/rfc/rfc7518#section-3.3)
"""
JWKS_FRESH_S: Final = 3_600
"""How long the provider's keys are used without asking. More: a withdrawn key works longer."""
JWKS_KEEP_S: Final = 86_400
"""How long they are used while the provider cannot be reached. Then: 503 `token-keys-unavailable`."""
JWKS_REFRESH_S: Final = 30
"""Unknown key ids make the service ask again at most so often. A new key of the provider may take this long to work."""
JWKS_RETRY_S: Final = 5
"""The same after a request that failed."""
JWKS_TIMEOUT_S: Final = 5.0
"""Connection and answer together. Above: the provider counts as not reached."""
JWKS_MAX_BYTES: Final = 128 * KIB
"""The rest is not read, and the key set not used.

our own choice; Entra ID's, with a certificate chain in each entry, has about 15 kB
"""

# --- Sign-in --------------------------------------------------------------------------------------

SIGN_IN_EXPIRES_S: Final = 600
"""A sign-in that took longer at the provider, password and second factor included: `?error=sign-in-expired`."""
CODE_EXPIRES_S: Final = 60
"""A one-time code that is exchanged later: 400 `grant-refused`.

our own choice; [RFC 6749](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2) allows ten minutes, and a page needs
seconds
"""
PROVIDER_TIMEOUT_S: Final = 10.0
"""All calls of one sign-in to its provider together: token, keys, user. Above: `provider-failed`."""
PROVIDER_ANSWER_MAX_BYTES: Final = 128 * KIB
"""A longer answer of a provider is not read: `provider-failed`.

our own choice; Google's documents have about 2 kB
"""
DISCOVERY_FRESH_S: Final = 3_600
"""How long a provider's discovery document is used without asking; longer, if it does not answer then."""
EMAIL_MAX_CHARS: Final = 254
"""A longer address counts as none.

[RFC 3696, erratum 1690](https://www.rfc-editor.org/errata/eid1690)
"""
PERSON_NAME_MAX_CHARS: Final = 255
"""A longer name is cut."""
ISSUER_MAX_CHARS: Final = 255
"""Longest `GOOGLE_ISSUER` or `GITHUB_URL` that fits into the database. A longer issuer is refused."""
SIGN_IN_TEXT_MAX_CHARS: Final = 4_096
"""A longer cookie, code, state or refresh token is none of ours.

our own choice; a cookie has about 500
"""

# --- The operator's own check ---------------------------------------------------------------------

AUTHORIZE_TIMEOUT_S: Final = 5.0
"""The function of `AUTHORIZE` takes no longer. Above: 503 `authorization-unavailable`."""
AUTHORIZE_THREADS_MAX: Final = 32
"""Threads in which it runs at once, if it is not `async`. Further uploads wait within the same time."""

# --- Rate limits ----------------------------------------------------------------------------------

RATE_LIMIT_KEYS_MAX: Final = 50_000
"""Users, or addresses, that one process counts in one window. Above: newcomers share one count until the window ends,
so that neither the memory nor what they may send together grows.

our own choice; about 200 bytes each
"""
RATE_LIMIT_SITE_MAX: Final = 256
"""IPv6 networks of 64 bits within one of 48 that are counted apart. Above: further ones share one count, or a single
site could fill `RATE_LIMIT_KEYS_MAX`.

our own choice; a site (RFC 6177) has 65,536 such networks
"""
RATE_LIMIT_WINDOW_MAX_S: Final = 86_400
"""Longest window of a rate limit. Above: the service does not start."""
REDIS_TIMEOUT_S: Final = 0.5
"""Connection and answer together. Above: `RATE_LIMIT_FAILS` decides."""
REDIS_REST_S: Final = 5.0
"""After a failure Redis, or the database that counts quotas, is left alone so long, so that not every request waits for
it."""
REDIS_CONNECTIONS: Final = 16
"""Connections of one process for rate limits, and as many for quotas where there are any. More requests at once wait
for each other, and are not taken for a failure of Redis.

our own choice; an answer takes less than a millisecond
"""
QUOTA_GRACE_S: Final = 300
"""How long after a plan's time S3 is asked what came of it: a PUT that began in time may still be under way. Less: a
slow file is not counted. More: the room of one that was never sent is free later."""
QUOTA_LOOKS_MAX: Final = 100
"""Plans that S3 is asked about at once, when their user needs the room; each once."""
QUOTA_OPEN_MAX: Final = 100_000
"""Open reservations that one process remembers. Above: the oldest count until the end of the day, as if their largest
size had been stored.

our own choice; about 300 bytes each
"""
QUOTA_KEEP_S: Final = 2 * 86_400
"""How long Redis or the database keeps the account of a day: longer than the day."""
QUOTA_PRUNE_BATCH: Final = 500
"""Accounts of days that are over, which a sweep deletes from the database in one transaction. More: other changes of
these users wait longer."""
QUOTA_ATTEMPTS: Final = 20
"""After so many transactions that collided with another one of the same user, the database counts as failed. Only those
of Aurora DSQL collide; on PostgreSQL they wait for each other."""
QUOTA_MAX: Final = 2**53 - 1
"""Above: the service does not start. It is 9 PB.

2^53 - 1: the whole numbers that JSON and Lua count exactly
"""
FORWARDED_HOPS_MAX: Final = 16
"""Addresses of `X-Forwarded-For` that are looked at, from the right."""
