"""Form the answers to errors as tus or the IETF's draft has them."""

from collections.abc import Mapping
from typing import Final

from starlette.types import Scope

from image_upload import errors
from image_upload.resumable import tus
from image_upload.resumable.receiving import LIMIT_HEADER, is_tus, limit_of
from image_upload.resumable.service import ResumableUploads
from image_upload.web.routing import ErrorAnswer

# Statuses of these protocols. In the service's own documents these are 400.
_STATUSES: Final[Mapping[str, int]] = {errors.FileTooLarge.code: 413}
_TUS_STATUSES: Final[Mapping[str, int]] = {**_STATUSES, errors.ChecksumMismatch.code: 460}
_TYPES: Final = "https://iana.org/assignments/http-problem-types#"
# Sections 7.1 and 7.2 of the draft.
_IETF_TYPES: Final[Mapping[str, str]] = {
    errors.OffsetMismatch.code: f"{_TYPES}mismatching-upload-offset",
    errors.LengthChanged.code: f"{_TYPES}inconsistent-upload-length",
    errors.LengthExceeded.code: f"{_TYPES}inconsistent-upload-length",
}
# Said of the whole file, after its last byte; no more bytes would help.
_OF_THE_FILE: Final = frozenset({errors.UploadRejected.code, errors.SizeMismatch.code, errors.AlreadyExists.code})


def formed(scope: Scope, answer: ErrorAnswer, uploads: ResumableUploads) -> ErrorAnswer:
    """Return the answer in the form of the request's protocol, with the limits that a next request keeps to."""
    headers, code = answer.headers | limit_of(uploads), answer.document["code"]
    if code == errors.UploadProtocolUnknown.code:
        headers["Tus-Version"] = tus.VERSION
    if code == errors.AppendTooLarge.code and uploads.max_append_bytes is None:
        # The limit of an append with a checksum.
        headers[LIMIT_HEADER] += f", max-append-size={answer.document['max_append_bytes']}"
    answer = answer._replace(headers=headers)
    return _as_tus(answer) if is_tus(scope) else _as_ietf(answer)


def _as_tus(answer: ErrorAnswer) -> ErrorAnswer:
    """Tus gives errors a status and no form. Its clients show their user the text."""
    document = answer.document
    return answer._replace(
        status=_TUS_STATUSES.get(document["code"], answer.status),
        headers=answer.headers | tus.HEADERS,
        text=f"{document['code']}: {document['detail']}\n",
    )


def _as_ietf(answer: ErrorAnswer) -> ErrorAnswer:
    """Give a problem document the draft's types and members, and say whether it is about the file or about bytes."""
    document, code = answer.document, answer.document["code"]
    headers = answer.headers | {"Upload-Complete": "?1" if code in _OF_THE_FILE else "?0"}
    document = document | {"type": _IETF_TYPES.get(code, document["type"])}
    if code == errors.OffsetMismatch.code:
        headers["Upload-Offset"] = str(document["expected_offset"])
        document |= {name.replace("_", "-"): document[name] for name in ("expected_offset", "provided_offset")}
    return answer._replace(status=_STATUSES.get(code, answer.status), headers=headers, document=document)
