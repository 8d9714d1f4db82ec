"""Uppy's Companion protocol for S3: @uppy/aws-s3 4, 5 and 6 work unmodified against these routes.

https://uppy.io/docs/companion/ and the sources of @uppy/aws-s3 are the only specification.

Differences from Companion: the server names the key, the opaque `uploadId` is a ticket, purposes and their
limits apply, and the length of each part is signed if the client sends the file's size.

A browser's `metadata` may hold `purpose`, `size`, `chunkSize` (if Uppy's getChunkSize is not the default)
and `class_id`; Uppy sends what its option `allowedMetaFields` names.
"""

import contextlib
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from image_upload import errors
from image_upload.auth.dependencies import PrincipalOf
from image_upload.auth.principals import Principal
from image_upload.domain import checks
from image_upload.errors import TicketInvalid, UploadNotFound, ValidationFailed
from image_upload.limits import MEMBERS_MAX, S3_PART_MAX_BYTES, S3_PART_MIN_BYTES, S3_PARTS_MAX
from image_upload.s3.bucket import Bucket
from image_upload.uploads.plans import PostPlan, PutPlan, UploadSpec
from image_upload.uploads.service import UploadService
from image_upload.uploads.tickets import Ticket
from image_upload.web.json_answer import JSONResponse
from image_upload.web.json_body import at_most, read_json
from image_upload.web.routing import Routes, documented

# Uppy 6 sends these for missing metadata.
_NOTHING = frozenset({"", "undefined", "null"})

_CALLER = (errors.TokenMissing, errors.TokenInvalid, errors.ValidationFailed)
_SPEC = (
    *_CALLER,
    errors.EmptyFile,
    errors.FileTooLarge,
    errors.UnsupportedFileType,
    errors.InvalidFilename,
    errors.InvalidMetadata,
    errors.ScopeMissing,
    errors.UploadRefused,
    errors.AuthorizationUnavailable,
    errors.CredentialsUnavailable,
    errors.QuotaExceeded,
)
_TICKET = (
    *_CALLER,
    errors.TicketInvalid,
    errors.UploadNotFound,
    errors.TicketExpired,
    errors.TicketsNotConfigured,
    errors.CredentialsUnavailable,
)
_S3 = (errors.StorageDenied, errors.StorageUnavailable, errors.StorageTimedOut)
_ENDS = (
    errors.PartsInvalid,
    errors.PartsRefused,
    errors.SizeMismatch,
    errors.FileTooLarge,
    errors.AlreadyExists,
    errors.UploadRejected,
    errors.VerificationUnavailable,
    errors.BodyTooLarge,
)


class CreateRequest(BaseModel):
    """Uppy's description of a file."""

    model_config = ConfigDict(defer_build=True)

    filename: str
    type: str = ""
    metadata: Annotated[dict[str, str | int | float | bool | None], at_most(MEMBERS_MAX)] = Field(
        default_factory=dict, max_length=MEMBERS_MAX
    )


class UppyPart(BaseModel):
    """A part in S3's names. Uppy 5 sends the ETag with quotes, Uppy 6 without."""

    model_config = ConfigDict(defer_build=True)

    PartNumber: int
    ETag: str


class UppyComplete(BaseModel):
    """All parts."""

    model_config = ConfigDict(defer_build=True)

    parts: list[UppyPart] = Field(max_length=S3_PARTS_MAX)


