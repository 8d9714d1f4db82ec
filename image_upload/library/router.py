"""Lead to the routes of stored files, and build them at the first request."""

from fastapi import APIRouter

from image_upload.auth.dependencies import PrincipalOf
from image_upload.completion.context import CompletionContext
from image_upload.settings.auth import AuthSettings
from image_upload.web.routing import LazyRouter


def router(settings: AuthSettings, context: CompletionContext, principal_of: PrincipalOf) -> LazyRouter:
    """Return the router that lists, reads, describes and deletes stored files."""

    def build() -> APIRouter:
        from image_upload.library import routes  # 6 ms with its routes

        return routes.router(settings, context, principal_of)

    return LazyRouter(("/images/", "/api/v1/s3/file"), build)
