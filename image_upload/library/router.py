"""The way to the routes of what is stored: they are built by the first request for one."""

from fastapi import APIRouter

from image_upload.auth.dependencies import PrincipalOf
from image_upload.s3.bucket import Bucket
from image_upload.settings import Settings
from image_upload.web.routing import LazyRouter


def router(settings: Settings, bucket: Bucket, principal_of: PrincipalOf) -> LazyRouter:
    """What is stored: list, read, describe, delete."""

    def build() -> APIRouter:
        from image_upload.library import routes  # 6 ms with its routes

        return routes.router(settings, bucket, principal_of)

    return LazyRouter(("/images/", "/api/v1/s3/file"), build)
