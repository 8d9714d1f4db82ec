"""Lead to the routes of accounts, and build them at the first request."""

from fastapi import APIRouter

from image_upload.auth.dependencies import PrincipalOf
from image_upload.database.database import Database
from image_upload.settings.auth import AuthSettings
from image_upload.settings.sign_in import SignInSettings
from image_upload.web.routing import LazyRouter


def router(settings: SignInSettings, auth: AuthSettings, database: Database, principal_of: PrincipalOf) -> LazyRouter:
    """Return the router of providers, tokens and the signed-in user."""

    def build() -> APIRouter:
        from image_upload.auth import routes, sign_in  # 30 ms: cryptography

        return routes.router(settings, sign_in.SignIn(settings, auth, database), principal_of)

    return LazyRouter(("/auth/",), build)
