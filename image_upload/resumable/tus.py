"""tus 1.0.0 with its extensions, over resumable uploads.

https://github.com/tus/tus-resumable-upload-protocol/blob/main/protocol.md
"""

from collections.abc import Callable, Collection, Mapping
from email.utils import formatdate
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from image_upload.auth.principals import Principal
from image_upload.domain import checks
from image_upload.errors import FinalUpload, InvalidUploadHeader, UnsupportedContentType, UploadProtocolUnknown
from image_upload.resumable import tus_fields
from image_upload.resumable.bodies import Checksum
from image_upload.resumable.receiving import Receiver, announced_bytes, field, limit_of
from image_upload.resumable.service import Progress
from image_upload.uploads.plans import ResumablePlan, UploadSpec
from image_upload.uploads.service import UploadService
from image_upload.uploads.tickets import ResumableTicket

VERSION: Final = "1.0.0"
HEADERS: Final = {"Tus-Resumable": VERSION}
# What pages may read of the answers.
EXPOSED: Final = (
    "Tus-Resumable",
    "Tus-Version",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Checksum-Algorithm",
    "Upload-Defer-Length",
    "Upload-Metadata",
    "Upload-Concat",
    "Upload-Expires",
)
_CONTENT_TYPE: Final = "application/offset+octet-stream"
# The extensions, and how a request uses each one. What is not here is neither announced nor taken: trailers, which a
# Function URL does not carry, and finals of unfinished partials.
EXTENSIONS: Final[Mapping[str, Callable[[Request], bool]]] = {
    "creation": lambda request: request.method == "POST",
    "creation-with-upload": lambda request: request.method == "POST" and announced_bytes(request) != 0,
    "creation-defer-length": lambda request: "Upload-Defer-Length" in request.headers,
    "expiration": lambda _: False,  # answers use it: `_expires`
    "checksum": lambda request: "Upload-Checksum" in request.headers,
    "termination": lambda request: request.method == "DELETE",
    "concatenation": lambda request: "Upload-Concat" in request.headers,
}
# What Uppy sends for metadata that a file lacks.
_NOTHING: Final = frozenset({"", "null", "undefined"})


