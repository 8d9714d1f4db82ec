"""Errors of a request: of its form, its token, of signing in, and of sending too many."""

from typing import ClassVar

from image_upload.errors.problem import Problem

# --- What you send --------------------------------------------------------------------------------


class ValidationFailed(Problem):
    """A field of the JSON, the query or the form is missing or has the wrong form. `errors` lists each `field` and
    `message`.

    Correct the fields and send again.
    """

    status, code, title = 422, "validation-failed", "Validation failed"


class NotFound(Problem):
    """There is no such path or error code; no such post or file record of yours.

    Compare the path with `/docs`, the id with the one you were given.
    """

    status, code, title = 404, "not-found", "Not found"


class MethodNotAllowed(Problem):
    """The path exists, but not with this method.

    Use a method of the `Allow` header.
    """

    status, code, title = 405, "method-not-allowed", "Method not allowed"


class InvalidUploadHeader(Problem):
    """A header of a resumable upload (`field`) is missing, or not of the form that its protocol gives it. Nothing was
    changed.

    Correct the client; docs/resumable.md has lines for the usual ones.
    """

    status, code, title = 400, "invalid-upload-header", "Invalid upload header"


class UploadProtocolUnknown(Problem):
    """The request to `/resumable` is neither tus 1.0.0 nor the IETF's protocol in a version that the service speaks.

    Send `Tus-Resumable: 1.0.0`, or `Upload-Complete` with `Upload-Draft-Interop-Version: 8`.
    """

    status, code, title = 412, "upload-protocol-unknown", "Unknown upload protocol"


class UnsupportedContentType(Problem):
    """The bytes of a resumable upload came with another `Content-Type` than their protocol demands, or with a
    `Content-Encoding`. Nothing was stored.

    Send the type that the answer's text names.
    """

    status, code, title = 415, "unsupported-content-type", "Unsupported content type"


class InvalidIdempotencyKey(Problem):
    """The header `Idempotency-Key` is neither a string in double quotes nor a word without; it is empty, longer than
    255 characters, or there twice.

    Send a new UUID for each upload, and the same one with each retry.
    """

    status, code, title = 400, "invalid-idempotency-key", "Invalid Idempotency-Key"


class IdempotencyKeyReused(Problem):
    """The `Idempotency-Key` has made a post or a file record already, from another request. Nothing was changed.

    Send a new key with each new request. A retry must send the same fields.
    """

    status, code, title = 422, "idempotency-key-reused", "Idempotency-Key used for another request"


class IdempotencyNotConfigured(Problem):
    """In production the service has no `JWT_SECRET`, which an `Idempotency-Key` needs.

    Its operator sets it. Until then leave the header out.
    """

    status, code, title = 503, "idempotency-not-configured", "Idempotency-Key not configured"


class BodyTooLarge(Problem):
    """The body is larger than the route takes (`max_bytes`).

    For a file: mint a URL with `POST /uploads` and send the file to S3.
    """

    status, code, title = 413, "body-too-large", "Request body too large"


class MalformedRequest(Problem):
    """The request is not HTTP/1.1: broken syntax, HTTP/2 without asking, TLS to a plain port, `CONNECT`.

    Correct it, and send it on a new connection. Ask for `https://` only where a proxy ends TLS in front of the service.
    """

    status, code, title = 400, "malformed-request", "Malformed request"


class HeadTooLarge(Problem):
    """The request line and the header fields are too long (`max_bytes`) or too many; or chunk extensions or trailers
    are.

    Send fewer or shorter fields, or send it in the body; delete cookies.
    """

    # RFC 6585 section 5.
    status, code, title = 431, "head-too-large", "Request head too large"


class TooManyConnections(Problem):
    """The process holds as many connections as it may, and all of them are at work.

    Try again after `Retry-After` seconds. Its operator raises `MAX_CONNECTIONS` or runs more processes.
    """

    status, code, title = 503, "too-many-connections", "Too many connections"


class EdgeRequired(Problem):
    """The request did not come through the edge (CDN, firewall, proxy) that this service stands behind.

    Send it to the service's public address. Its operator finds the header in docs/security.md.
    """

    status, code, title = 403, "edge-required", "Not through the edge"


class TokenMissing(Problem):
    """The route needs a token and got none.

    Send `Authorization: Bearer <token>`.
    """

    status, code, title = 401, "token-missing", "Not signed in"

    # RFC 6750 section 3: a 401 names the scheme that would be accepted.
    challenge: ClassVar[str] = "Bearer"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": self.challenge})


class TokenInvalid(TokenMissing):
    """The token is forged, expired, not valid yet, no access token, or made for another service; or the service has
    neither `JWT_SECRET` nor `JWT_JWKS_URL`.

    Sign in again for a new token. Without sign-in leave the header out: a wrong token is refused also where none is
    needed.
    """

    status, code, title = 401, "token-invalid", "Token not accepted"
    challenge = 'Bearer error="invalid_token"'


class ScopeMissing(Problem):
    """The token has the scope `mint`, and this route is for something else than uploading; or the purpose needs a scope
    that the token lacks.

    Use a token of the user without the scope `mint`, or one with the scope of the purpose.
    """

    status, code, title = 403, "scope-missing", "Scope missing"

    def __init__(self, detail: str) -> None:
        # RFC 6750 section 3.1.
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'})


