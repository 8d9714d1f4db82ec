"""Errors that S3 or the service itself causes."""

from image_upload.errors.problem import Problem

# --- What S3 or the service does ------------------------------------------------------------------


class UpstreamRefused(Problem):
    """S3 answered 4xx (`upstream_status`, `upstream_code`, `attempts`).

    Mint a new URL; send exactly the type and length it was minted for. After 429 wait a little.
    """

    status, code, title = 400, "upstream-refused", "S3 refused the upload"


class UpstreamRedirected(Problem):
    """S3 pointed elsewhere (`upstream_status`, `attempts`). Redirects are never followed.

    Sign the URL for the bucket's regional host.
    """

    status, code, title = 400, "upstream-redirected", "Redirect not followed"


class UpstreamUnavailable(Problem):
    """S3 answered 5xx or not at all, also to the last attempt (`upstream_status`, `attempts`).

    Send the file again, later.
    """

    status, code, title = 502, "upstream-unavailable", "S3 unavailable"


class OutcomeUnknown(Problem):
    """The connection to S3 broke after the last byte, in a bucket that the service may not look into (`attempts`).

    Look whether the file is there before you send it again.
    """

    status, code, title = 502, "outcome-unknown", "Outcome unknown"


class ClientTooSlow(Problem):
    """The head took longer than 10 seconds, a body that is no form longer than 20; or a form arrives below 1 KiB a
    second on average, or nothing of it came for 30 seconds.

    Send it again over a faster line.
    """

    status, code, title = 408, "client-too-slow", "Client too slow"


class TooManyUploads(Problem):
    """The service takes no more forms at once, from this address or at all, or has no disk for a file that must wait;
    or it imports no more files at once, of this user or at all.

    Try again after `Retry-After` seconds, or send the file to S3 itself.
    """

    status, code, title = 503, "too-many-uploads", "Too many uploads"


class VerificationUnavailable(Problem):
    """The service could not look at the file: it has no process to decode pictures in. The file is kept as it arrived.

    Try again after `Retry-After` seconds. Its operator finds the reason in the log.
    """

    status, code, title = 503, "verification-unavailable", "Verification unavailable"

    def __init__(self) -> None:
        super().__init__("The file cannot be looked at now. Try again in a moment.", headers={"Retry-After": "5"})


class UploadTimedOut(Problem):
    """The time for the whole upload is over (`attempts`): TIMEOUT_SECONDS, or Lambda's deadline.

    Send large files to S3 directly.
    """

    status, code, title = 504, "upload-timed-out", "Upload timed out"


class StorageDenied(Problem):
    """S3 denied the service a call of its own (`upstream_code`); `action` is the IAM action that its role lacks. With
    `clock_off_s` in its place the service's clock is wrong by so many seconds (more than 0: it is fast), which S3
    refuses with the same codes.

    Its operator grants the action to the role (docs/settings.md#what-the-role-needs), or lets a time server set the
    clock.
    """

    status, code, title = 502, "storage-denied", "S3 denied the service"


class StorageUnavailable(Problem):
    """S3 failed at a call of the service's own, or did not answer, three times (`upstream_status`, `upstream_code`).

    Try again in a moment. Completing twice is safe.
    """

    status, code, title = 502, "storage-unavailable", "S3 unavailable"


class StorageTimedOut(Problem):
    """S3 did not answer a call that carries no file (begin, list, look, complete, delete) within 12 seconds, or stopped
    in the middle of one that does. It is not known whether it was done.

    Ask again; completing and deleting twice is safe.
    """

    status, code, title = 504, "storage-timed-out", "S3 did not answer in time"


class CredentialsUnavailable(Problem):
    """The service has no AWS credentials to sign with.

    Its operator sets them, or gives the machine a role; the log has the reason.
    """

    status, code, title = 503, "credentials-unavailable", "Cannot sign"


class InternalError(Problem):
    """A fault of this service.

    Report the `request_id`; the log of that request has the details.
    """

    status, code, title = 500, "internal-error", "Internal error"
