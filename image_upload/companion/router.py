"""Lead to Uppy's routes: build them at the first request, and take a token from the path."""

import re
from typing import Any, Final

from fastapi import APIRouter
from starlette.types import Scope

from image_upload.auth.dependencies import PATH_TOKEN, PrincipalOf
from image_upload.s3.bucket import Bucket
from image_upload.uploads.service import UploadService
from image_upload.web.routing import ErrorAnswer, LazyRouter

_UPPY_PATH: Final = r"(?:/u/(?P<token>[^/]+))?/?(?P<rest>/s3/.*)"


class UppyRouter(LazyRouter):
    """Route `/u/{token}/s3/…` to `/s3/…`, for Uppy 6, which cannot send an Authorization header.

    Also accept a doubled slash: Uppy 6 appends `/s3` to its endpoint as it is.
    """

    def lead(self, scope: Scope) -> dict[str, Any] | None:
        """Return the path below `/s3/` and the token in front of it; None for another path."""
        path: str = scope["path"]
        match = re.fullmatch(_UPPY_PATH, path) if "/s3/" in path else None
        if match is None:
            return None
        token = {PATH_TOKEN: match["token"]} if match["token"] else {}
        return {"path": match["rest"], **token}


def router(upload_service: UploadService, bucket: Bucket, principal_of: PrincipalOf) -> LazyRouter:
    """Return the router of Uppy's routes."""

    def build() -> APIRouter:
        from image_upload.companion import routes  # 7 ms with its routes, and most services never need them

        return routes.router(routes.Companion(upload_service, bucket), principal_of)

    return UppyRouter(("/s3/",), build, _as_companion)


def _as_companion(_: Scope, answer: ErrorAnswer) -> ErrorAnswer:
    """Return a problem document for Uppy, which shows `message` to its user (Uppy 5) and logs `error`."""
    document = answer.document
    said = {"error": document["code"], "message": document["detail"], "requestId": document["request_id"]}
    return answer._replace(document=document | said)
