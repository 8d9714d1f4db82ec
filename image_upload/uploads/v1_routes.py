"""The routes of version 1 clients, /images and /files: the plan of `uploads` in their names."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from image_upload import errors
from image_upload.auth import permissions
from image_upload.auth.dependencies import PrincipalOf
from image_upload.auth.principals import Principal
from image_upload.domain import checks
from image_upload.domain.purposes import Purposes
from image_upload.limits import MULTIPART_URL_EXPIRES_S
from image_upload.uploads.plans import PutPlan, UploadSpec
from image_upload.uploads.requests import ImageRequest
from image_upload.uploads.routes import (
    AUTHORIZATION,
    RECORD_REPEAT_PROBLEMS,
    SIGNED_IN,
    SPEC_PROBLEMS,
    repeatable_of,
)
from image_upload.uploads.service import UploadService
from image_upload.web.json_answer import JSONResponse
from image_upload.web.json_body import read_json
from image_upload.web.routing import Routes, documented


def router(
    upload_service: UploadService,
    principal_of: PrincipalOf,
) -> APIRouter:
    """Return the routes of /images and /files."""
    routes = Routes(tags=["Minting"])
    caller = Annotated[Principal, Depends(principal_of.needs("mint"))]
    pictures = Purposes.of(*(each for each in upload_service.purposes.named.values() if each.holds_pictures))

    async def image_url(request: Request, purpose: str | None, principal: Principal) -> JSONResponse:
        wanted = await read_json(request, ImageRequest)
        fixed = upload_service.purpose(purpose or wanted.purpose, principal, pictures)
        spec = UploadSpec(
            content_type=checks.content_type(fixed, wanted.content_type, ""),
            size_bytes=wanted.size,
            purpose=fixed,
            principal=principal,
        )
        plan = await upload_service.plan(spec, "put")
        assert isinstance(plan, PutPlan)
        return JSONResponse(
            {
                "upload_url": plan.url,
                "cdn_url": plan.cdn_url,
                "key": plan.key,
                "expires_in": plan.valid.seconds,
                "headers": dict(plan.headers),
                "content_length": plan.content_length,
                "max_bytes": plan.max_bytes,
                "size_enforced": plan.size_enforced,
            }
        )

    image = documented(*SPEC_PROBLEMS, answer="uploads.schemas:ImageUrl", body="uploads.requests:ImageRequest")

    @routes.post(
        "/images/presigned-url",
        summary="A URL to upload an image",
        operation_id="createImageUpload",
        openapi_extra=image,
    )
    async def image_presigned_url(request: Request, principal: caller) -> JSONResponse:
        """The plan of `POST /uploads`, in the names of /images."""
        return await image_url(request, None, principal)

    def fix(purpose: str) -> None:
        @routes.post(
            f"/images/presigned-url/{purpose}",
            summary=f"A URL to upload a {purpose} image",
            operation_id=f"create{purpose.capitalize()}Upload",
            openapi_extra=image,
        )
        async def fixed(request: Request, principal: caller) -> JSONResponse:
            """The same with a fixed purpose; one in the body is ignored."""
            return await image_url(request, purpose, principal)

    for purpose in ("scan", "profile", "chat"):
        fix(purpose)

    @routes.post(
        "/files/upload-url",
        summary="A URL to upload a file under its name",
        operation_id="createFileUpload",
        openapi_extra=documented(
            errors.InvalidFilename,
            *SIGNED_IN,
            errors.ScopeMissing,
            *AUTHORIZATION,
            errors.ValidationFailed,
            errors.CredentialsUnavailable,
            errors.QuotaExceeded,
            errors.DatabaseUnavailable,
            *RECORD_REPEAT_PROBLEMS,
            answer="uploads.schemas:FileUrl",
            repeatable=True,
        ),
    )
    async def file_upload_url(
        filename: Annotated[str, Query(description="The bare file name, in any script.", examples=["보고서.pdf"])],
        request: Request,
        principal: caller,
    ) -> JSONResponse:
        """Valid for an hour. The PUT must send `headers`: the type, and `If-None-Match` if the file is recorded."""
        fields = {"filename": filename}
        repeatable = repeatable_of(request, "POST /files/upload-url", fields, principal, upload_service)
        spec = UploadSpec(
            filename=filename,
            content_type="application/octet-stream",
            purpose=permissions.check_purpose(principal, upload_service.purposes.user_file),
            principal=principal,
            no_overwrite=repeatable is not None,
            expires_s=MULTIPART_URL_EXPIRES_S,
            repeatable=repeatable,
        )
        recorded = {}
        if upload_service.keeps_records:
            plan, record = await upload_service.plan_recorded("file", spec, "put")
            recorded = {"file_id": record.id}
        else:
            plan = await upload_service.plan(spec, "put")
        assert isinstance(plan, PutPlan)
        return JSONResponse(
            {
                "presigned_url": plan.url,
                "object_key": plan.key,
                "expires_in": plan.valid.seconds,
                "headers": dict(plan.headers),
                "content_length": plan.content_length,
                **recorded,
            }
        )

    return routes
