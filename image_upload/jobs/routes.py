"""The route that shows a job."""

from typing import Annotated

from fastapi import APIRouter, Depends

from image_upload import errors
from image_upload.auth import permissions
from image_upload.auth.dependencies import PrincipalOf
from image_upload.auth.principals import Principal
from image_upload.errors import JobMissing
from image_upload.jobs.serializers import as_job
from image_upload.jobs.store import JobStore
from image_upload.s3.bucket import Bucket
from image_upload.web.json_answer import JSONResponse
from image_upload.web.routing import Routes, documented


def router(bucket: Bucket, principal_of: PrincipalOf) -> APIRouter:
    """Return the route of jobs."""
    routes = Routes(tags=["Jobs"])
    caller = Annotated[Principal, Depends(principal_of.needs("mint"))]
    store = JobStore(bucket)

    @routes.get(
        "/jobs/{job_id}",
        summary="How far a job is",
        operation_id="getJob",
        openapi_extra=documented(
            JobMissing,
            errors.TokenMissing,
            errors.TokenInvalid,
            errors.ValidationFailed,
            errors.StorageDenied,
            errors.StorageUnavailable,
            errors.StorageTimedOut,
            errors.CredentialsUnavailable,
            answer="jobs.schemas:JobState",
        ),
    )
    async def show_job(job_id: str, principal: caller) -> JSONResponse:
        """For the user who began it, and for an `admin`. Ask again every few seconds until it is `done` or `failed`."""
        kept = await store.read(job_id)
        if kept is None or not permissions.may_go_on(principal, kept.job.owner_id):
            raise JobMissing("There is no such job of yours. Jobs are kept for a week; compare the id.")
        return JSONResponse(as_job(kept.job))

    return routes
