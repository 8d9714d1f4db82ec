"""The way to the routes of accounts: they are built by the first request for one."""

from fastapi import APIRouter

from image_upload.auth.dependencies import PrincipalOf
from image_upload.database.database import Database
from image_upload.settings import Settings
from image_upload.web.routing import LazyRouter


def router(settings: Settings, database: Database, principal_of: PrincipalOf) -> LazyRouter:
    """Sign-in by provider, tokens, and who one is."""

    def build() -> APIRouter:
        from image_upload.auth import routes, sign_in  # 30 ms: cryptography

        return routes.router(settings, sign_in.SignIn(settings, database), principal_of)

    return LazyRouter(("/auth/",), build)
