"""Routes of what is read about the service, built by the first request for one of them."""

import re

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from image_upload.errors import NotFound
from image_upload.web import openapi
from image_upload.web.documentation import llms, swagger_ui
from image_upload.web.documentation.icon import ICON
from image_upload.web.routing import Routes, documented

# RFC 8246: the version is in the address, so that a browser need not ask again.
_FOR_EVER = "public, max-age=31536000, immutable"
_A_DAY = "public, max-age=86400"

# RFC 9110 section 12.5.3; a weight of 0 forbids it.
_TAKES_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?!;\s*q=0(?:\.0*)?\s*(?:,|$))(?:[;,]|$)", re.IGNORECASE)


def router() -> APIRouter:
    """The routes."""
    routes = Routes(tags=["Service"])

    @routes.get("/docs", include_in_schema=False)
    def page() -> HTMLResponse:
        headers = {"Content-Security-Policy": swagger_ui.CONTENT_SECURITY_POLICY, "Cache-Control": "no-cache"}
        return HTMLResponse(swagger_ui.page(openapi.TITLE), headers=headers)

    @routes.get("/docs/{version}/{name}", include_in_schema=False)
    def asset(version: str, name: str, request: Request) -> Response:
        found = swagger_ui.assets().get(name)
        if found is None or version != swagger_ui.version():
            raise NotFound("There is no such file. GET /docs names those of this version.")
        headers = {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding"}
        if _TAKES_GZIP.search(request.headers.get("accept-encoding", "")):
            return Response(found.gzipped, headers=headers | {"Content-Encoding": "gzip"}, media_type=found.media_type)
        return Response(found.plain, headers=headers, media_type=found.media_type)

    @routes.get("/favicon.ico", include_in_schema=False)
    def favicon() -> Response:
        return Response(ICON, headers={"Cache-Control": _A_DAY}, media_type="image/x-icon")

    @routes.get(
        "/llms.txt",
        summary="The service in plain text",
        operation_id="getLlmsText",
        response_class=PlainTextResponse,
        openapi_extra=documented(),
    )
    def llms_text(request: Request) -> PlainTextResponse:
        """For language models and people: what the service does, with curl lines, and all routes."""
        return PlainTextResponse(llms.text(request.app.openapi()), headers={"Cache-Control": "no-cache"})

    return routes
