"""The routes of resumable uploads, which speak tus and the IETF's protocol."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from image_upload import errors
from image_upload.auth.dependencies import PrincipalOf
from image_upload.auth.principals import Principal
from image_upload.limits import RESUMABLE_MAX_BYTES
from image_upload.resumable import ietf, tus
from image_upload.resumable.ietf import Ietf
from image_upload.resumable.receiving import Receiver, is_tus, limit_of
from image_upload.resumable.serializers import as_resumable
from image_upload.resumable.tus import Tus
from image_upload.uploads.routes import SPEC_PROBLEMS
from image_upload.uploads.service import UploadService
from image_upload.web.json_answer import JSONResponse
from image_upload.web.routing import Routes, documented

_EXPOSED: Final = (*ietf.EXPOSED, *tus.EXPOSED)
_PROTOCOL = (errors.UploadProtocolUnknown, errors.InvalidUploadHeader, errors.UnsupportedContentType)
# Bodies have limits of their own: `Receiver`.
_BODY: Final[dict[str, Any]] = {"max_body_bytes": RESUMABLE_MAX_BYTES, "enforces_rate": True}
_S3 = (
    errors.StorageDenied,
    errors.StorageUnavailable,
    errors.StorageTimedOut,
    errors.CredentialsUnavailable,
    errors.TicketsNotConfigured,
)
_TICKET = (
    errors.TokenMissing,
    errors.TokenInvalid,
    errors.UploadProtocolUnknown,
    errors.TicketInvalid,
    errors.TicketExpired,
    errors.UploadNotFound,
    errors.UploadGone,
    errors.UploadBusy,
    *_S3,
)
# What verification may say of a file once all its bytes are there.
_FILE = (errors.UploadRejected, errors.SizeMismatch, errors.VerificationUnavailable)
_APPENDED = (
    errors.LengthChanged,
    errors.LengthExceeded,
    errors.AppendTooLarge,
    errors.ChecksumMismatch,
    errors.ClientTooSlow,
    errors.TooManyUploads,
    errors.AlreadyExists,
    *_FILE,
)
_CREATE = (
    *SPEC_PROBLEMS,
    *_PROTOCOL,
    *_APPENDED,
    errors.ConcatenationInvalid,
    errors.TicketInvalid,
    errors.TicketExpired,
    errors.UploadNotFound,
    errors.UploadGone,
    errors.UploadBusy,
    *_S3,
)
_APPEND = (
    *_TICKET,
    *_PROTOCOL,
    *_APPENDED,
    errors.OffsetMismatch,
    errors.FinalUpload,
    errors.EmptyFile,
    errors.FileTooLarge,
)


def router(receiver: Receiver, upload_service: UploadService, principal_of: PrincipalOf) -> APIRouter:
    """Return the routes."""
    routes = Routes(tags=["Resumable uploads"])
    caller = Annotated[Principal, Depends(principal_of.needs("mint"))]
    protocols = Protocols(receiver, upload_service)
    _collection(routes, protocols, caller)
    _upload(routes, protocols, caller)
    return routes


class Protocols:
    """Both protocols over the same uploads."""

    def __init__(self, receiver: Receiver, upload_service: UploadService) -> None:
        self.uploads = receiver.uploads
        self.tus = Tus(receiver, upload_service)
        self._ietf = Ietf(receiver, upload_service)

    def of(self, request: Request) -> Tus | Ietf:
        """Return the protocol of a request. Raises `UploadProtocolUnknown`."""
        protocol = self.tus if is_tus(request.scope) else self._ietf
        protocol.check(request)
        return protocol


def _collection(routes: APIRouter, protocols: Protocols, caller: Any) -> None:
    @routes.options(
        "/resumable",
        summary="What resumable uploads can do here",
        operation_id="getResumableOptions",
        status_code=204,
        response_class=Response,
        openapi_extra=documented(exposes=_EXPOSED),
    )
    async def options() -> Response:
        """Versions, extensions and limits, in headers of tus and of the IETF's protocol."""
        return Response(status_code=204, headers=protocols.tus.options() | limit_of(protocols.uploads))

    @routes.post(
        "/resumable",
        summary="Begin a resumable upload",
        operation_id="createResumableUpload",
        status_code=201,
        response_class=Response,
        openapi_extra=documented(*_CREATE, exposes=_EXPOSED, **_BODY),
    )
    async def create(request: Request, principal: caller) -> Response:
        """`Location` is the URL of the upload. The body, if there is one, is its first bytes."""
        return await protocols.of(request).create(request, principal)


def _upload(routes: APIRouter, protocols: Protocols, caller: Any) -> None:
    @routes.head(
        "/resumable/{ticket}",
        summary="How many bytes of an upload are stored",
        operation_id="getResumableOffset",
        response_class=Response,
        openapi_extra=documented(*_TICKET, *_FILE, exposes=_EXPOSED),
    )
    async def offset(ticket: str, request: Request, principal: caller) -> Response:
        """`Upload-Offset` says where to go on."""
        _, headers = await protocols.of(request).progress(protocols.uploads.ticket(ticket, principal))
        return Response(status_code=200, headers=headers)

    @routes.get(
        "/resumable/{ticket}",
        summary="What is known of an upload",
        operation_id="getResumableUpload",
        openapi_extra=documented(*_TICKET, *_FILE, exposes=_EXPOSED, answer="resumable.schemas:ResumableUpload"),
    )
    async def progress(ticket: str, request: Request, principal: caller) -> JSONResponse:
        """The headers of HEAD, and as JSON the key of the file, for clients whose protocol has no field for it."""
        found, headers = await protocols.of(request).progress(protocols.uploads.ticket(ticket, principal))
        return JSONResponse(as_resumable(found), headers=headers)

    @routes.patch(
        "/resumable/{ticket}",
        summary="Append bytes to an upload",
        operation_id="appendToResumableUpload",
        status_code=204,
        response_class=Response,
        openapi_extra=documented(*_APPEND, exposes=_EXPOSED, **_BODY),
    )
    async def append(ticket: str, request: Request, principal: caller) -> Response:
        """The last bytes make the file: the answer comes once S3 has it. What arrives before a break is kept."""
        protocol = protocols.of(request)
        return await protocol.append(request, principal, protocols.uploads.ticket(ticket, principal))

    @routes.delete(
        "/resumable/{ticket}",
        summary="Cancel an upload",
        operation_id="cancelResumableUpload",
        status_code=204,
        response_class=Response,
        openapi_extra=documented(*_TICKET, exposes=_EXPOSED),
    )
    async def cancel(ticket: str, request: Request, principal: caller) -> Response:
        """For ever: what was sent is deleted. A finished file stays, and the answer is 404."""
        protocol, known = protocols.of(request), protocols.uploads.ticket(ticket, principal)
        if not await protocols.uploads.cancel(known):
            raise errors.UploadNotFound(
                "The upload is finished, and its file stays. Delete it with DELETE /images/{key}."
            )
        return protocol.ended(known)
