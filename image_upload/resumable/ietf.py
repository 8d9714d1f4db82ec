"""The IETF's resumable uploads, over the same uploads as tus: interop version 8 of the draft, and 6 and 7.

https://datatracker.ietf.org/doc/draft-ietf-httpbis-resumable-upload/
The sections below are the draft's. No interim answer (104) is sent: a Function URL cannot, and a client must not rely
on one.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from image_upload.auth.principals import Principal
from image_upload.domain import checks
from image_upload.errors import (
    InvalidUploadHeader,
    LengthChanged,
    LengthExceeded,
    UnsupportedContentType,
    UploadProtocolUnknown,
)
from image_upload.form_proxy.part_names import filename_of
from image_upload.resumable import ietf_fields
from image_upload.resumable.bodies import Checksum
from image_upload.resumable.receiving import Receiver, announced_bytes, field, limit_of
from image_upload.resumable.service import Progress
from image_upload.uploads.plans import UploadSpec
from image_upload.uploads.serializers import as_completed
from image_upload.uploads.service import UploadService
from image_upload.uploads.tickets import ResumableTicket
from image_upload.web.json_answer import JSONResponse

# What pages may read of the answers.
EXPOSED: Final = ("Location", "Upload-Offset", "Upload-Length", "Upload-Complete", "Upload-Limit")
_CONTENT_TYPE: Final = "application/partial-upload"
# 7 and 8 gave names to problems and asked for more fields, which are sent in any case.
_VERSIONS: Final = frozenset({6, 7, 8})
# RFC 9530's names, and those of `bodies.ALGORITHMS`.
_ALGORITHMS: Final = {"sha-256": "sha256", "sha-512": "sha512"}


class Ietf:
    """The requests of the protocol and their answers."""

    def __init__(self, receiver: Receiver, upload_service: UploadService) -> None:
        self._receiver = receiver
        self._uploads = receiver.uploads
        self._upload_service = upload_service

    def check(self, request: Request) -> None:
        """Raise `UploadProtocolUnknown` for another version of the draft. The final protocol will send none."""
        value = field(request, "Upload-Draft-Interop-Version")
        if value is not None and ietf_fields.version(value) not in _VERSIONS:
            raise UploadProtocolUnknown(
                "This service speaks the interop versions 6, 7 and 8 of the draft. Send "
                "Upload-Draft-Interop-Version: 8, or leave it out."
            )

    async def create(self, request: Request, principal: Principal) -> Response:
        """Begin an upload (section 4.2) with the bytes of the body. With `Upload-Complete: ?1` they are all."""
        complete = ietf_fields.is_true(field(request, "Upload-Complete"))
        if complete is None:
            raise UploadProtocolUnknown(
                "The request names no protocol. Send Tus-Resumable: 1.0.0, or Upload-Complete: ?0 for the IETF's."
            )
        if field(request, "Content-Encoding") not in (None, "identity"):
            # RFC 9110 section 15.5.16
            raise UnsupportedContentType(
                "A file is stored as it is sent, so a Content-Encoding is not taken. Send the file without.",
                headers={"Accept-Encoding": "identity"},
            )
        length = _length(request, 0, ends=complete)
        checksum = _checksum(request, is_whole=complete)
        plan = await self._uploads.create(self._spec(request, principal, length))
        headers = {"Location": plan.path}
        if not complete and announced_bytes(request) == 0:
            return self._answer(Progress(plan.ticket, 0, length, is_complete=False, stored=None), 201, headers)
        progress = await self._receiver.append_first(
            request, principal, plan.ticket, length=length, ends=complete, checksum=checksum
        )
        return self._answer(progress, 201, headers)

    def _spec(self, request: Request, principal: Principal, size_bytes: int | None) -> UploadSpec:
        """Return what the fields of the representation say of the file. The query names its purpose."""
        purpose = self._upload_service.purpose(request.query_params.get("purpose"), principal)
        filename = filename_of(field(request, "Content-Disposition") or "")
        class_id = request.query_params.get("class_id")
        return UploadSpec(
            content_type=checks.type_or_any(purpose, field(request, "Content-Type") or "", filename or ""),
            purpose=purpose,
            principal=principal,
            filename=filename,
            size_bytes=size_bytes,
            metadata={"class_id": class_id} if class_id else None,
        )

    async def progress(self, ticket: ResumableTicket) -> tuple[Progress, dict[str, str]]:
        """Return the state of an upload, and the headers that tell it (section 4.3)."""
        progress = await self._uploads.state(ticket)
        return progress, self._headers(progress)

    async def append(self, request: Request, principal: Principal, ticket: ResumableTicket) -> Response:
        """Append the body at its offset (section 4.4)."""
        if field(request, "Content-Type") != _CONTENT_TYPE:
            # RFC 5789 section 2.2
            raise UnsupportedContentType(
                f"Bytes are appended as Content-Type: {_CONTENT_TYPE}. Send it.",
                headers={"Accept-Patch": _CONTENT_TYPE},
            )
        complete = ietf_fields.is_true(field(request, "Upload-Complete"))
        offset = ietf_fields.count(field(request, "Upload-Offset"))
        if complete is None or offset is None:
            missing = "Upload-Complete" if complete is None else "Upload-Offset"
            raise InvalidUploadHeader(
                "{field} is missing, or not of its type. Send Upload-Offset: 5242880, and Upload-Complete: ?0 or ?1.",
                facts={"field": missing},
                field=missing,
            )
        checksum = _checksum(request, is_whole=complete and offset == 0)
        declared = {"length": _length(request, offset, ends=complete), "checksum": checksum}
        try:
            progress = await self._receiver.append(request, principal, ticket, offset, ends=complete, **declared)
        except LengthExceeded:
            # Section 4.4.2: "marking the upload resource invalid and rejecting any further interaction with it".
            await self._uploads.cancel(ticket)
            raise
        return self._answer(progress, 204)

    def ended(self, ticket: ResumableTicket) -> Response:
        """Return the answer to a cancelled upload (section 4.5)."""
        return Response(status_code=204, headers=limit_of(self._uploads, ticket))

    def _answer(self, progress: Progress, status: int, headers: dict[str, str] | None = None) -> Response:
        """Return the answer to bytes; to the last ones, that of the resource that takes files: what is stored."""
        every = {**self._headers(progress), **(headers or {})}
        if progress.stored is None:
            return Response(status_code=status, headers=every)
        content, status, more = as_completed(progress.stored)
        return JSONResponse(content, status, {**every, **more})

    def _headers(self, progress: Progress) -> dict[str, str]:
        length = {} if progress.length is None else {"Upload-Length": str(progress.length)}
        return {
            "Upload-Offset": str(progress.offset),
            "Upload-Complete": ietf_fields.as_boolean(progress.is_complete),
            **length,
            **limit_of(self._uploads, progress.ticket),
        }


def _length(request: Request, offset: int, *, ends: bool) -> int | None:
    """Return the length of the upload by this request (section 4.1.3); None if it does not say.

    Raises `LengthChanged` for two lengths: "If indicators (1) and (2) are both present in the same request, their
    indicated lengths MUST match."
    """
    declared = ietf_fields.count(field(request, "Upload-Length"))
    more_bytes = announced_bytes(request) if ends else None
    if more_bytes is None:
        return declared
    length = offset + more_bytes
    if declared not in (None, length):
        raise LengthChanged(
            "Upload-Length says another length than the body with Upload-Complete: ?1. Send the same one.",
            length=declared,
        )
    return length


def _checksum(request: Request, *, is_whole: bool) -> Checksum | None:
    """Return what the content is compared with. `is_whole`: it is the whole representation (RFC 9530 section 3).

    Raises `InvalidUploadHeader` for a `Repr-Digest` of more than this content: S3 has no SHA-256 of an object in parts,
    so the file would have to be read once more.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html (composite checksums)
    """
    content, whole = (ietf_fields.digest(name, field(request, name)) for name in ("Content-Digest", "Repr-Digest"))
    if whole is not None and not is_whole:
        raise InvalidUploadHeader(
            "Repr-Digest can be compared only where one request carries the whole file. Leave it out, and send "
            "Content-Digest with each append.",
            field="Repr-Digest",
        )
    found = content or whole
    return None if found is None else Checksum(_ALGORITHMS[found[0]], found[1])
