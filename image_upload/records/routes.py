"""Routes of posts and file records: rows in the database for objects in S3."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from image_upload import errors
from image_upload.auth import permissions
from image_upload.auth.dependencies import PrincipalOf
from image_upload.auth.principals import Principal
from image_upload.completion.confirmation import Confirmation, confirm
from image_upload.completion.context import CompletionContext
from image_upload.database.values import Kind, Record
from image_upload.errors import NotFound
from image_upload.languages.wording import Sentence
from image_upload.library.disposition import content_disposition
from image_upload.library.routes import READ_URL_EXPIRES_S
from image_upload.records.serializers import as_file, as_post, check_stored
from image_upload.uploads.requests import UploadRequest, spec_of
from image_upload.uploads.routes import PLAN_PROBLEMS, RECORD_REPEAT_PROBLEMS, repeatable_of
from image_upload.uploads.serializers import as_plan
from image_upload.uploads.service import UploadService
from image_upload.web.json_answer import JSONResponse
from image_upload.web.json_body import read_json
from image_upload.web.routing import Routes, documented

# Whether a principal may do what a route does with a record of this owner: a function of `permissions`.
May = Callable[[Principal, str], bool]

# The largest id that a row can have.
_ID_MAX = 2**63 - 1
RowId = Annotated[int, Path(ge=1, le=_ID_MAX)]

_ROW_PROBLEMS = (
    errors.TokenMissing,
    errors.TokenInvalid,
    errors.ScopeMissing,
    errors.NotFound,
    errors.ValidationFailed,
    errors.DatabaseNotConfigured,
    errors.DatabaseUnavailable,
    errors.StorageDenied,
    errors.StorageUnavailable,
    errors.StorageTimedOut,
    errors.CredentialsUnavailable,
)
_UNFINISHED = (errors.NotArrived, errors.UploadRejected, errors.VerificationUnavailable)


def router(context: CompletionContext, upload_service: UploadService, principal_of: PrincipalOf) -> APIRouter:
    """Return the routes of posts and file records."""
    routes = Routes(tags=["Records"])
    _post_routes(routes, context, upload_service, principal_of)
    _file_routes(routes, context, principal_of)
    return routes


def _post_routes(
    routes: APIRouter,
    context: CompletionContext,
    upload_service: UploadService,
    principal_of: PrincipalOf,
) -> None:
    minter = Annotated[Principal, Depends(principal_of.needs("mint"))]
    reader = Annotated[Principal, Depends(principal_of.needs("read"))]

    @routes.post(
        "/posts",
        summary="A post and the URL for its image",
        operation_id="createPost",
        status_code=201,
        openapi_extra=documented(
            *PLAN_PROBLEMS,
            errors.DatabaseNotConfigured,
            errors.DatabaseUnavailable,
            *RECORD_REPEAT_PROBLEMS,
            answer=("records.schemas:PostRow", "uploads.schemas:MintedUpload"),
            body="uploads.requests:UploadRequest",
            repeatable=True,
        ),
    )
    async def create_post(request: Request, principal: minter) -> JSONResponse:
        """Writes the row, which is `pending`, and mints the upload in one call."""
        wanted = await read_json(request, UploadRequest)
        repeatable = repeatable_of(request, "POST /posts", wanted, principal, upload_service)
        spec = spec_of(wanted, principal, upload_service, repeatable)
        strategy = upload_service.strategy(spec, wanted.accepts)
        plan, record = await upload_service.plan_recorded("post", spec, strategy, compact=wanted.compact)
        minted = as_plan(plan, compact=wanted.compact)
        return JSONResponse({**minted, **as_post(record)}, 201, {"Location": f"/posts/{record.id}"})

    @routes.get(
        "/posts/{post_id}",
        summary="A post",
        operation_id="getPost",
        openapi_extra=documented(*_ROW_PROBLEMS, answer="records.schemas:Post"),
    )
    async def read_post(post_id: RowId, principal: reader) -> JSONResponse:
        """Asks S3 if the image's upload was not confirmed yet."""
        record, confirmation = await _row(context, "post", post_id, principal, permissions.may_read)
        return await _post_answer(context, confirmation.record or record)

    @routes.post(
        "/posts/{post_id}/complete",
        summary="The image of a post was sent",
        operation_id="completePost",
        openapi_extra=documented(*_ROW_PROBLEMS, *_UNFINISHED, answer="records.schemas:Post"),
    )
    async def complete_post(post_id: RowId, principal: minter) -> JSONResponse:
        """Answers once S3 has confirmed what was sent. Safe to repeat."""
        return await _post_answer(
            context, check_stored(*await _row(context, "post", post_id, principal, permissions.may_go_on))
        )


def _file_routes(routes: APIRouter, context: CompletionContext, principal_of: PrincipalOf) -> None:
    minter = Annotated[Principal, Depends(principal_of.needs("mint"))]
    reader = Annotated[Principal, Depends(principal_of.needs("read"))]

    @routes.get(
        "/files/{file_id}/download-url",
        summary="A URL to download a recorded file",
        operation_id="getFileDownloadUrl",
        openapi_extra=documented(*_ROW_PROBLEMS, *_UNFINISHED, answer="records.schemas:FileDownload"),
    )
    async def download_url(file_id: RowId, principal: reader) -> JSONResponse:
        """Saves the file under its name. Valid for 15 minutes."""
        record = check_stored(*await _row(context, "file", file_id, principal, permissions.may_read))
        disposition = content_disposition(record.expected_object.filename, attachment=True) or ""
        presigner = await context.bucket.presigner(READ_URL_EXPIRES_S)
        url = presigner.url("GET", record.expected_object.key, query={"response-content-disposition": disposition})
        return JSONResponse({"download_url": url, "expires_in": presigner.validity.seconds, **as_file(record)})

    @routes.post(
        "/files/{file_id}/complete",
        summary="A recorded file was sent",
        operation_id="completeFile",
        openapi_extra=documented(*_ROW_PROBLEMS, *_UNFINISHED, answer="records.schemas:FileRecord"),
    )
    async def complete_file(file_id: RowId, principal: minter) -> JSONResponse:
        """Answers once S3 has confirmed what was sent. Safe to repeat."""
        return JSONResponse(
            as_file(check_stored(*await _row(context, "file", file_id, principal, permissions.may_go_on)))
        )


async def _row(
    context: CompletionContext, kind: Kind, row_id: int, principal: Principal, may: May
) -> tuple[Record, Confirmation]:
    """Return the caller's own row, and its confirmation. Another user's row is answered as missing."""
    record = await context.database.records.find(kind, row_id)
    if record is None or not may(principal, record.expected_object.user_id):
        concealed_key = None if record is None else record.expected_object.key
        raise NotFound(
            "There is no such {kind} of yours. Compare the id with the one you were given.",
            facts={"kind": Sentence(kind)},
            concealed_key=concealed_key,
        )
    return record, await confirm(context, record.expected_object.key, record=record)


async def _post_answer(context: CompletionContext, record: Record) -> JSONResponse:
    url, seconds = None, None
    if record.state == "stored":
        presigner = await context.bucket.presigner(READ_URL_EXPIRES_S)
        url, seconds = presigner.url("GET", record.expected_object.key), presigner.validity.seconds
    cdn_url = context.bucket.cdn_url(record.expected_object.key)
    return JSONResponse({**as_post(record), "url": url, "expiresIn": seconds, "cdnUrl": cdn_url})
