"""The routes of jobs: one shows a job to its user, one takes the result from its worker."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from image_upload import errors
from image_upload.auth import permissions
from image_upload.auth.dependencies import PrincipalOf
from image_upload.auth.principals import Principal
from image_upload.domain import keys
from image_upload.errors import JobMissing, TokenInvalid, TokenMissing
from image_upload.jobs import results
from image_upload.jobs.job import Job
from image_upload.jobs.requests import JobResult
from image_upload.jobs.serializers import as_job
from image_upload.jobs.store import JobStore
from image_upload.jobs.tokens import JobTokens
from image_upload.notify.notifier import Notifier
from image_upload.s3.bucket import Bucket
from image_upload.settings.auth import AuthSettings
from image_upload.web.json_answer import JSONResponse
from image_upload.web.json_body import read_json
from image_upload.web.routing import Routes, TokenDependency, documented

_STORING = (errors.StorageDenied, errors.StorageUnavailable, errors.StorageTimedOut, errors.CredentialsUnavailable)


class _JobToken(TokenDependency):
    """A dependency: the request has the token of the job in its path. Raises `TokenMissing`, `TokenInvalid`."""

    requires_token = True

    def __init__(self, tokens: JobTokens) -> None:
        self._tokens = tokens

    async def __call__(self, job_id: str, request: Request) -> None:
        header = request.headers.get("authorization")
        if header is None:
            raise TokenMissing("This route needs the token of the job. Send it as: Authorization: Bearer <token>.")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise TokenInvalid("The Authorization header is not of the form: Bearer <token>.")
        self._tokens.check(token.strip(), job_id)


def router(settings: AuthSettings, bucket: Bucket, notifier: Notifier, principal_of: PrincipalOf) -> APIRouter:
    """Return the routes of jobs."""
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
            *_STORING,
            answer="jobs.schemas:JobState",
        ),
    )
    async def show_job(job_id: str, principal: caller) -> JSONResponse:
        """For the user who began it, and for an `admin`. Ask again every few seconds until it is `done` or `failed`."""
        kept = await store.read(job_id)
        if kept is None or not _may_see(principal, kept.job):
            raise JobMissing("There is no such job of yours. Jobs are kept for a week; compare the id.")
        return JSONResponse(as_job(kept.job))

    @routes.post(
        "/jobs/{job_id}/result",
        summary="A worker is done",
        operation_id="postJobResult",
        dependencies=[Depends(_JobToken(JobTokens(settings)))],
        openapi_extra=documented(
            JobMissing,
            errors.JobOver,
            TokenMissing,
            TokenInvalid,
            errors.ValidationFailed,
            errors.BodyTooLarge,
            errors.DatabaseUnavailable,
            *_STORING,
            answer="jobs.schemas:JobState",
            body="jobs.requests:JobResult",
        ),
    )
    async def post_result(job_id: str, request: Request) -> JSONResponse:
        """For the worker, with the `token` of its message. The first result stays; the same one again is 200."""
        given = await read_json(request, JobResult)
        return JSONResponse(as_job(await results.settle(store, notifier, job_id, given)))

    return routes


def _may_see(principal: Principal, job: Job) -> bool:
    """Return whether this is a job of the principal, or about a file of theirs."""
    if permissions.may_go_on(principal, job.owner_id):
        return True
    tag = keys.owner_tag_in(job.key) if job.key else None
    return tag is not None and tag == keys.owner_tag(principal.user_id)
