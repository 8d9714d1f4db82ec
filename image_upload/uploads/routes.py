"""The routes of `/uploads`: mint, continue, complete and abort uploads."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from image_upload import errors
from image_upload.auth import permissions
from image_upload.auth.dependencies import PrincipalOf
from image_upload.auth.principals import Principal
from image_upload.errors import BatchRefused
from image_upload.limits import RESPONSE_PAGE_BYTES, S3_PARTS_MAX
from image_upload.uploads.batch import plan_batch
from image_upload.uploads.idempotency import HEADER, Repeatable
from image_upload.uploads.requests import BatchRequest, CompleteRequest, PartsRequest, UploadRequest, spec_of
from image_upload.uploads.serializers import as_completed, as_page, as_plan, as_progress, as_purpose, bytes_on_lambda
from image_upload.uploads.service import UploadService
from image_upload.web.json_answer import JSONResponse
from image_upload.web.json_body import read_json
from image_upload.web.routing import DirectRoute, Routes, documented

SIGNED_IN = (errors.TokenMissing, errors.TokenInvalid)
# Of the operator's own check, wherever an upload is planned.
AUTHORIZATION = (errors.UploadRefused, errors.AuthorizationUnavailable)
SPEC_PROBLEMS = (
    errors.EmptyFile,
    errors.FileTooLarge,
    errors.UnsupportedFileType,
    errors.InvalidFilename,
    errors.InvalidMetadata,
    *SIGNED_IN,
    errors.ScopeMissing,
    *AUTHORIZATION,
    errors.ValidationFailed,
    errors.BodyTooLarge,
    errors.CredentialsUnavailable,
    errors.QuotaExceeded,
)
_S3_PROBLEMS = (
    errors.StorageDenied,
    errors.StorageUnavailable,
    errors.StorageTimedOut,
    errors.CredentialsUnavailable,
)
PLAN_PROBLEMS = (*SPEC_PROBLEMS, errors.NoStrategy, errors.TicketsNotConfigured, *_S3_PROBLEMS)
REPEAT_PROBLEMS = (errors.InvalidIdempotencyKey, errors.IdempotencyNotConfigured)
RECORD_REPEAT_PROBLEMS = (
    *REPEAT_PROBLEMS,
    errors.IdempotencyKeyReused,
    errors.AlreadyExists,
    errors.UploadRejected,
    errors.VerificationUnavailable,
)
_TICKET_PROBLEMS = (
    *SIGNED_IN,
    errors.TicketInvalid,
    errors.UploadNotFound,
    errors.TicketExpired,
    errors.TicketsNotConfigured,
    errors.ValidationFailed,
)


def repeatable_of(
    request: Request,
    route: str,
    wanted: BaseModel | Mapping[str, Any],
    principal: Principal,
    upload_service: UploadService,
) -> Repeatable | None:
    """Return what the request's Idempotency-Key leads to; None without one. `wanted` are the fields of the request.

    Raises `InvalidIdempotencyKey`, `IdempotencyNotConfigured`.
    """
    values = request.headers.getlist(HEADER)
    if not values:
        return None
    # Without defaults, so that a version with a new field takes a retry for what it is.
    payload = wanted.model_dump(exclude_defaults=True) if isinstance(wanted, BaseModel) else dict(wanted)
    return upload_service.idempotency_keys.read(values, principal.user_id, route, payload)


def mint_route(upload_service: UploadService, principal_of: PrincipalOf) -> DirectRoute:
    """Return the route of `POST /uploads`."""
    minter = principal_of.needs("mint")

    async def mint_upload(request: Request) -> JSONResponse:
        """Returns a presigned PUT, or another plan the client `accepts`. Nothing is stored until the file is sent."""
        principal = await minter(request)
        wanted = await read_json(request, UploadRequest)
        repeatable = repeatable_of(request, "POST /uploads", wanted, principal, upload_service)
        spec = spec_of(wanted, principal, upload_service, repeatable)
        plan = await upload_service.plan(spec, upload_service.strategy(spec, wanted.accepts), compact=wanted.compact)
        return JSONResponse(as_plan(plan, compact=wanted.compact))

    return DirectRoute(
        "/uploads",
        mint_upload,
        "POST",
        summary="How to upload one file",
        operation_id="createUpload",
        tags=["Minting"],
        dependencies=[Depends(minter)],
        openapi_extra=documented(
            *PLAN_PROBLEMS,
            *REPEAT_PROBLEMS,
            errors.AlreadyExists,
            answer="uploads.schemas:MintedUpload",
            body="uploads.requests:UploadRequest",
            repeatable=True,
        ),
    )


def router(upload_service: UploadService, principal_of: PrincipalOf) -> APIRouter:
    """Return the other routes of `/uploads`."""
    routes = Routes(tags=["Minting"])
    caller = Annotated[Principal, Depends(principal_of.needs("mint"))]
    _purpose_route(routes, upload_service, caller)
    _batch_route(routes, upload_service, caller)
    _ticket_routes(routes, upload_service, caller)
    return routes


def _purpose_route(routes: APIRouter, upload_service: UploadService, caller: Any) -> None:
    @routes.get(
        "/purposes",
        summary="What may be uploaded",
        operation_id="listPurposes",
        openapi_extra=documented(*SIGNED_IN, errors.ValidationFailed, answer="uploads.schemas:PurposeList"),
    )
    async def purposes(principal: caller) -> JSONResponse:
        """Lists the purposes that the caller may name, with types and sizes, to check a file before it is sent."""
        every = upload_service.purposes.named.values()
        return JSONResponse(
            {"purposes": [as_purpose(each) for each in every if permissions.may_upload_for(principal, each)]}
        )


def _batch_route(routes: APIRouter, upload_service: UploadService, caller: Any) -> None:
    @routes.post(
        "/uploads/batch",
        summary="How to upload many files",
        operation_id="createUploadBatch",
        openapi_extra=documented(
            errors.BatchRefused,
            *SIGNED_IN,
            errors.AuthorizationUnavailable,
            errors.ValidationFailed,
            errors.BodyTooLarge,
            errors.CredentialsUnavailable,
            errors.QuotaExceeded,
            *REPEAT_PROBLEMS,
            answer="uploads.schemas:MintedBatch",
            repeatable=True,
        ),
    )
    async def mint_batch(request: Request, principal: caller) -> JSONResponse:
        """Returns one plan a file, in the order of the request; or mints nothing, and names every fault."""
        wanted = await read_json(request, BatchRequest)
        repeatable = repeatable_of(request, "POST /uploads/batch", wanted, principal, upload_service)
        plans = await plan_batch(upload_service, wanted.uploads, principal, repeatable)
        answer = JSONResponse({"uploads": [as_plan(plan) for plan in plans]})
        if bytes_on_lambda(answer.body) > RESPONSE_PAGE_BYTES:
            await upload_service.release(plans, repeatable)
            raise BatchRefused("The plans of so many files do not fit one answer. Send fewer at a time.", errors=[])
        return answer


def _ticket_routes(routes: APIRouter, upload_service: UploadService, caller: Any) -> None:
    @routes.get(
        "/uploads/{ticket}",
        summary="What S3 has of an upload",
        operation_id="getUpload",
        openapi_extra=documented(
            *_TICKET_PROBLEMS,
            errors.SizeMismatch,
            errors.FileTooLarge,
            *_S3_PROBLEMS,
            answer="uploads.schemas:UploadProgress",
        ),
    )
    async def progress(ticket: str, principal: caller) -> JSONResponse:
        """To continue after an interruption, also on another device."""
        known = upload_service.ticket(ticket, principal)
        return JSONResponse(as_progress(await upload_service.progress(known)))

    @routes.get(
        "/uploads/{ticket}/parts",
        summary="URLs of further parts",
        operation_id="listPartUrls",
        openapi_extra=documented(
            *_TICKET_PROBLEMS, errors.PartsInvalid, errors.CredentialsUnavailable, answer="uploads.schemas:PartUrlPage"
        ),
    )
    async def part_page(
        ticket: str,
        principal: caller,
        first: Annotated[int, Query(alias="from", ge=1, le=S3_PARTS_MAX, description="The first part's number.")] = 1,
        *,
        compact: bool = False,
    ) -> JSONResponse:
        """Follow `next` for further pages."""
        known = upload_service.ticket(ticket, principal)
        page = await upload_service.part_page(known, first, compact=compact)
        return JSONResponse(as_page(page, known, ticket, compact=compact))

    @routes.post(
        "/uploads/{ticket}/parts",
        summary="Fresh URLs of some parts",
        operation_id="createPartUrls",
        openapi_extra=documented(
            *_TICKET_PROBLEMS,
            errors.PartsInvalid,
            errors.BodyTooLarge,
            errors.CredentialsUnavailable,
            answer="uploads.schemas:PartUrlPage",
        ),
    )
    async def sign_parts(ticket: str, request: Request, principal: caller) -> JSONResponse:
        """For expired URLs, and to continue an interrupted upload."""
        wanted = await read_json(request, PartsRequest)
        known = upload_service.ticket(ticket, principal)
        page = await upload_service.part_urls(known, wanted.partNumbers)
        return JSONResponse(as_page(page, known, ticket, compact=False))

    @routes.post(
        "/uploads/{ticket}/complete",
        summary="End an upload",
        operation_id="completeUpload",
        openapi_extra=documented(
            *_TICKET_PROBLEMS,
            errors.PartsInvalid,
            errors.PartsRefused,
            errors.SizeMismatch,
            errors.FileTooLarge,
            errors.AlreadyExists,
            errors.UploadRejected,
            errors.VerificationUnavailable,
            errors.BodyTooLarge,
            *_S3_PROBLEMS,
            answer="uploads.schemas:CompletedUpload",
        ),
    )
    async def complete(ticket: str, request: Request, principal: caller) -> JSONResponse:
        """Joins the parts to the object: those named, or all that S3 has. Safe to repeat. 202: not verified yet."""
        listed = (await read_json(request, CompleteRequest, empty=CompleteRequest(parts=None))).parts
        parts = None if listed is None else [(part.partNumber, part.etag) for part in listed]
        done = await upload_service.complete(upload_service.ticket(ticket, principal), parts)
        return JSONResponse(*as_completed(done))

    @routes.delete(
        "/uploads/{ticket}",
        summary="Abort an upload",
        operation_id="abortUpload",
        status_code=204,
        response_class=Response,
        openapi_extra=documented(*_TICKET_PROBLEMS, *_S3_PROBLEMS),
    )
    async def abort(ticket: str, principal: caller) -> Response:
        """Aborts the upload: S3 deletes the parts that were sent. A finished object stays."""
        await upload_service.abort(upload_service.ticket(ticket, principal))
        return Response(status_code=204)
