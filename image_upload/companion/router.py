"""The way to Uppy's routes: they are built by the first request for one, and a token may come in the path."""

import re
from typing import Any, Final

from fastapi import APIRouter

from image_upload.auth.dependencies import PATH_TOKEN, PrincipalOf
from image_upload.s3.bucket import Bucket
from image_upload.uploads.service import UploadService
from image_upload.web.routing import LazyRouter

_UPPY_PATH: Final = re.compile(r"(?:/u/(?P<token>[^/]+))?/?(?P<rest>/s3/.*)")


class UppyRouter(LazyRouter):
    """Leads `/u/{token}/s3/…` to `/s3/…`, for Uppy 6, which sends no headers of ours.

    It also takes a doubled slash: Uppy 6 appends `/s3` to its endpoint as it is.
    """

    def lead(self, path: str) -> dict[str, Any] | None:
        """The path below `/s3/`, and the token that stands in front of it."""
        match = _UPPY_PATH.fullmatch(path) if "/s3/" in path else None
        if match is None:
            return None
        token = {PATH_TOKEN: match["token"]} if match["token"] else {}
        return {"path": match["rest"], **token}


def router(upload_service: UploadService, bucket: Bucket, principal_of: PrincipalOf) -> LazyRouter:
    """Uppy's routes."""

    def build() -> APIRouter:
        from image_upload.companion import routes  # 7 ms with its routes, and most services never need them

        return routes.router(routes.Companion(upload_service, bucket), principal_of)

    return UppyRouter(("/s3/",), build, _as_companion)


def _as_companion(document: dict[str, Any]) -> dict[str, Any]:
    """A problem document for Uppy: Uppy 5 shows `message` to its user, and both versions log what `error` says."""
    return document | {
        "error": document["code"],
        "message": document["detail"],
        "requestId": document["request_id"],
    }
