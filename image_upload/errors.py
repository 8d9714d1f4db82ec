"""The one tree of errors, and the one function that turns it into RFC 9457 problem documents.

    Problem
    ├── ValidationFailed          422  validation-failed        a field is missing or has the wrong form
    ├── NotFound                  404  not-found                no such route or resource
    ├── MethodNotAllowed          405  method-not-allowed       the path exists, the method does not
    ├── BodyTooLarge              413  body-too-large           more bytes than this route takes
    ├── MalformedRequest          400  malformed-request        not HTTP/1.1, so no route has seen it
    ├── HeadTooLarge              431  head-too-large           path, query and headers are too long or too many
    ├── TooManyConnections        503  too-many-connections     all connections of the process are in use
    ├── TokenMissing              401  token-missing            a route that needs a token got none
    │   └── TokenInvalid          401  token-invalid            the token is forged, expired or not ours
    ├── ScopeMissing              403  scope-missing            the token is for other things than this
    ├── TokenKeysUnavailable      503  token-keys-unavailable   the identity provider's keys cannot be had
    ├── SignInNotConfigured       503  sign-in-not-configured   this way of signing in is not set up
    ├── SignInExpired             400  sign-in-expired          it was begun too long ago, or in another browser
    ├── SignInDenied              403  sign-in-denied           the provider's user said no
    ├── IdentityRefused           403  identity-refused         what the provider says of its user cannot be trusted
    ├── ProviderFailed            502  provider-failed          the provider does not answer as it should
    ├── GrantRefused              400  grant-refused            the code or refresh token is not good any more
    ├── TooManyRequests           429  too-many-requests        above the rate limit of a user or an address
    │   └── QuotaExceeded         429  quota-exceeded           above a user's bytes or files of a day
    ├── RateLimitUnavailable      503  rate-limit-unavailable   the store of rate limits does not answer
    ├── FileTooLarge              400  file-too-large           above the purpose's limit
    ├── UnsupportedFileType       400  unsupported-file-type    type not allowed, or at odds with the name
    ├── InvalidFilename           400  invalid-filename         a path, control characters, too long
    ├── InvalidMetadata           400  invalid-metadata         not storable as S3 user metadata
    ├── InvalidKey                400  invalid-key              not an object key we would ever make
    ├── NoStrategy                400  no-strategy              nothing the client accepts can carry this file
    ├── BatchRefused              400  batch-refused            one or more files of a batch are not allowed
    ├── TicketInvalid             403  ticket-invalid           altered, or no ticket of ours
    │   └── TicketExpired         410  ticket-expired           the upload's time is over
    ├── TicketsNotConfigured      503  tickets-not-configured   no secret to sign tickets with
    ├── UploadNotFound            404  upload-not-found         aborted, expired, or never there
    ├── ObjectMissing             404  object-missing           S3 says that there is no such object
    ├── PartsInvalid              400  parts-invalid            numbers or ETags that cannot be right
    │   └── PartsRefused          400  parts-refused            S3 has other parts than the client names
    ├── SizeMismatch              400  size-mismatch            the stored object has another length
    ├── NotArrived                409  not-arrived              a record, and S3 has no object for it
    ├── UploadRejected            409  upload-rejected          what arrived is not what was promised
    ├── AlreadyExists             412  already-exists           the key is taken and must not be overwritten
    ├── NotAForm                  415  not-a-form               the body is not multipart/form-data
    ├── MalformedForm             400  malformed-form           broken, cut off, or too many parts
    ├── ChunksNotSupported        400  chunks-not-supported     one piece of a file that is sent in several forms
    ├── EmptyFile                 400  empty-file               the file holds no byte
    ├── UploadUrlInvalid          400  upload-url-invalid       not a presigned S3 PUT
    │   ├── UploadUrlExpired      400  upload-url-expired       it was one, until its expiry
    │   ├── UploadUrlNeedsHeaders 400  upload-url-needs-headers signed headers that a form cannot carry
    │   └── UploadTargetRefused   403  upload-target-refused    a host or bucket we do not send to
    ├── UpstreamRefused           400  upstream-refused         S3 said 4xx: trying again cannot help
    ├── UpstreamRedirected        400  upstream-redirected      S3 pointed elsewhere; never followed
    ├── UpstreamUnavailable       502  upstream-unavailable     5xx or no connection after the last attempt
    ├── OutcomeUnknown            502  outcome-unknown          the connection broke after the last byte
    ├── ClientTooSlow             408  client-too-slow          the request arrives too slowly
    ├── TooManyUploads            503  too-many-uploads         all places are taken
    ├── UploadTimedOut            504  upload-timed-out         the time for the whole upload is over
    ├── StorageDenied             502  storage-denied           S3 lets the service do less than it needs
    ├── StorageUnavailable        502  storage-unavailable      S3 did not answer a call of the service's own
    ├── StorageTimedOut           504  storage-timed-out        S3 did not answer in time: the outcome is unknown
    ├── DatabaseNotConfigured     503  database-not-configured  the service has no database
    ├── DatabaseUnavailable       503  database-unavailable     the database does not answer, or has no tables
    ├── CredentialsUnavailable    503  credentials-unavailable  the service cannot sign
    └── InternalError             500  internal-error           a fault of ours; the log has the details

`detail` is a sentence for the person who reads it and says what to do next. No problem ever
carries a presigned URL's query, a token or a secret.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from image_upload.languages.wording import Sentence

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer that is not a success.

    `detail` says what happened and what to do next, and `facts` are the values for the names in its braces, so that
    `korean.details` can say the same; `extras` become members of the document (RFC 9457 section 3.2); `headers` go
    onto the response. `concealed_key` is the key of another user's object that is answered as missing. It goes into
    the audit log, and never into the answer.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        facts: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        concealed_key: str | None = None,
        **extras: Any,
    ) -> None:
        self.detail = Sentence(detail, facts)
        super().__init__(self.detail)
        self.headers = dict(headers or {})
        self.extras = extras
        self.concealed_key = concealed_key


class ValidationFailed(Problem):
    """A field is missing or has the wrong form. `errors` names each one and what was expected."""

    status, code, title = 422, "validation-failed", "Validation failed"


class NotFound(Problem):
    """No such route or resource. Compare the path with `/docs`."""

    status, code, title = 404, "not-found", "Not found"


class MethodNotAllowed(Problem):
    """The path exists but not with this method. The `Allow` header lists the methods that do."""

    status, code, title = 405, "method-not-allowed", "Method not allowed"


class BodyTooLarge(Problem):
    """More bytes than this route takes (`max_bytes`). Mint a URL with `POST /uploads`, send the file to S3."""

    status, code, title = 413, "body-too-large", "Request body too large"


class MalformedRequest(Problem):
    """The request is not HTTP/1.1. Correct its syntax, and send it on a new connection."""

    status, code, title = 400, "malformed-request", "Malformed request"


class HeadTooLarge(Problem):
    """Path, query and headers have more than `max_bytes`, or are too many. Send less, or send it in the body."""

    # RFC 6585 section 5.
    status, code, title = 431, "head-too-large", "Request head too large"


class TooManyConnections(Problem):
    """The service holds as many connections as it may. Try again after `Retry-After` seconds."""

    status, code, title = 503, "too-many-connections", "Too many connections"


class TokenMissing(Problem):
    """The route needs `Authorization: Bearer <token>` and got none."""

    status, code, title = 401, "token-missing", "Not signed in"

    # RFC 6750 section 3: a 401 names the scheme that would be accepted.
    challenge: ClassVar[str] = "Bearer"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": self.challenge})


class TokenInvalid(TokenMissing):
    """The token is forged, expired, or made for another service. Sign in again."""

    status, code, title = 401, "token-invalid", "Token not accepted"
    challenge = 'Bearer error="invalid_token"'


class ScopeMissing(Problem):
    """The token's scope allows uploads only. Use a token of the user, without the `mint` scope."""

    status, code, title = 403, "scope-missing", "Scope missing"

    def __init__(self, detail: str) -> None:
        # RFC 6750 section 3.1.
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'})


