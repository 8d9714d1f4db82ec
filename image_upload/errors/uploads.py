"""Errors of a file: of its description, its source, its parts, its record."""

from image_upload.errors.problem import Problem

# --- What you want to store or read ---------------------------------------------------------------


class ChunksNotSupported(Problem):
    """The form carries one chunk of a file (`field` names what says so); chunks are not put together, and nothing was
    stored.

    Switch chunking off in the client, or send the parts with a multipart plan.
    """

    status, code, title = 400, "chunks-not-supported", "Chunks are not supported"


class EmptyFile(Problem):
    """The file holds no byte (`size` is 0, or the form's file is empty); nothing was stored.

    Choose a file with content.
    """

    status, code, title = 400, "empty-file", "Empty file"

    def __init__(self) -> None:
        super().__init__("The file is empty (0 bytes); nothing was stored. Choose a file with content.")


class FileTooLarge(Problem):
    """`size` is above what the purpose takes (`max_bytes`), or a file that came without a size is, and was removed.

    Make the file smaller, or choose another purpose.
    """

    status, code, title = 400, "file-too-large", "File too large"


class UnsupportedFileType(Problem):
    """The purpose does not take this type, or type and file extension disagree (`allowed` lists what would do); or
    `contentType` is empty, as browsers have it for types they do not know, and the extension does not say one.

    Convert or rename the file, or correct `contentType`. For any file: the purpose `file` and
    `application/octet-stream`.
    """

    status, code, title = 400, "unsupported-file-type", "Unsupported file type"


class InvalidFilename(Problem):
    """The name is empty, a path, longer than 255 characters, or holds control characters.

    Send the bare name, such as `cat.jpg`.
    """

    status, code, title = 400, "invalid-filename", "Invalid file name"


class InvalidMetadata(Problem):
    """S3 cannot store the metadata: more than 2 KiB (`max_bytes`), control characters, a bad name; or the purpose
    `audio` lacks `class_id`.

    Send less, with names of a-z, 0-9, `-` and `_`.
    """

    status, code, title = 400, "invalid-metadata", "Invalid metadata"


class InvalidKey(Problem):
    """The object key is empty, longer than 1024 bytes, begins with a slash, climbs with `.` or `..` (also if it is
    decoded once more), or holds a backslash or control characters.

    Send the `objectKey` that you were given, percent-encoded once.
    """

    status, code, title = 400, "invalid-key", "Invalid object key"


class NoStrategy(Problem):
    """No way of uploading that you `accept` can carry this file; or it is above 5 GiB and has a `sha256` (`possible`
    lists what would do).

    Accept one of `possible`; for a file above 5 GiB accept `multipart` and leave `sha256` out.
    """

    status, code, title = 400, "no-strategy", "No possible strategy"


class BatchRefused(Problem):
    """One or more files of a batch are not allowed; nothing was minted (`errors` lists each `index`, `code` and
    `detail`).

    Correct or drop these files and send the batch again. Mint files that need parts alone.
    """

    status, code, title = 400, "batch-refused", "Batch refused"


class ObjectMissing(Problem):
    """There is no object of yours under this key: there is none, or it is another user's.

    Compare the key with the `objectKey` or `key` you were given. After a presigned PUT: was it sent?
    """

    status, code, title = 404, "object-missing", "No such object"


class JobMissing(Problem):
    """There is no job of yours with this id: it is another user's, or ended more than a week ago.

    Compare the id with the `job_id` you were given.
    """

    status, code, title = 404, "job-missing", "No such job"


class JobOver(Problem):
    """The job has ended already, with another result.

    Keep the first one. A worker that gets a message twice drops the second.
    """

    status, code, title = 409, "job-over", "Job over"


class QueueNotConfigured(Problem):
    """This route hands work to a worker, and the service has no queue.

    Its operator sets `QUEUE_URL`: docs/jobs.md.
    """

    status, code, title = 503, "queue-not-configured", "Queue not configured"


class QueueUnavailable(Problem):
    """The queue of the workers does not answer, or refuses the message. The file is stored; its job waits.

    Send the request again after `Retry-After` seconds. The operator finds the reason in the log.
    """

    status, code, title = 503, "queue-unavailable", "Queue unavailable"


# --- What is imported from a URL ------------------------------------------------------------------


class SourceUrlInvalid(Problem):
    """`url` is no URL of a file that can be fetched.

    Copy the address of the file itself, which begins with `https://`.
    """

    status, code, title = 400, "source-url-invalid", "Invalid source URL"


class SourceUrlRefused(SourceUrlInvalid):
    """The service does not fetch this URL, or one that it redirects to: it is not https, names a user or a port, or its
    host leads to an address that is not public; or imports are off.

    Send the https URL of a public server. The operator switches imports on with `FROM_URL` and names servers of their
    own in `FROM_URL_PRIVATE_HOSTS`.
    """

    status, code, title = 403, "source-url-refused", "Source URL refused"


