"""The way to the routes of posts and files: they are built by the first request for one."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from image_upload.auth.dependencies import PrincipalOf
from image_upload.auth.principals import Principal
from image_upload.database.database import CompletionContext
from image_upload.database.values import ExpectedObject
from image_upload.uploads.requests import UploadRequest
from image_upload.uploads.routes import PLAN_PROBLEMS
from image_upload.uploads.service import UploadService
from image_upload.web.json_body import read_json
from image_upload.web.routing import LazyRouter


def router(upload_service: UploadService, stores: CompletionContext, principal_of: PrincipalOf) -> LazyRouter:
    """Posts and file records."""

    async def plan(request: Request, principal: Principal) -> tuple[ExpectedObject, dict[str, Any]]:
        return await upload_service.expected_object(await read_json(request, UploadRequest), principal)

    def build() -> APIRouter:
        from image_upload.records import routes  # see `LazyRouter`

        return routes.router(stores, plan, PLAN_PROBLEMS, principal_of)

    return LazyRouter(("/posts", "/files/"), build)