class TokenKeysUnavailable(Problem):
    """The keys of the identity provider cannot be had, so no token of it can be checked. Try again in a moment."""

    status, code, title = 503, "token-keys-unavailable", "Token keys unavailable"


class SignInNotConfigured(Problem):
    """This way of signing in is not set up. The service's operator finds in docs/sign-in.md what it takes."""

    status, code, title = 503, "sign-in-not-configured", "Sign-in not configured"


class SignInExpired(Problem):
    """The sign-in was begun more than ten minutes ago, in another browser, or ended before. Begin it again."""

    status, code, title = 400, "sign-in-expired", "Sign-in expired"


class SignInDenied(Problem):
    """The person, or the provider for them, has declined. Begin again to agree."""

    status, code, title = 403, "sign-in-denied", "Sign-in denied"


class IdentityRefused(Problem):
    """What the provider says of the person is forged, outdated or made for another service. Begin again."""

    status, code, title = 403, "identity-refused", "Identity refused"


class ProviderFailed(Problem):
    """The identity provider does not answer as it should. Try again; the operator finds the reason in the log."""

    status, code, title = 502, "provider-failed", "Identity provider failed"


class GrantRefused(Problem):
    """The code or refresh token was used before, is too old, or none of ours. Sign in again."""

    status, code, title = 400, "grant-refused", "Grant refused"


