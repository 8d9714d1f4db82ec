"""The route that imports a file from a URL."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from image_upload import errors
from image_upload.auth.dependencies import PrincipalOf
from image_upload.auth.principals import Principal
from image_upload.from_url.importer import as_stored
from image_upload.from_url.requests import ImportRequest, Order
from image_upload.from_url.router import FromUrl
from image_upload.jobs.job import Job
from image_upload.jobs.schemas import JobState
from image_upload.jobs.serializers import as_job
from image_upload.web.json_answer import JSONResponse
from image_upload.web.json_body import read_json
from image_upload.web.routing import Routes, documented

_PROBLEMS = (
    errors.SourceUrlInvalid,
    errors.SourceUrlRefused,
    errors.SourceRefused,
    errors.SourceUnavailable,
    errors.SourceTimedOut,
    errors.JobNotStarted,
    errors.EmptyFile,
    errors.FileTooLarge,
    errors.UnsupportedFileType,
    errors.InvalidFilename,
    errors.InvalidMetadata,
    errors.InvalidKey,
    errors.UploadRejected,
    errors.TokenMissing,
    errors.TokenInvalid,
    errors.ScopeMissing,
    errors.ValidationFailed,
    errors.BodyTooLarge,
    errors.QuotaExceeded,
    errors.TooManyUploads,
    errors.StorageDenied,
    errors.StorageUnavailable,
    errors.StorageTimedOut,
    errors.CredentialsUnavailable,
)


def router(room: FromUrl, principal_of: PrincipalOf, *, on_lambda: bool) -> APIRouter:
    """Return the route of imports."""
    routes = Routes(tags=["Minting"])
    caller = Annotated[Principal, Depends(principal_of.needs("mint"))]

    @routes.post(
        "/uploads/from-url",
        summary="Import a file from a URL",
        operation_id="importFromUrl",
        status_code=201,
        responses={202: {"model": JobState, "description": "It takes longer; `Location` shows how far it is."}},
        openapi_extra=documented(
            *_PROBLEMS,
            answer="from_url.schemas:ImportedFile",
            body="from_url.requests:ImportRequest",
            exposes=("Location",),
        ),
    )
    async def import_from_url(request: Request, principal: caller) -> JSONResponse:
        """Fetches the file from a public server and stores it. What takes longer than `wait` goes on as a job."""
        wanted = await read_json(request, ImportRequest)
        function_arn = getattr(request.scope.get("aws.context"), "invoked_function_arn", "") if on_lambda else None
        found = await room.importer.begin(
            Order.of(wanted, principal), wanted.wait, partial(_gone, request), function_arn
        )
        if isinstance(found, Job):
            return JSONResponse(as_job(found), status_code=202, headers={"Location": f"/jobs/{found.id}"})
        content = as_stored(found)
        return JSONResponse(content, status_code=201, headers={"Location": content["url"]})

    return routes


async def _gone(request: Request) -> None:
    """Return once the client has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
