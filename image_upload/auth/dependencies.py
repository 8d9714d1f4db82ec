"""The dependency that gives a route its principal and checks the right that the route needs."""

from fastapi import Request

from image_upload.auth import permissions
from image_upload.auth.permissions import Right
from image_upload.auth.principals import ANONYMOUS, Principal
from image_upload.auth.tokens import Verifier
from image_upload.errors import ScopeMissing, TokenInvalid, TokenMissing
from image_upload.settings.auth import AuthSettings
from image_upload.usage.limiter import Limit
from image_upload.web.routing import TokenDependency

# The scope's name for a token that a middleware has taken from the path.
PATH_TOKEN = "path_token"


class PrincipalOf(TokenDependency):
    """A dependency: the principal of the request. Raises problems with 401, 403 and 429.

    A route needs the right `manage`, the strictest, unless `needs` states another.
    With `signed_in` the route needs a token also where `AUTH_REQUIRED` is false.
    """

    def __init__(
        self,
        settings: AuthSettings,
        verifier: Verifier,
        limit: Limit | None,
        right: Right = "manage",
        *,
        signed_in: bool = False,
    ) -> None:
        self._settings = settings
        self._verifier = verifier
        self._limit = limit
        self._asks_all = signed_in or settings.auth_required
        self.right = right
        self.requires_token = signed_in or permissions.needs_token(right, settings)

    def needs(self, right: Right, *, signed_in: bool = False) -> "PrincipalOf":
        """Return the dependency for a route that needs this right."""
        return PrincipalOf(self._settings, self._verifier, self._limit, right, signed_in=signed_in)

    async def __call__(self, request: Request) -> Principal:
        """Return the principal of the request.

        A token must be valid even if the route requires none: otherwise a signed-in client with an expired token
        would store as `anonymous` without notice.
        """
        principal = await self._principal(request)
        if not permissions.has(principal, self.right):
            raise ScopeMissing("This token is for uploads only. Use a token of the user without the scope mint.")
        return principal

    async def _principal(self, request: Request) -> Principal:
        header = request.headers.get("authorization")
        if PATH_TOKEN in request.scope:
            header = f"Bearer {request.scope[PATH_TOKEN]}"
        if header is None:
            if self._asks_all:
                raise TokenMissing("This route needs a token. Send it as: Authorization: Bearer <token>.")
            return ANONYMOUS
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise TokenInvalid("The Authorization header is not of the form: Bearer <token>.")
        principal = await self._verifier.verify(token.strip())
        request.scope["principal"] = principal
        if self._limit is not None:
            await self._limit.hit(principal.user_id, request.scope["path"])
        return principal


def principal_of(settings: AuthSettings, limit: Limit | None = None) -> PrincipalOf:
    """Return the dependency for the routes. `limit` is the rate limit per user."""
    return PrincipalOf(settings, Verifier(settings), limit)