class TooManyRequests(Problem):
    """More requests than this user or this address may send (`policy`). Wait `Retry-After` seconds."""

    status, code, title = 429, "too-many-requests", "Too many requests"


class QuotaExceeded(TooManyRequests):
    """More than the user's quota of this day (`left_bytes`, `left_files`; null: no limit). It ends at `resets_at`."""

    status, code, title = 429, "quota-exceeded", "Quota exceeded"


class RateLimitUnavailable(Problem):
    """The store of rate limits and quotas does not answer, and the service closes then. Try again in a moment."""

    status, code, title = 503, "rate-limit-unavailable", "Rate limit unavailable"


class FileTooLarge(Problem):
    """The file is larger than its purpose allows (`max_bytes`). Make it smaller, or choose another purpose."""

    status, code, title = 400, "file-too-large", "File too large"


class UnsupportedFileType(Problem):
    """The purpose does not take this type (`allowed`), or type and file extension disagree."""

    status, code, title = 400, "unsupported-file-type", "Unsupported file type"


class InvalidFilename(Problem):
    """The name is a path, holds control characters, or is too long. Send the bare file name."""

    status, code, title = 400, "invalid-filename", "Invalid file name"


class InvalidMetadata(Problem):
    """The metadata cannot be stored by S3: too large, control characters, or a name that is no token."""

    status, code, title = 400, "invalid-metadata", "Invalid metadata"


class InvalidKey(Problem):
    """The object key is empty, too long, climbs with `..`, or holds control characters."""

    status, code, title = 400, "invalid-key", "Invalid object key"


class NoStrategy(Problem):
    """No way of uploading that the client `accepts` can carry this file. `possible` lists those that can."""

    status, code, title = 400, "no-strategy", "No possible strategy"


class BatchRefused(Problem):
    """One or more files of the batch are not allowed; nothing was minted. `errors` names each by its index."""

    status, code, title = 400, "batch-refused", "Batch refused"


class TicketInvalid(Problem):
    """The ticket was altered or is none of this service. Pass the one you were given, unchanged."""

    status, code, title = 403, "ticket-invalid", "Invalid ticket"


class TicketExpired(TicketInvalid):
    """The upload's time is over. Start a new one with `POST /uploads`."""

    status, code, title = 410, "ticket-expired", "Ticket expired"


class TicketsNotConfigured(Problem):
    """Multipart uploads need a secret to sign their tickets with: the operator sets `JWT_SECRET`."""

    status, code, title = 503, "tickets-not-configured", "Multipart uploads not configured"


class UploadNotFound(Problem):
    """There is no such upload of yours: it was aborted, completed long ago, or cleaned up. Start a new one."""

    status, code, title = 404, "upload-not-found", "Upload not found"


class ObjectMissing(Problem):
    """There is no such object of yours. Compare the key with the `objectKey` or `key` you were given."""

    status, code, title = 404, "object-missing", "No such object"


class PartsInvalid(Problem):
    """The parts cannot be right: a number out of range, twice or missing, or an ETag that is none."""

    status, code, title = 400, "parts-invalid", "Invalid parts"


class PartsRefused(PartsInvalid):
    """S3 has other parts than named (`upstream_code`). `GET /uploads/{ticket}` lists those it has."""

    status, code, title = 400, "parts-refused", "S3 refused the parts"


class SizeMismatch(Problem):
    """The stored object had another length than was minted (`expected_bytes`, `stored_bytes`) and was removed."""

    status, code, title = 400, "size-mismatch", "Size mismatch"


class NotArrived(Problem):
    """There is a record, but S3 has no object for it (`state`). Send the file first, then complete."""

    status, code, title = 409, "not-arrived", "Not arrived"


class UploadRejected(Problem):
    """What arrived differs from what was promised (`fault`: size, type or checksum). It is not kept. Start anew."""

    status, code, title = 409, "upload-rejected", "Upload rejected"


class AlreadyExists(Problem):
    """There is an object under this key already, and the upload was minted not to overwrite one."""

    status, code, title = 412, "already-exists", "Object already exists"


class NotAForm(Problem):
    """The body is not `multipart/form-data`. In browsers pass a `FormData` and set no Content-Type yourself."""

    status, code, title = 415, "not-a-form", "Not a form"


class MalformedForm(Problem):
    """The form is broken, was cut off, repeats a field, or has too many parts or headers."""

    status, code, title = 400, "malformed-form", "Malformed form"


class ChunksNotSupported(Problem):
    """The form carries one chunk of a file; nothing was stored. Switch chunking off, or use a multipart plan."""

    status, code, title = 400, "chunks-not-supported", "Chunks are not supported"


