"""Every number that S3, Lambda or HTTP imposes, with its source and what breaks on either side of it.

The unit is the last part of each name. A number that an operator may change is a setting
(`settings.py`), a number that belongs to one purpose is in the table (`purposes.py`).
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# --- S3 -------------------------------------------------------------------------------------------

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
# Outside of these: S3 answers InvalidBucketName.
S3_BUCKET_NAME_MIN_CHARS: Final = 3
S3_BUCKET_NAME_MAX_CHARS: Final = 63

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
# Above: S3 answers KeyTooLongError. Counted in bytes of UTF-8, not in characters.
S3_KEY_MAX_BYTES: Final = 1024

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html
# Above: S3 answers EntityTooLarge to a single PUT; a multipart upload is needed.
S3_PUT_MAX_BYTES: Final = 5 * GIB

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
# 10,000 parts of 5 GiB, which AWS rounds to "48.8 TiB". Above: no upload of any kind is possible.
S3_OBJECT_MAX_BYTES: Final = 10_000 * 5 * GIB

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
# Parts are numbered from 1. Above: S3 answers InvalidArgument.
S3_PARTS_MAX: Final = 10_000

# The same page. Below (all but the last part): CompleteMultipartUpload answers EntityTooSmall, when all
# bytes are already there.
S3_PART_MIN_BYTES: Final = 5 * MIB

# The same page. Above: S3 answers EntityTooLarge to the part.
S3_PART_MAX_BYTES: Final = 5 * GIB

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
# Sum of names and values of user metadata in UTF-8. Above: S3 answers MetadataTooLarge.
S3_METADATA_MAX_BYTES: Final = 2 * KIB

# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html (X-Amz-Expires)
# Seven days. Above: signing libraries sign it silently, S3 refuses it with AuthorizationQueryParametersError.
PRESIGN_MAX_S: Final = 604_800

# The same page: S3 allows a request's date to be this far from its own clock (RequestTimeTooSkewed).
CLOCK_SKEW_MAX_S: Final = 15 * 60

# How long a URL lives that the service signs for a call of its own.
S3_CALL_EXPIRES_S: Final = 60

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html
# Below: PutBucketLifecycleConfiguration answers InvalidArgument to a transition into Standard-IA, or out of it
# again, sooner than this.
S3_IA_MIN_DAYS: Final = 30

# How long a version is kept that was overwritten or deleted, in a bucket with versioning: a month to notice a
# mistake. What ends by itself (scan, chat) ends for good a day after it was due.
OLD_VERSIONS_KEPT_DAYS: Final = 30
EXPIRED_VERSIONS_KEPT_DAYS: Final = 1

# How long a browser may remember the bucket's answer to a preflight. Chromium keeps none longer than two hours.
CORS_MAX_AGE_S: Final = 3_600

# Attempts at a call of our own: 503 SlowDown and lost connections are S3's daily life.
S3_CALL_ATTEMPTS: Final = 3

# Time for one attempt at a call that carries no file (begin, list, look, abort, delete), and for all attempts and
# their pauses together. Above: 504 storage-timed-out, instead of a client that waits for minutes. Less: a slow second
# of S3 fails.
S3_ATTEMPT_TIMEOUT_S: Final = 5.0
S3_ANSWER_TIMEOUT_S: Final = 12.0

# Time to look at what a call left behind that failed, or to clean it up, while the client waits for its answer. With
# the 12 s before, an S3 that is silent costs a client 15 s.
S3_LOOK_TIMEOUT_S: Final = 3.0

# CompleteMultipartUpload, once its answer has begun: longest silence between two pieces of it, and its whole length.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html: it may take several minutes, in
# which S3 sends white space from time to time. Less: the client has to complete once more.
S3_COMPLETE_IDLE_S: Final = 30.0
S3_COMPLETE_TIMEOUT_S: Final = 600.0

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
# Objects of one page. Above: S3 cuts it silently. With keys of 1,024 quotes such a page stays below Lambda's limit.
LIST_MAX_KEYS: Final = 1_000

# Listings that one request for a user's own files may ask S3 for, and for how long it goes on asking: one for each
# day that a dated purpose is kept, and some. Above: the page ends early, and its next_token goes on.
LIST_CALLS_MAX: Final = 64
LIST_WALK_S: Final = 5.0

# --- Multipart plans ------------------------------------------------------------------------------

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html recommends multipart from 100 MB.
# Below, one request is cheaper; above, a broken line costs one part and not the whole file.
MULTIPART_FROM_BYTES: Final = 100 * MIB

# The smallest part of a plan of ours. Smaller: more requests for nothing. It doubles while a file would
# need more than `PLAN_PARTS_WANTED`, up to `PLAN_PART_WANTED_BYTES`: a broken part is sent again whole.
PLAN_PART_MIN_BYTES: Final = 8 * MIB
PLAN_PARTS_WANTED: Final = 2_000
PLAN_PART_WANTED_BYTES: Final = 512 * MIB

# URLs of a multipart plan live at least this long: 300 s are not enough to send many parts.
MULTIPART_URL_EXPIRES_S: Final = 3_600

# How long an upload can be gone on with. The lifecycle rule aborts what is unfinished after a day, too.
TICKET_EXPIRES_S: Final = 86_400

# Longest ticket we read: a key of 1,024 bytes, an upload id of S3 and the rest, in base64.
TICKET_MAX_CHARS: Final = 4_096

# Files of one batch. Above: the answer could pass Lambda's limit.
BATCH_MAX: Final = 1_000

# --- Lambda ---------------------------------------------------------------------------------------

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 6 MB a request, and the
# form travels base64-encoded inside a JSON event with its headers: 6,291,456 * 3/4 less about 2 kB.
# Below this number every form fits. Above, AWS answers 413 by itself and the function never runs.
LAMBDA_FORM_MAX_BYTES: Final = 4_400_000

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 6 MB a response, measured as
# 6,291,556 bytes of JSON, in which our body is one string with its quotes escaped. Above, the runtime
# is killed; hence answers are paged well below.
RESPONSE_PAGE_BYTES: Final = 5 * MIB

# The emulator that AWS publishes says this number. An answer whose JSON is longer ends the runtime's process with
# everything that it keeps warm, and the client gets 502.
LAMBDA_RESPONSE_MAX_BYTES: Final = 6_291_556

# Time kept back before Lambda's deadline, to answer instead of being killed without a word.
LAMBDA_DEADLINE_MARGIN_S: Final = 2.0

# The same for one call to S3 or the database. Less than the other one: what a form's upload leaves behind when its
# time is over is cleaned up in between.
LAMBDA_ANSWER_MARGIN_S: Final = 1.0

# Time that a smoke test inside the function keeps back to delete what it stored: seven objects, two calls each.
SMOKE_CLEAN_UP_S: Final = 5.0

# --- Secrets by reference -------------------------------------------------------------------------

# Longest wait for Parameter Store or Secrets Manager, one attempt from the look-up of its host to the last byte.
# In the region it takes some 50 ms.
SECRETS_ATTEMPT_TIMEOUT_S: Final = 2.0

# Both attempts and the pause between them when a process starts. Lambda ends a start after 10 s.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib
SECRETS_START_TIMEOUT_S: Final = 5.0

# The same for a later look, for which a request waits; less where its own time is short.
SECRETS_REFRESH_TIMEOUT_S: Final = 2.0

# How long the settings stay as they are after such a look has failed. Less: a store that is away costs every other
# request its time.
SECRETS_RETRY_S: Final = 60.0

# Largest answer that is read: a secret of 64 KiB, each character of it escaped in JSON, or a page of ten parameters of
# 8 KiB. https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
SECRETS_ANSWER_MAX_BYTES: Final = 512 * KIB

# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParametersByPath.html: ten a page, and a page
# may hold fewer. There are fewer secret settings than ten.
SECRETS_PAGE_PARAMETERS: Final = 10
SECRETS_PAGES_MAX: Final = 5

# --- The database ---------------------------------------------------------------------------------

# Longest wait for a connection to the database. libpq counts in whole seconds, from 2.
DATABASE_CONNECT_TIMEOUT_S: Final = 5

# Longest time for one transaction, connecting and waiting for others included. Above: 503, and the server is told
# to stop. Longer than any of ours takes by a hundred times, and short enough to answer before a client gives up.
DATABASE_TIMEOUT_S: Final = 10.0

# Longest wait for a connection that was used before to show that it still works, and for the server to take notice
# that a statement is to stop. Together with a new connection they are less than DATABASE_TIMEOUT_S.
DATABASE_PING_TIMEOUT_S: Final = 2.0
DATABASE_CANCEL_TIMEOUT_S: Final = 0.5

# An idle connection shows so often that it still leads somewhere.
DATABASE_KEEPALIVE_S: Final = 30

# Attempts at a transaction that collided with another one.
DATABASE_ATTEMPTS: Final = 3

# Connections of one process outside Lambda. On Lambda it is one.
DATABASE_CONNECTIONS: Final = 5

# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.Connecting.html: 15 minutes.
# Only connecting needs the token; a connection outlives it.
DATABASE_TOKEN_EXPIRES_S: Final = 900

# Rows that a sweep takes at once, and asks S3 about at once.
SWEEP_BATCH: Final = 25

# How long a row that one sweep has taken is left alone by others. Less than the five minutes between two scheduled
# ones, so that the next one looks again where S3 failed.
SWEEP_LEASE_S: Final = 240.0

# Longest message of the queue that is read as JSON. EventBridge's events have at most 256 KiB, those of S3 about 1 KiB.
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
ARRIVAL_MAX_CHARS: Final = 256 * KIB

# Bytes that are read at a time from an object whose SHA-256 S3 does not know.
HASH_PIECE_BYTES: Final = 8 * MIB

# --- Tokens ---------------------------------------------------------------------------------------

# Twice the size of any token we would issue. Above: an attack on the parser, refused before it is parsed.
TOKEN_MAX_CHARS: Final = 8192

# How far the clocks of an issuer and this service may differ, for exp, nbf and iat. RFC 7519 section 4.1.4 allows
# "a few minutes". More: an ended token works longer.
TOKEN_LEEWAY_S: Final = 30

# How long a verified token is known without a new look at its signature; also how long a token can outlive the
# removal of its key.
TOKEN_CACHE_S: Final = 60

# Verified tokens that are known at once, about 300 bytes each. Above: the oldest is verified again.
TOKEN_CACHE_MAX: Final = 1_000

# https://openid.net/specs/openid-connect-core-1_0.html#IDToken: `sub` has at most 255 characters. It becomes part of
# keys, which S3 limits to 1,024 bytes.
SUBJECT_MAX_CHARS: Final = 255

# The longest life of a token that `token` signs, that of JWT_EXPIRE_MINUTES too. A token that got out works until its
# end, or until the secret is changed.
TOKEN_LIFE_MAX_S: Final = 2_592_000

# RFC 7518 section 3.3. Below: the key is not used.
RSA_KEY_MIN_BITS: Final = 2_048

# How long the keys of a provider are used without asking. Less: more requests; more: a withdrawn key works longer.
JWKS_FRESH_S: Final = 3_600

# How long they are used if the provider cannot be reached. Above: 503, because nobody knows which are withdrawn.
JWKS_KEEP_S: Final = 86_400

# Least time between two requests for keys, however many unknown key ids are sent, and after one that failed.
JWKS_REFRESH_S: Final = 30
JWKS_RETRY_S: Final = 5

# Longest wait for the provider, connection and answer together.
JWKS_TIMEOUT_S: Final = 5.0

# Longest key set that is read. Entra ID's, with a certificate chain in each entry, has about 15 kB.
JWKS_MAX_BYTES: Final = 128 * KIB

# --- Sign-in --------------------------------------------------------------------------------------

# How long a sign-in may take at the provider, password and second factor included. Above: begin anew.
SIGN_IN_EXPIRES_S: Final = 600

# How long the front end has to exchange its one-time code. RFC 6749 section 4.1.2 allows ten minutes; a page that is
# being loaded needs seconds.
CODE_EXPIRES_S: Final = 60

# All calls of one sign-in to its provider together: token, keys, user. Above: the front end is told that it failed.
PROVIDER_TIMEOUT_S: Final = 10.0

# Longest answer of a provider that is read. Google's discovery document has about 2 kB.
PROVIDER_ANSWER_MAX_BYTES: Final = 128 * KIB

# How long a provider's discovery document is used without asking.
DISCOVERY_FRESH_S: Final = 3_600

# RFC 3696, erratum 1690: no mailbox has a longer address. Above: it counts as none.
EMAIL_MAX_CHARS: Final = 254

# Our own choice. A longer name of a person is cut; a longer issuer is refused.
PERSON_NAME_MAX_CHARS: Final = 255
ISSUER_MAX_CHARS: Final = 255

# Longest cookie, code or state that is read. Above: it is none of ours.
SIGN_IN_TEXT_MAX_CHARS: Final = 4_096

# --- Rate limits ----------------------------------------------------------------------------------

# Users or addresses that are counted at once in memory, about 200 bytes each. Above: newcomers share one count, so
# that neither the memory nor what they may send together grows.
RATE_LIMIT_KEYS_MAX: Final = 50_000

# Networks of 64 bits that are counted apart within one of 48, which is what a site gets (RFC 6177). Further ones share
# a count: a single site could otherwise fill RATE_LIMIT_KEYS_MAX and make all newcomers share one.
RATE_LIMIT_SITE_MAX: Final = 256

# Longest window of a rate limit: one day.
RATE_LIMIT_WINDOW_MAX_S: Final = 86_400

# Longest wait for Redis, connection and answer together, and how long it is left alone after a failure.
REDIS_TIMEOUT_S: Final = 0.5
REDIS_REST_S: Final = 5.0

# Connections of one process to Redis for rate limits, and as many for quotas. An answer takes less than a
# millisecond; above this many at once, requests wait for each other, and are not taken for a failure of Redis.
REDIS_CONNECTIONS: Final = 16

# How long after a plan's own time S3 is asked what came of it: a PUT that began in time may still be under way. Less:
# a slow file is not counted; more: the room of one that was never sent is free later.
QUOTA_GRACE_S: Final = 300

# Plans that S3 is asked about when a user needs the room, each once.
QUOTA_LOOKS_MAX: Final = 100

# Reservations that one process remembers while their uploads are open, some 300 bytes each. Above: the oldest count
# until the end of the day, as if their largest size had been stored.
QUOTA_OPEN_MAX: Final = 100_000

# How long Redis keeps the account of a day: longer than the day.
QUOTA_KEEP_S: Final = 2 * 86_400

# Above 2^53 neither JSON nor Redis' scripts count every byte. It is 9 PB.
QUOTA_MAX: Final = 2**53 - 1

# Entries of X-Forwarded-For that are looked at, from the right. More proxies than that stand in front of nobody.
FORWARDED_HOPS_MAX: Final = 16

# --- HTTP -----------------------------------------------------------------------------------------

# Largest JSON body we read into memory.
JSON_BODY_MAX_BYTES: Final = 1 * MIB

# Lists and objects that a JSON body opens; the longest list of ours has 10,000 members. Each takes the parser a hundred
# times as long as a letter does: 1 MiB of nothing else a fifth of a second.
JSON_BRACKETS_MAX: Final = 50_000

# Members of an object that a client fills as it likes: metadata. More never fit into S3_METADATA_MAX_BYTES. Above, no
# member is looked at.
MEMBERS_MAX: Final = 1_024

# Strategies that a client names in `accepts`. There are four.
ACCEPTS_MAX: Final = 16

# Longest Accept-Language header that is read; browsers send below 200 bytes. Above: the answer is in English.
ACCEPT_LANGUAGE_MAX_BYTES: Final = 512

# Faults of one body that are listed. A body of 1 MiB can hold a hundred thousand, and their list is 40 times as long.
FAULTS_LISTED_MAX: Final = 100

# Longest head of a request: target and headers together. The longest of our own has a token of TOKEN_MAX_CHARS, a
# ticket of TICKET_MAX_CHARS and a key, percent-encoded. uvicorn's h11 has the same limit. The plain server takes at
# most as many bytes without a byte of the body: chunk extensions, trailers (RFC 9112 section 7.1.1).
HEAD_MAX_BYTES: Final = 64 * KIB

# Characters of a request's path, and of its method, that the log shows.
LOGGED_MAX_CHARS: Final = 2_048

# Digits of a Content-Length that are read as a number: 2^63 has 19. Python refuses to read more than 4,300 digits.
CONTENT_LENGTH_MAX_DIGITS: Final = 19

# A form may be this much larger than the file in it: part headers, boundaries, the signed URL.
FORM_OVERHEAD_MAX_BYTES: Final = 64 * KIB

# Parts of one form. The routes need five; upload widgets and frameworks add their own, Rails and Laravel a dozen.
FORM_PARTS_MAX: Final = 64

# One form field that is not the file. A part URL signed with a role's session token is about 1.4 kB.
FORM_FIELD_MAX_BYTES: Final = 16 * KIB

# Where a browser is sent after a form: no browser and no proxy on the way takes much more in a header.
SUCCESS_URL_MAX_CHARS: Final = 2_048

# From this length on a file streams through to S3 as it arrives; a smaller one is received first, which
# costs one buffer and allows everything (any order of fields, retry). FORM_SPOOL_BYTES of it stay in memory.
STREAM_FROM_BYTES: Final = 1 * MIB

# Longest silence of a client in the middle of a form, and the least it must send on average once it has had
# as long. Below: its connection and one of the places in `UPLOADS_AT_ONCE` are held for nothing.
CLIENT_IDLE_S: Final = 30.0
CLIENT_MIN_BYTES_PER_S: Final = 1 * KIB

# The same while three quarters of the places are taken, or an upload waits for room in `BUFFER_BYTES`: a slow line's
# quarter of a megabit.
CLIENT_BUSY_MIN_BYTES_PER_S: Final = 32 * KIB

# Forms that one process takes at once, each with two sockets and perhaps a file. Above: 503 and Retry-After.
UPLOADS_AT_ONCE: Final = 256

# Those of them that only signed-in users get.
UPLOADS_FOR_USERS: Final = 32

# A file sent through the service into its own bucket goes in parts of this length, each in memory until S3
# has it, so that it can be sent again. Longer where a file would need more than 10,000 of them.
UPLOAD_PART_BYTES: Final = 8 * MIB

# Bytes of such parts that one upload has under way at once, if the process has room for them: ten parts, because on
# a line that loses packets each connection is slow.
UPLOAD_IN_FLIGHT_BYTES: Final = 80 * MIB

# The least that BUFFER_BYTES may be: a part that is sent, and one that arrives.
BUFFER_MIN_BYTES: Final = 2 * UPLOAD_PART_BYTES

# Longest wait for a connection to S3.
CONNECT_TIMEOUT_S: Final = 10.0

# Bytes of a form's file that stay in memory; the rest goes to the temporary directory.
FORM_SPOOL_BYTES: Final = 1 * MIB

# NTFS, APFS and ext4 hold names of up to 255; a longer one was not made by a file system.
FILENAME_MAX_CHARS: Final = 255

# Combining marks in a row in a file name: Unicode's Stream-Safe Text Format (UAX 15 section 13). No language needs
# more, and sorting them takes a time that grows with the square of their number.
COMBINING_RUN_MAX: Final = 30

# How often a key or a name may be percent-encoded over and over before it is refused as one that climbs.
ENCODINGS_MAX: Final = 16

# Longest time in which S3 takes no byte of a file, or says nothing once it has all of them. Less where another attempt
# is to follow: then half of the time that is left. Above: the attempt has failed.
UPSTREAM_IDLE_S: Final = 60.0
# How long a store is waited for that was asked (Expect: 100-continue) whether it wants the file at all; as curl does.
# Above: the file is sent, and this store is not asked again.
EXPECT_TIMEOUT_S: Final = 1.0
# Stores that are remembered for it. Above: they are forgotten, and asked again.
EXPECT_IGNORED_MAX: Final = 256
# Answers of the kind 1xx in front of the real one. S3 sends one at most. Above: it is no HTTP server of good will.
INTERIM_ANSWERS_MAX: Final = 16

# Longest error document of S3 that we read. S3's own are below 2 kB.
UPSTREAM_ERROR_MAX_BYTES: Final = 16 * KIB

# Attempts beyond the first that a caller of the retry route may ask for.
RETRIES_MAX: Final = 10

# Longest pause that a Retry-After header can impose on us. Above: it is cut to this.
RETRY_AFTER_MAX_S: Final = 20.0

# Fields of one head. Above: 431. Browsers send about 20, proxies add a few.
HEAD_FIELDS_MAX: Final = 128

# From a connection's begin, or a head's first byte, to the head's end. Above: 408; a connection that sent nothing is
# closed.
HEAD_TIMEOUT_S: Final = 10.0

# From a body's begin to its end, where it is not a form. Above: 408.
BODY_TIMEOUT_S: Final = 20.0

# How long a connection may be idle between two requests. Load balancers and clients keep theirs for a time of their
# own and lose a request where ours is shorter: AWS's load balancers keep them for 60 s, and so does nginx.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html
KEEP_ALIVE_S: Final = 75

# Requests of one connection that wait behind the one that is being answered. Above: the others are not read yet.
PIPELINED_MAX: Final = 8

# What is left of a body when its request has been answered is read up to this length, and the connection is used
# again. Where it may be longer, the answer ends the connection.
REST_MAX_BYTES: Final = 64 * KIB

# How long, and how much, is read and discarded behind such an answer, so that a client that sends before it reads
# gets it: closing at once resets the connection. The time is shorter once the process is asked to end.
LINGER_S: Final = 30.0
LINGER_MAX_BYTES: Final = 256 * MIB
LINGER_ENDING_S: Final = 2.0

# How long a client may leave an answer unread. Above: the connection is cut.
ANSWER_STALL_S: Final = 30.0

# Connections of one process outside Lambda, unless the limit of open files has no room for as many. Each may hold its
# own socket, one to S3 with its duplicate, and a temporary file. Reserved are those of the process: 40 for idle
# connections to S3, 64 for more parts under way (BUFFER_BYTES of 8 MiB each), 32 for Redis, 5 for the database.
CONNECTIONS_MAX: Final = 1_024
CONNECTIONS_MIN: Final = 8
DESCRIPTORS_PER_CONNECTION: Final = 4
DESCRIPTORS_RESERVED: Final = 160

# At most one log line in this time says that the connections are at their limit.
CONNECTION_LOG_INTERVAL_S: Final = 10.0

# Longest wait for S3 when only its health is asked.
HEALTH_TIMEOUT_S: Final = 2.0

# How long an answer about the bucket's health is reused: the route is public, and S3 requests cost money.
HEALTH_CACHE_S: Final = 5.0

# --- Moving in ------------------------------------------------------------------------------------

# Bytes of files that an import holds in memory at once; one part, if that is longer. A file goes in parts of
# UPLOAD_PART_BYTES, or of a ten-thousandth of it, which is more from 78 GiB on.
IMPORT_IN_FLIGHT_BYTES: Final = 64 * MIB

# Files under way at once, unless the operator says otherwise, and the most. Above: connections are opened
# and closed again for nothing, and hashing takes all cores.
IMPORT_JOBS: Final = 16
IMPORT_JOBS_MAX: Final = 64

# Attempts at one file, each of up to S3_CALL_ATTEMPTS a call, with pauses of up to a minute in between.
IMPORT_FILE_ATTEMPTS: Final = 5

# Rows of a database that are changed in one transaction.
IMPORT_DATABASE_BATCH: Final = 500