class TokenKeysUnavailable(Problem):
    """The keys of the identity provider cannot be had, or those that the service has are older than a day.

    Try again after `Retry-After` seconds. Its operator finds the reason in the log as `token keys not refreshed`.
    """

    status, code, title = 503, "token-keys-unavailable", "Token keys unavailable"


class SignInNotConfigured(Problem):
    """This way of signing in is not set up, or the service has no `JWT_SECRET`, or does not know its own address.

    Its operator reads docs/sign-in.md.
    """

    status, code, title = 503, "sign-in-not-configured", "Sign-in not configured"


class SignInExpired(Problem):
    """The sign-in was begun more than ten minutes ago, in another browser, or has ended already. The front end sees it
    as `?error=`, like the next three.

    Begin again.
    """

    status, code, title = 400, "sign-in-expired", "Sign-in expired"


class SignInDenied(Problem):
    """The user, or the provider for them, has declined.

    Begin again to agree.
    """

    status, code, title = 403, "sign-in-denied", "Sign-in denied"


class IdentityRefused(Problem):
    """What the provider says of the user is forged, outdated, or made for another service.

    Begin again. If it stays so, the operator compares `GOOGLE_ISSUER` and the client id.
    """

    status, code, title = 403, "identity-refused", "Identity refused"


class ProviderFailed(Problem):
    """The identity provider does not answer, refuses the code, or answers what it should not.

    Try again in a moment. The operator finds the reason in the log as `identity provider failed`.
    """

    status, code, title = 502, "provider-failed", "Identity provider failed"


class GrantRefused(Problem):
    """The code is older than a minute, was used before, or came without its verifier; or the refresh token was used
    before, its session has ended, or it is none. `error` is `invalid_grant`.

    Sign in again.
    """

    status, code, title = 400, "grant-refused", "Grant refused"


class TooManyRequests(Problem):
    """More requests came from this user or this address than may (`policy`). `RateLimit-Policy` and `RateLimit` say it
    for programs.

    Wait `Retry-After` seconds.
    """

    status, code, title = 429, "too-many-requests", "Too many requests"


class QuotaExceeded(TooManyRequests):
    """The user may store no more bytes or files today, or none in total (`left_bytes`, `left_files`; null: no limit),
    or begin no more uploads of a purpose today.
    What was minted and not sent counts for its time.

    Wait until `resets_at`, or send less; where it is null, delete files. Give up uploads that you will not finish:
    `DELETE /uploads/{ticket}`.
    """

    status, code, title = 429, "quota-exceeded", "Quota exceeded"


class RateLimitUnavailable(Problem):
    """The Redis or database that counts requests and quotas does not answer, and `RATE_LIMIT_FAILS` is `closed`.

    Try again after `Retry-After` seconds. The operator finds the reason in the log as `rate limits not shared`.
    """

    status, code, title = 503, "rate-limit-unavailable", "Rate limit unavailable"


class UploadRefused(Problem):
    """The check of uploads that the operator has written (`AUTHORIZE`) does not allow this one; the detail says why.

    Do what the detail says, or ask the operator.
    """

    status, code, title = 403, "upload-refused", "Upload refused"


class AuthorizationUnavailable(Problem):
    """The operator's own check of uploads (`AUTHORIZE`) failed, or did not answer in time. Nothing was stored.

    Try again later. The operator finds the reason in the log.
    """

    status, code, title = 503, "authorization-unavailable", "Authorization unavailable"


# --- What comes as a form -------------------------------------------------------------------------


class NotAForm(Problem):
    """The body is not `multipart/form-data`.

    Send a `FormData` and set no `Content-Type`; with curl use `-F`.
    """

    status, code, title = 415, "not-a-form", "Not a form"


class MalformedForm(Problem):
    """The form is broken or cut off, repeats a part, or has too many or too long fields.

    Send it again; build it with `FormData` or `curl -F`.
    """

    status, code, title = 400, "malformed-form", "Malformed form"


class UploadUrlInvalid(Problem):
    """`uploadUrl` is not a presigned S3 PUT (Signature Version 4).

    Pass the `presignedUrl` of `POST /uploads` unchanged; mind escaping of `&`.
    """

    status, code, title = 400, "upload-url-invalid", "Invalid upload URL"


class UploadUrlExpired(UploadUrlInvalid):
    """The presigned URL's time is over.

    Mint a new one.
    """

    status, code, title = 400, "upload-url-expired", "Upload URL expired"


class UploadUrlNeedsHeaders(UploadUrlInvalid):
    """The URL signs headers that a form does not carry (`signed_headers`).

    Send the file to S3 directly, with all `headers` of the plan; or mint without `sha256` and `metadata`.
    """

    status, code, title = 400, "upload-url-needs-headers", "Upload URL needs more headers"


class UploadTargetRefused(UploadUrlInvalid):
    """The URL's host, scheme or bucket is not one that this service sends to.

    Use a URL that this service minted; or its operator adds the bucket or host to `PROXY_ALLOWED_BUCKETS` or
    `PROXY_ALLOWED_HOSTS`.
    """

    status, code, title = 403, "upload-target-refused", "Upload target refused"
