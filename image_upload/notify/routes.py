"""The route of the keys that verify receipts, built by its first request."""

import hashlib

from fastapi import APIRouter, Request, Response

from image_upload.notify.receipts import Receipts
from image_upload.settings.auth import AuthSettings
from image_upload.web.json_answer import JSONResponse, encode
from image_upload.web.routing import Routes, documented

# A new key is published when it begins to sign, so a cache must not be old.
_FRESH = "public, max-age=300"


def router(settings: AuthSettings) -> APIRouter:
    """Return the route."""
    routes = Routes(tags=["Service"])
    key_set = Receipts(settings).key_set()
    headers = {"Cache-Control": _FRESH, "ETag": f'"{hashlib.sha256(encode(key_set)).hexdigest()[:32]}"'}

    @routes.get(
        "/.well-known/jwks.json",
        summary="The keys of receipts",
        operation_id="getReceiptKeys",
        openapi_extra=documented(answer="notify.schemas:KeySet", exposes=("ETag",)),
    )
    def keys(request: Request) -> Response:
        """A JSON Web Key Set (RFC 7517), to verify a `receipt` with. Without JWT_SECRET it has no key."""
        # RFC 9110 section 13.1.2
        known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
        if headers["ETag"] in known or "*" in known:
            return Response(status_code=304, headers=headers)
        return JSONResponse(key_set, headers=headers)

    return routes
