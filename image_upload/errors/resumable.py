"""Errors of resumable uploads: of what you send in appends."""

from image_upload.errors.problem import Problem

# --- What you send in appends ---------------------------------------------------------------------


class OffsetMismatch(Problem):
    """The append does not begin where the upload ends (`expected_offset`, `provided_offset`). Nothing of it was stored.

    Ask for the offset (HEAD), and go on from there.
    """

    status, code, title = 409, "offset-mismatch", "Offset mismatch"


class LengthChanged(Problem):
    """The upload has another length already (`length`), or the append does not end there.

    Send the length that the file has, once; or start a new upload.
    """

    status, code, title = 400, "length-changed", "Length changed"


class LengthExceeded(LengthChanged):
    """The append goes beyond the upload's length (`length`). The IETF's protocol then cancels the upload; with tus what
    was stored before stays.

    Send exactly the rest, or start a new upload with the right length.
    """

    status, code, title = 400, "length-exceeded", "Length exceeded"


class FinalUpload(Problem):
    """The upload was joined of partial ones, so it takes no bytes of its own.

    Start a new upload.
    """

    status, code, title = 403, "final-upload", "Final upload"


class AppendTooLarge(Problem):
    """One append holds at most `max_append_bytes`: on Lambda always, elsewhere one with a checksum. Nothing of it was
    stored.

    Send the same bytes in several appends.
    """

    status, code, title = 413, "append-too-large", "Append too large"


class ChecksumMismatch(Problem):
    """The bytes of the append are not those of its checksum. Nothing of it was stored.

    Send them again.
    """

    status, code, title = 400, "checksum-mismatch", "Checksum mismatch"


class UploadGone(Problem):
    """The upload was cancelled, or cleaned up. What is completed and deleted afterwards answers the same.

    Start a new upload.
    """

    status, code, title = 410, "upload-gone", "Upload gone"


class UploadBusy(Problem):
    """Another request of the same upload is at work. What was acknowledged stays.

    Ask for the offset after `Retry-After` seconds.
    """

    status, code, title = 503, "upload-busy", "Upload busy"

    def __init__(self) -> None:
        super().__init__(
            "Another request of this upload is at work. Ask for its offset in a moment.", headers={"Retry-After": "1"}
        )


class ConcatenationInvalid(Problem):
    """What is to be joined is no partial upload, or not complete, or too much of it (`max_partials`).

    Complete each partial upload first, and name them in their order.
    """

    status, code, title = 400, "concatenation-invalid", "Invalid concatenation"
