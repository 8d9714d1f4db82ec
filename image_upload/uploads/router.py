"""Lead to the minting routes: `POST /uploads` is built at the start, the others at the first request."""

from fastapi import APIRouter

from image_upload.auth.dependencies import PrincipalOf
from image_upload.uploads import routes
from image_upload.uploads.service import UploadService
from image_upload.web.routing import LazyRouter, Routes


def router(upload_service: UploadService, principal_of: PrincipalOf) -> APIRouter:
    """Return the minting routes, and those of version 1 clients."""

    def version_1() -> APIRouter:
        from image_upload.uploads import v1_routes  # 1 ms with its routes

        return v1_routes.router(upload_service, principal_of)

    minting = Routes()
    minting.routes += [
        routes.mint_route(upload_service, principal_of),
        LazyRouter(("/uploads/", "/purposes"), lambda: routes.router(upload_service, principal_of)),
        LazyRouter(("/images/presigned-url", "/files/upload-url"), version_1),
    ]
    return minting