class Tus:
    """The requests of tus and their answers, with these of its `EXTENSIONS`."""

    def __init__(
        self, receiver: Receiver, upload_service: UploadService, extensions: Collection[str] = EXTENSIONS
    ) -> None:
        self._extensions = extensions
        self._receiver = receiver
        self._uploads = receiver.uploads
        self._upload_service = upload_service

    def options(self) -> dict[str, str]:
        """Return the headers that say what the service can do."""
        return {
            **HEADERS,
            "Tus-Version": VERSION,
            "Tus-Extension": ",".join(self._extensions),
            "Tus-Max-Size": str(self._uploads.max_bytes),
            **self._if_there("checksum", {"Tus-Checksum-Algorithm": ",".join(tus_fields.CHECKSUM_BYTES)}),
        }

    def _if_there(self, extension: str, headers: dict[str, str]) -> dict[str, str]:
        return headers if extension in self._extensions else {}

    def check(self, request: Request) -> None:
        """Raise `UploadProtocolUnknown` for another version, `InvalidUploadHeader` for an extension that is missing."""
        if field(request, "Tus-Resumable") != VERSION:
            raise UploadProtocolUnknown(f"This service speaks tus {VERSION} alone. Send Tus-Resumable: {VERSION}.")
        for extension, is_used in EXTENSIONS.items():
            if extension not in self._extensions and is_used(request):
                raise InvalidUploadHeader(
                    f"This service has no {extension} of tus. Use what Tus-Extension names in the answer to OPTIONS."
                )

    async def create(self, request: Request, principal: Principal) -> Response:
        """Begin an upload, with the first bytes of it where the request has a body; or join partial ones."""
        concat = field(request, "Upload-Concat")
        metadata = field(request, "Upload-Metadata")
        note = "" if metadata is None and concat is None else f"{metadata or ''}\n{concat or ''}"
        partials = None if concat is None else tus_fields.partials(concat)
        has_body = announced_bytes(request) != 0
        if has_body:
            _check_type(request)
        checksum = _checksum(request)
        size_bytes = _length(request, is_final=partials is not None)
        named = {} if metadata is None else tus_fields.metadata(metadata)
        if partials is not None:
            tickets = [self._uploads.ticket(text, principal) for text in partials]
            plan, progress = await self._uploads.concatenate(self._spec(named, None, principal), tickets, note=note)
            return self._created(plan, self._reached(progress))
        if concat is not None:
            plan = await self._uploads.create_partial(principal, size_bytes, note=note)
        else:
            plan = await self._uploads.create(self._spec(named, size_bytes, principal), note=note)
        if not has_body:
            return self._created(plan, self._expires(plan.ticket))
        progress = await self._receiver.append_first(request, principal, plan.ticket, checksum=checksum)
        return self._created(plan, self._reached(progress))

    def _created(self, plan: ResumablePlan, reached: Mapping[str, str]) -> Response:
        return Response(status_code=201, headers={**self._headers(plan.ticket), "Location": plan.path, **reached})

    def _spec(self, named: Mapping[str, str], size_bytes: int | None, principal: Principal) -> UploadSpec:
        """Return what `Upload-Metadata` says of the file, by the names that Uppy and tusd have for it."""
        found = {key: value for key, value in named.items() if value not in _NOTHING}
        purpose = self._upload_service.purpose(found.get("purpose"), principal)
        filename = found.get("filename") or found.get("name")
        class_id = found.get("class_id")
        return UploadSpec(
            content_type=checks.type_or_any(purpose, found.get("filetype") or found.get("type", ""), filename or ""),
            purpose=purpose,
            principal=principal,
            filename=filename,
            size_bytes=size_bytes,
            metadata={"class_id": class_id} if class_id else None,
        )

    async def progress(self, ticket: ResumableTicket) -> tuple[Progress, dict[str, str]]:
        """Return the state of an upload, and the headers that tell it."""
        progress = await self._uploads.state(ticket)
        metadata, _, concat = progress.note.partition("\n")
        headers = self._headers(ticket) | self._reached(progress)
        if progress.length is None:
            headers["Upload-Defer-Length"] = "1"
        else:
            headers["Upload-Length"] = str(progress.length)
        if metadata:
            headers["Upload-Metadata"] = metadata
        if concat:
            headers["Upload-Concat"] = concat
        return progress, headers

    async def append(self, request: Request, principal: Principal, ticket: ResumableTicket) -> Response:
        """Append the body at its offset."""
        _check_type(request)
        if ticket.kind == "final":
            raise FinalUpload("This upload was joined of partial ones, and takes no bytes. Start a new one.")
        offset = field(request, "Upload-Offset")
        if offset is None:
            raise InvalidUploadHeader(
                "Upload-Offset is missing. Send the offset that HEAD answers with.", field="Upload-Offset"
            )
        length = field(request, "Upload-Length")
        progress = await self._receiver.append(
            request,
            principal,
            ticket,
            tus_fields.count("Upload-Offset", offset),
            length=None if length is None else tus_fields.count("Upload-Length", length),
            checksum=_checksum(request),
        )
        return Response(status_code=204, headers=self._headers(ticket) | self._reached(progress))

    def ended(self, ticket: ResumableTicket) -> Response:
        """Return the answer to a cancelled upload."""
        return Response(status_code=204, headers=self._headers(ticket))

    def _headers(self, ticket: ResumableTicket) -> dict[str, str]:
        return HEADERS | limit_of(self._uploads, ticket)

    def _reached(self, progress: Progress) -> dict[str, str]:
        expires = {} if progress.is_complete else self._expires(progress.ticket)
        return {"Upload-Offset": str(progress.offset), **expires}

    def _expires(self, ticket: ResumableTicket) -> dict[str, str]:
        return self._if_there("expiration", {"Upload-Expires": formatdate(ticket.upload.expires_at_s, usegmt=True)})


def _check_type(request: Request) -> None:
    if field(request, "Content-Type") != _CONTENT_TYPE:
        raise UnsupportedContentType(f"tus sends bytes as Content-Type: {_CONTENT_TYPE}. Send it.")


def _checksum(request: Request) -> Checksum | None:
    value = field(request, "Upload-Checksum")
    return None if value is None else Checksum(*tus_fields.checksum(value))


def _length(request: Request, *, is_final: bool) -> int | None:
    """Return the length of a new upload; None: it is deferred, or the sum of the partial uploads."""
    length, deferred = field(request, "Upload-Length"), field(request, "Upload-Defer-Length")
    if is_final:
        if length is not None or deferred is not None:
            raise InvalidUploadHeader(
                "A final upload is as long as its partial ones. Leave Upload-Length out.", field="Upload-Length"
            )
        return None
    if (length is None) == (deferred is None):
        raise InvalidUploadHeader(
            "A new upload has either Upload-Length, or Upload-Defer-Length: 1. Send one of them.", field="Upload-Length"
        )
    if length is not None:
        return tus_fields.count("Upload-Length", length)
    tus_fields.check_deferred(deferred or "")
    return None