class SourceRefused(Problem):
    """The URL's server does not give the file: it answered something other than 200 (`upstream_status`), redirects too
    often, or sends it compressed. Nothing was stored.

    Open the URL in a browser that is not signed in; it must show the file.
    """

    status, code, title = 400, "source-refused", "Source refused"


class SourceUnavailable(Problem):
    """The URL's server cannot be reached, answered 5xx (`upstream_status`), or broke off. Nothing was stored.

    Try again later.
    """

    status, code, title = 502, "source-unavailable", "Source unavailable"


class SourceTimedOut(Problem):
    """The URL's server is too slow, or the import's time is over. Nothing was stored.

    Try again later, or send the file yourself.
    """

    status, code, title = 504, "source-timed-out", "Source timed out"


class JobNotStarted(Problem):
    """The service could not hand the work to the process that does it (`upstream_status`). Nothing was stored.

    Try again. Its operator grants `lambda:InvokeFunction` on the function itself; the log has the reason.
    """

    status, code, title = 503, "job-not-started", "Job not started"


# --- What you send in parts -----------------------------------------------------------------------


class TicketInvalid(Problem):
    """The ticket was altered, or is none of this service; or Uppy sent another key than the ticket's. After a restart
    of a local service without `JWT_SECRET` all earlier tickets are.

    Pass the ticket unchanged, or start a new upload.
    """

    status, code, title = 403, "ticket-invalid", "Invalid ticket"


class TicketExpired(TicketInvalid):
    """The upload began more than a day ago.

    Start a new one with `POST /uploads`.
    """

    status, code, title = 410, "ticket-expired", "Ticket expired"


class TicketsNotConfigured(Problem):
    """In production the service has no `JWT_SECRET`, so it can sign no tickets.

    Its operator sets it. Until then accept `put`: it carries up to 5 GiB.
    """

    status, code, title = 503, "tickets-not-configured", "Multipart uploads not configured"


class UploadNotFound(Problem):
    """There is no such upload of yours, and no finished object of it: it was aborted, or cleaned up, or is another
    user's. To an abort: or it is finished.

    Start a new one. An abort that gets this answer has nothing left to do.
    """

    status, code, title = 404, "upload-not-found", "Upload not found"


class PartsInvalid(Problem):
    """A part number is out of range (`last`), named twice, or missing (`missing`, the first 100); an ETag is none; or
    more URLs are asked for than one answer holds (`max_parts`).

    Send the missing parts, or correct the list. Nothing is lost.
    """

    status, code, title = 400, "parts-invalid", "Invalid parts"


class PartsRefused(PartsInvalid):
    """S3 has other parts than you name, or one is too small (`upstream_code`).

    `GET /uploads/{ticket}` lists what S3 has. Send the others again, then complete.
    """

    status, code, title = 400, "parts-refused", "S3 refused the parts"


class SizeMismatch(Problem):
    """The stored object has another length than you announced (`expected_bytes`, `stored_bytes`). It was removed.

    Start a new upload with the right size.
    """

    status, code, title = 400, "size-mismatch", "Size mismatch"


class AlreadyExists(Problem):
    """With `ifNoneMatch` or an `Idempotency-Key`: there is an object under this key already (`objectKey`, and the `id`
    of its row). It was not touched.

    After a retry: the file is stored, and there is nothing left to do. Else start a new upload, which gets a key of its
    own.
    """

    status, code, title = 412, "already-exists", "Object already exists"


# --- What has a record ----------------------------------------------------------------------------


class NotArrived(Problem):
    """There is a record, and S3 has no object for it (`state`: `pending`, or `expired` when the time for sending is
    over), or has one that is not verified yet (`checking`).

    `pending`: send the file, then complete. `checking`: ask again. `expired`: start a new upload.
    """

    status, code, title = 409, "not-arrived", "Not arrived"


class UploadRejected(Problem):
    """What arrived differs from what was promised (`fault`: `size`, `type` or `checksum`), or verification keeps it out
    (`disguised`, `undecodable`, `too-many-pixels`, `too-many-frames`, `malware`, `unscannable`). It is not stored.

    Start a new upload with the right description of the file, or with another file; the text says which.
    """

    status, code, title = 409, "upload-rejected", "Upload rejected"


class DatabaseNotConfigured(Problem):
    """This route needs a database, and the service has none.

    Its operator sets `DATABASE_URL`: docs/records.md. `POST /uploads` works without.
    """

    status, code, title = 503, "database-not-configured", "No database"


class DatabaseUnavailable(Problem):
    """The database does not answer, is too slow, or lacks a table of this version (then the text names the command
    that makes it).

    Try again after `Retry-After` seconds.
    """

    status, code, title = 503, "database-unavailable", "Database unavailable"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Retry-After": "5"})