class EmptyFile(Problem):
    """The file holds no byte; nothing was stored. Choose a file with content."""

    status, code, title = 400, "empty-file", "Empty file"

    def __init__(self) -> None:
        super().__init__("The file is empty (0 bytes); nothing was stored. Choose a file with content.")


class UploadUrlInvalid(Problem):
    """`uploadUrl` is not a presigned S3 PUT URL. Pass the `presignedUrl` of `POST /uploads` unchanged."""

    status, code, title = 400, "upload-url-invalid", "Invalid upload URL"


class UploadUrlExpired(UploadUrlInvalid):
    """The presigned URL's time is over. Mint a new one."""

    status, code, title = 400, "upload-url-expired", "Upload URL expired"


class UploadUrlNeedsHeaders(UploadUrlInvalid):
    """The URL signs headers whose values a form does not carry (`signed_headers`). Send the file to S3 directly."""

    status, code, title = 400, "upload-url-needs-headers", "Upload URL needs more headers"


class UploadTargetRefused(UploadUrlInvalid):
    """The URL's host or bucket is not one this service sends to (PROXY_ALLOWED_BUCKETS, PROXY_ALLOWED_HOSTS)."""

    status, code, title = 403, "upload-target-refused", "Upload target refused"


class UpstreamRefused(Problem):
    """S3 refused the upload (`upstream_status`, `upstream_code`): expired, or not what was signed."""

    status, code, title = 400, "upstream-refused", "S3 refused the upload"


class UpstreamRedirected(Problem):
    """The store answered with a redirect, which is never followed. Sign for the bucket's regional host."""

    status, code, title = 400, "upstream-redirected", "Redirect not followed"


class UpstreamUnavailable(Problem):
    """S3 answered 5xx or not at all, also to the last attempt (`attempts`). The file was not stored by us."""

    status, code, title = 502, "upstream-unavailable", "S3 unavailable"


class OutcomeUnknown(Problem):
    """The connection to S3 broke after the last byte: the file may be stored. Look before you send it again."""

    status, code, title = 502, "outcome-unknown", "Outcome unknown"


class ClientTooSlow(Problem):
    """The request arrives too slowly, or not any more. Send it again over a faster line."""

    status, code, title = 408, "client-too-slow", "Client too slow"


class TooManyUploads(Problem):
    """The service takes no more uploads at once, of this address or at all. Try again after `Retry-After` seconds."""

    status, code, title = 503, "too-many-uploads", "Too many uploads"


class UploadTimedOut(Problem):
    """The time for the whole upload is over (TIMEOUT_SECONDS, Lambda's deadline). Send large files to S3 directly."""

    status, code, title = 504, "upload-timed-out", "Upload timed out"


class StorageDenied(Problem):
    """S3 denied the service a call. Its operator grants `action` to the role, or sets the clock (`clock_off_s`)."""

    status, code, title = 502, "storage-denied", "S3 denied the service"


class StorageUnavailable(Problem):
    """S3 failed or did not answer a call that the service made itself. Try again in a moment."""

    status, code, title = 502, "storage-unavailable", "S3 unavailable"


class StorageTimedOut(Problem):
    """S3 did not answer in time, so it is not known what is there, or whether it was done. Ask again."""

    status, code, title = 504, "storage-timed-out", "S3 did not answer in time"


class DatabaseNotConfigured(Problem):
    """This route needs a database, and the service has none. Its operator sets `DATABASE_URL`."""

    status, code, title = 503, "database-not-configured", "No database"


class DatabaseUnavailable(Problem):
    """The database does not answer, is too slow, or has not been migrated. Try again after `Retry-After` seconds."""

    status, code, title = 503, "database-unavailable", "Database unavailable"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Retry-After": "5"})


class CredentialsUnavailable(Problem):
    """The service has no AWS credentials to sign with. Its operator finds the reason in the log."""

    status, code, title = 503, "credentials-unavailable", "Cannot sign"


class InternalError(Problem):
    """A fault of this service. Report the `request_id`; the log of that request has the details."""

    status, code, title = 500, "internal-error", "Internal error"


def every_problem(root: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Yield all kinds of problem, parents first: the list behind `/errors`, the documentation and its test."""
    for kind in root.__subclasses__():
        yield kind
        yield from every_problem(kind)


def as_document(kind: type[Problem], detail: str, request_id: str, **extras: Any) -> dict[str, Any]:
    """Return a problem as an RFC 9457 document. `request_id` is the one in the log and in X-Request-Id."""
    return {
        "type": f"/errors/{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": kind.code,
        "request_id": request_id,
        **extras,
    }