class Companion:
    """Uppy's requests and answers over the upload core. `bucket` gives the URL of a finished object."""

    def __init__(self, uploads: UploadService, bucket: Bucket) -> None:
        self.uploads = uploads
        self._bucket = bucket

    def spec(self, filename: str, content_type: str, metadata: Mapping[str, Any], principal: Principal) -> UploadSpec:
        """Return Uppy's description of a file as a specification."""
        named = {
            name: str(value) for name, value in metadata.items() if str(value) not in _NOTHING and value is not None
        }
        class_id = named.get("class_id")
        purpose = self.uploads.purpose(named.get("purpose"), principal)
        return UploadSpec(
            filename=filename,
            content_type=checks.type_or_any(purpose, "" if content_type in _NOTHING else content_type, filename),
            size_bytes=_count(named, "size", least=0),
            purpose=purpose,
            principal=principal,
            metadata={"class_id": class_id} if class_id else None,
        )

    async def params(self, spec: UploadSpec) -> dict[str, Any]:
        """Plan one request to S3: a form POST, or a PUT if the store takes no forms (Uppy 3 to 5 support both)."""
        plan = await self.uploads.plan(spec, "post" if self.uploads.form_post else "put")
        assert isinstance(plan, PostPlan | PutPlan)
        answer = {"url": plan.url, "expires": plan.valid.seconds}
        if isinstance(plan, PostPlan):
            return {**answer, "method": "POST", "fields": dict(plan.fields)}
        return {**answer, "method": "PUT", "fields": {}, "headers": dict(plan.headers)}

    async def create(self, spec: UploadSpec, metadata: Mapping[str, Any]) -> dict[str, str]:
        """Begin a multipart upload."""
        part_bytes = S3_PART_MIN_BYTES
        if spec.size_bytes is not None:
            named = {name: str(value) for name, value in metadata.items() if value is not None}
            part_bytes = _uppy_part_bytes(spec.size_bytes, _count(named, "chunkSize"))
        ticket, text = await self.uploads.begin(spec, part_bytes)
        return {"key": ticket.key, "uploadId": text, "bucket": self._bucket.name}

    def ticket(self, upload_id: str, key: str | None, principal: Principal) -> Ticket:
        """Return the ticket that Uppy calls uploadId. If Uppy sends a key, it must be the ticket's."""
        ticket = self.uploads.ticket(upload_id, principal)
        if key is not None and key != ticket.key:
            raise TicketInvalid("This ticket belongs to another key. Send the key that you were given with it.")
        return ticket

    def location(self, ticket: Ticket) -> dict[str, str]:
        """Return the location of a finished upload. Uppy shows `location` as its uploadURL."""
        return {"location": self._bucket.location(ticket.key), "key": ticket.key, "bucket": self._bucket.name}

    async def signed(self, ticket: Ticket, numbers: list[int]) -> tuple[dict[str, str], int]:
        """Return URLs by part number, and how many seconds they are valid."""
        page = await self.uploads.part_urls(ticket, numbers)
        return {str(number): url for number, url in page.by_number()}, page.valid.seconds


def _count(metadata: Mapping[str, str], name: str, least: int = 1) -> int | None:
    """Return a number of bytes. Uppy 5 sends text, Uppy 6 a number."""
    text = metadata.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) >= least):
        raise ValidationFailed(
            f"metadata.{name} is not a number of bytes. Send one such as 5242880.",
            errors=[{"field": f"metadata.{name}", "message": "no number"}],
        )
    return int(text)


