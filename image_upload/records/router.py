"""Lead to the routes of posts and files, and build them at the first request."""

from fastapi import APIRouter

from image_upload.auth.dependencies import PrincipalOf
from image_upload.completion.context import CompletionContext
from image_upload.uploads.service import UploadService
from image_upload.web.routing import LazyRouter


def router(context: CompletionContext, upload_service: UploadService, principal_of: PrincipalOf) -> LazyRouter:
    """Return the router of posts and file records."""

    def build() -> APIRouter:
        from image_upload.records import routes  # 3 ms with its routes; rows bring SQLAlchemy, 200 ms

        return routes.router(context, upload_service, principal_of)

    return LazyRouter(("/posts", "/files/"), build)
