"""The route of the keys that verify receipts, built by its first request."""

from fastapi import APIRouter, Request, Response

from image_upload.notify.receipts import Receipts
from image_upload.settings.auth import AuthSettings
from image_upload.web.conditional import etag_of, unless_known
from image_upload.web.json_answer import JSONResponse, encode
from image_upload.web.routing import Routes, documented

# A new key is published when it begins to sign, so a cache must not be old.
_FRESH = "public, max-age=300"


def router(settings: AuthSettings) -> APIRouter:
    """Return the route."""
    routes = Routes(tags=["Service"])
    key_set = Receipts(settings).key_set()
    headers = {"Cache-Control": _FRESH, "ETag": etag_of(encode(key_set))}

    @routes.get(
        "/.well-known/jwks.json",
        summary="The keys of receipts",
        operation_id="getReceiptKeys",
        openapi_extra=documented(answer="notify.schemas:KeySet", exposes=("ETag",)),
    )
    def keys(request: Request) -> Response:
        """A JSON Web Key Set (RFC 7517), to verify a `receipt` with. Without JWT_SECRET it has no key."""
        return unless_known(request, JSONResponse(key_set, headers=headers))

    return routes
