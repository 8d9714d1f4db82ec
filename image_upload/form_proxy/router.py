"""Lead to the form routes, and import what a form needs at the first request."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter

from image_upload.auth.dependencies import PrincipalOf
from image_upload.completion.context import CompletionContext
from image_upload.limits import FORM_OVERHEAD_MAX_BYTES, LAMBDA_FORM_MAX_BYTES
from image_upload.settings.proxy import ProxySettings
from image_upload.usage.addresses import AddressOf
from image_upload.web.routing import LazyRouter

if TYPE_CHECKING:
    from image_upload.auth.authorization import Authorization

RETRY_PATH: Final = "/upload-with-presigned-retry"


def file_max_bytes(stored_max_bytes: int, settings: ProxySettings) -> int:
    """Return the largest file of a form, where its store takes so many bytes. Lambda carries less."""
    on_lambda = LAMBDA_FORM_MAX_BYTES - FORM_OVERHEAD_MAX_BYTES
    return min(stored_max_bytes, on_lambda) if settings.on_lambda else stored_max_bytes


def router(
    settings: ProxySettings,
    context: CompletionContext,
    principal_of: PrincipalOf,
    *,
    authorization: "Authorization | None",
    address_of: AddressOf,
    front_ends: Sequence[str],
) -> LazyRouter:
    """Return the router of forms through the service."""

    def build() -> APIRouter:
        from image_upload.form_proxy import proxy, routes  # 60 ms: httpx, tenacity, the form parser

        handler = proxy.Proxy(
            settings, context, authorization=authorization, address_of=address_of, front_ends=front_ends
        )
        return routes.router(handler, settings, principal_of)

    return LazyRouter(("/upload-with-presigned", "/api/v1/s3/upload"), build)
