"""The routes of the page and of the client module, built by the first request for one of them."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from image_upload.auth import permissions
from image_upload.errors import NotFound
from image_upload.languages import negotiation
from image_upload.page import files
from image_upload.s3.bucket import Bucket
from image_upload.settings.auth import AuthSettings
from image_upload.settings.page import PageSettings
from image_upload.settings.sign_in import SignInSettings
from image_upload.web.conditional import etag_of, unless_known
from image_upload.web.routing import Routes, documented

_SCRIPT: Final = "text/javascript; charset=utf-8"

# A cache may keep it, and asks each time whether it is still the same: modules, page and service belong together.
_ASK_FIRST: Final = "public, no-cache"
# RFC 8246: the version is in the address.
_FOR_EVER: Final = "public, max-age=31536000, immutable"


def router(settings: PageSettings, auth: AuthSettings, sign_in: SignInSettings, bucket: Bucket) -> APIRouter:
    """Return the routes."""
    routes = Routes(tags=["Service"])

    @routes.get(
        "/client.js",
        summary="The client for browsers",
        operation_id="getClientModule",
        response_class=Response,
        openapi_extra=documented(exposes=("ETag",)),
    )
    def client(request: Request) -> Response:
        """An ES module to upload with, for pages without a package manager. `VERSION` in it says which it is."""
        return _script(request, files.client_module(), _ASK_FIRST)

    # The document shows a route once.
    routes.add_api_route("/client.js", client, methods=["HEAD"], include_in_schema=False)
    if settings.serves_page:
        _page_routes(routes, _facts(auth, sign_in), files.content_security_policy(bucket.public_origins))
    return routes


def _facts(auth: AuthSettings, sign_in: SignInSettings) -> dict[str, Any]:
    """Return what the page has to know of the settings. None of it is a secret."""
    named = {"google": sign_in.google_client_id, "github": sign_in.github_client_id}
    return {
        "uploadsNeedToken": auth.auth_required,
        "filesNeedToken": permissions.needs_token("manage", auth),
        "providers": [name for name, client_id in named.items() if client_id is not None],
        # A sign-in leads back there. Unless that is the page itself, the page cannot end it.
        "callback": sign_in.frontend_callback_url,
    }


def _page_routes(routes: APIRouter, facts: Mapping[str, Any], policy: str) -> None:
    @routes.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    def page(request: Request) -> Response:
        language = negotiation.preferred(request.scope["headers"])
        content = files.page(language, facts)
        headers = {
            "Cache-Control": "no-cache",
            "Content-Language": language,
            "Content-Security-Policy": policy,
            "ETag": etag_of(content),
            # A sign-in comes back with a code in the address.
            "Referrer-Policy": "no-referrer",
            "Vary": "Accept, Accept-Language",
        }
        return unless_known(request, Response(content, headers=headers, media_type="text/html; charset=utf-8"))

    @routes.api_route("/page/{version}/{name}.js", methods=["GET", "HEAD"], include_in_schema=False)
    def module(request: Request, version: str, name: str) -> Response:
        found = files.modules().get(f"{name}.js")
        if version != files.modules_version() or found is None:
            raise NotFound("There is no such file. GET / names those of this version.")
        return _script(request, found, _FOR_EVER)


def _script(request: Request, content: bytes, cache_control: str) -> Response:
    """Return a script, a third as long for a client that names gzip without a weight, as browsers do."""
    headers = {"Cache-Control": cache_control, "Vary": "Accept-Encoding"}
    codings = {each.strip() for each in request.headers.get("accept-encoding", "").split(",")}
    if "gzip" in codings:
        content = files.compressed(content)
        headers["Content-Encoding"] = "gzip"
    headers["ETag"] = etag_of(content)
    return unless_known(request, Response(content, headers=headers, media_type=_SCRIPT))
