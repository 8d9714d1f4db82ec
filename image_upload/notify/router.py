"""Lead to the keys of receipts, and build their route at the first request."""

from fastapi import APIRouter

from image_upload.settings.auth import AuthSettings
from image_upload.web.routing import LazyRouter


def router(settings: AuthSettings) -> LazyRouter:
    """Return the router of `/.well-known/jwks.json`."""

    def build() -> APIRouter:
        from image_upload.notify import routes  # PyJWT, 45 ms, and cryptography

        return routes.router(settings)

    return LazyRouter(("/.well-known/jwks.json",), build)
