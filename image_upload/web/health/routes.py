"""The routes of health and of the error codes."""

from typing import Any

from fastapi import APIRouter, Request

from image_upload import __version__
from image_upload.errors import NotFound, ValidationFailed, every_problem
from image_upload.languages import negotiation
from image_upload.s3.bucket import Bucket
from image_upload.settings.service import ServiceSettings
from image_upload.web.json_answer import JSONResponse
from image_upload.web.routing import Routes, documented


def _explain(language: negotiation.Language) -> dict[str, dict[str, Any]]:
    explained = {}
    for kind in every_problem():
        meaning = " ".join((kind.__doc__ or "").split())
        title, meaning = negotiation.explained(kind.code, kind.title, meaning, language)
        explained[kind.code] = {"code": kind.code, "title": title, "status": kind.status, "meaning": meaning}
    return explained


def router(settings: ServiceSettings, bucket: Bucket) -> APIRouter:
    """Health and the error codes."""
    routes = Routes(tags=["Service"])

    @routes.get(
        "/", summary="Health", operation_id="getHealth", openapi_extra=documented(answer="web.health.schemas:Health")
    )
    async def health() -> JSONResponse:
        """Shows that the service runs, and whether its bucket answers within two seconds."""
        return JSONResponse(
            {
                "message": "Image upload service is running",
                "version": __version__,
                "environment": settings.environment,
                "bucket": await bucket.state(),
            },
            # Browsers may get a page there (`page/`).
            headers={"Vary": "Accept"},
        )

    @routes.get(
        "/errors",
        summary="All error codes",
        operation_id="listErrorCodes",
        openapi_extra=documented(answer="web.health.schemas:ErrorCodes"),
    )
    async def error_codes(request: Request) -> JSONResponse:
        """Lists every `code` with its status and the remedy."""
        language = negotiation.preferred(request.scope["headers"])
        return JSONResponse(list(_explain(language).values()), headers=negotiation.headers_of(language))

    @routes.get(
        "/errors/{code}",
        summary="One error code",
        operation_id="getErrorCode",
        openapi_extra=documented(NotFound, ValidationFailed, answer="web.health.schemas:ErrorCode"),
    )
    async def error_code(request: Request, code: str) -> JSONResponse:
        """Explains one `code`."""
        language = negotiation.preferred(request.scope["headers"])
        explained = _explain(language).get(code)
        if explained is None:
            raise NotFound("There is no such error code. GET /errors lists them all.")
        return JSONResponse(explained, headers=negotiation.headers_of(language))

    return routes