def _uppy_part_bytes(size_bytes: int, chunk_bytes: int | None) -> int:
    """Return the part length that @uppy/aws-s3 uses: its default getChunkSize, or the client's `chunkSize`."""
    part = max(chunk_bytes or -(-size_bytes // S3_PARTS_MAX), S3_PART_MIN_BYTES)
    if chunk_bytes is not None and (part > S3_PART_MAX_BYTES or part * S3_PARTS_MAX < size_bytes):
        raise ValidationFailed(
            "metadata.chunkSize gives parts that S3 does not take: 5 MiB to 5 GiB each, 10,000 at most.",
            errors=[{"field": "metadata.chunkSize", "message": "out of range"}],
        )
    return part


def router(companion: Companion, principal_of: PrincipalOf) -> APIRouter:
    """Return the routes of the protocol, below `/s3`."""
    routes = Routes(prefix="/s3", tags=["Uppy"])
    caller = Annotated[Principal, Depends(principal_of.needs("mint"))]
    _form_and_create(routes, companion, caller)
    _parts(routes, companion, caller)
    _ends(routes, companion, caller)
    return routes


def _form_and_create(routes: APIRouter, companion: Companion, caller: Any) -> None:
    @routes.get(
        "/params", summary="Uppy: a form for a small file", operation_id="getUppyForm", openapi_extra=documented(*_SPEC)
    )
    async def params(
        request: Request,
        principal: caller,
        filename: str,
        content_type: Annotated[str, Query(alias="type")] = "",
    ) -> JSONResponse:
        """Uppy calls it before it sends a file in one request. With `S3_FORM_POST=false` the answer is a PUT."""
        metadata = {
            name[len("metadata[") : -1]: value
            for name, value in request.query_params.items()
            if name.startswith("metadata[") and name.endswith("]")
        }
        return JSONResponse(await companion.params(companion.spec(filename, content_type, metadata, principal)))

    @routes.post(
        "/multipart",
        summary="Uppy: begin a multipart upload",
        operation_id="createUppyUpload",
        openapi_extra=documented(
            *_SPEC, errors.TicketsNotConfigured, errors.BodyTooLarge, *_S3, body="companion.routes:CreateRequest"
        ),
    )
    async def create(request: Request, principal: caller) -> JSONResponse:
        """Uppy calls it before it sends a file in parts."""
        wanted = await read_json(request, CreateRequest)
        spec = companion.spec(wanted.filename, wanted.type, wanted.metadata, principal)
        return JSONResponse(await companion.create(spec, wanted.metadata))


def _parts(routes: APIRouter, companion: Companion, caller: Any) -> None:
    @routes.get(
        "/multipart/{upload_id}/batch",
        summary="Uppy: URLs of several parts",
        operation_id="listUppyPartUrls",
        openapi_extra=documented(*_TICKET, errors.PartsInvalid),
    )
    async def batch(
        upload_id: str,
        part_numbers: Annotated[str, Query(alias="partNumbers")],
        principal: caller,
        key: str | None = None,
    ) -> JSONResponse:
        """Used by Uppy 3 and older."""
        numbers = part_numbers.split(",")
        if not all(number.isascii() and number.isdigit() and len(number) <= 5 for number in numbers):
            raise ValidationFailed(
                "partNumbers are not numbers separated by commas. Send them as 1,2,3.",
                errors=[{"field": "partNumbers", "message": "no numbers"}],
            )
        ticket = companion.ticket(upload_id, key, principal)
        urls, _ = await companion.signed(ticket, [int(number) for number in numbers])
        return JSONResponse({"presignedUrls": urls})

    @routes.get(
        "/multipart/{upload_id}/{number}",
        summary="Uppy: the URL of one part",
        operation_id="getUppyPartUrl",
        openapi_extra=documented(*_TICKET, errors.PartsInvalid),
    )
    async def part(upload_id: str, number: int, principal: caller, key: str | None = None) -> JSONResponse:
        """Uppy calls it for each part, and again before each retry. Uppy 5 also limits the part's time by `expires`."""
        urls, seconds = await companion.signed(companion.ticket(upload_id, key, principal), [number])
        return JSONResponse({"url": urls[str(number)], "expires": seconds})

    @routes.get(
        "/multipart/{upload_id}",
        summary="Uppy: the parts S3 has",
        operation_id="listUppyParts",
        openapi_extra=documented(*_TICKET, errors.SizeMismatch, errors.FileTooLarge, *_S3),
    )
    async def listed(upload_id: str, principal: caller, key: str | None = None) -> JSONResponse:
        """Uppy calls it when an upload continues after a pause."""
        progress = await companion.uploads.progress(companion.ticket(upload_id, key, principal))
        return JSONResponse(
            [
                {
                    "PartNumber": part.number,
                    "ETag": part.etag,
                    "Size": part.size_bytes,
                    "LastModified": part.last_modified,
                }
                for part in progress.parts
            ]
        )


def _ends(routes: APIRouter, companion: Companion, caller: Any) -> None:
    @routes.post(
        "/multipart/{upload_id}/complete",
        summary="Uppy: end an upload",
        operation_id="completeUppyUpload",
        openapi_extra=documented(*_TICKET, *_ENDS, *_S3, body="companion.routes:UppyComplete"),
    )
    async def complete(upload_id: str, request: Request, principal: caller, key: str | None = None) -> JSONResponse:
        """Safe to repeat: Uppy repeats it if the answer was lost."""
        wanted = await read_json(request, UppyComplete)
        ticket = companion.ticket(upload_id, key, principal)
        await companion.uploads.complete(ticket, [(part.PartNumber, part.ETag) for part in wanted.parts])
        return JSONResponse(companion.location(ticket))

    @routes.delete(
        "/multipart/{upload_id}",
        summary="Uppy: abort an upload",
        operation_id="abortUppyUpload",
        openapi_extra=documented(*_TICKET, *_S3),
    )
    async def abort(upload_id: str, principal: caller, key: str | None = None) -> JSONResponse:
        """Uppy 5 calls it after every failure, also if S3 has no such upload. A finished object stays."""
        ticket = companion.ticket(upload_id, key, principal)
        with contextlib.suppress(UploadNotFound):
            await companion.uploads.abort(ticket)
        return JSONResponse({})
