"""The way to the routes of posts and files: they are built by the first request for one."""

from fastapi import APIRouter

from image_upload.auth.dependencies import PrincipalOf
from image_upload.completion.context import CompletionContext
from image_upload.uploads.service import UploadService
from image_upload.web.routing import LazyRouter


def router(context: CompletionContext, upload_service: UploadService, principal_of: PrincipalOf) -> LazyRouter:
    """Posts and file records."""

    def build() -> APIRouter:
        from image_upload.records import routes  # 3 ms with its routes; rows bring SQLAlchemy, 200 ms

        return routes.router(context, upload_service, principal_of)

    return LazyRouter(("/posts", "/files/"), build)
