"""The one dependency through which a route learns who is asking."""

from collections.abc import Awaitable, Callable

from fastapi import Request

from image_upload.accounts.tokens import ANONYMOUS, Principal, verify
from image_upload.errors import InvalidToken, NotSignedIn
from image_upload.settings import Settings

# Where a ring in front of the routes leaves a token that came in the path.
PATH_TOKEN = "path_token"

PrincipalOf = Callable[[Request], Awaitable[Principal]]


def principal_of(settings: Settings) -> PrincipalOf:
    """A dependency that answers 401 unless the caller may be served.

    A token that is sent must be valid, also where none is required: a client that believes to be
    signed in must not silently store as `anonymous`.
    """

    async def principal(request: Request) -> Principal:
        header = request.headers.get("authorization")
        if PATH_TOKEN in request.scope:
            header = f"Bearer {request.scope[PATH_TOKEN]}"
        if header is None:
            if settings.auth_required:
                raise NotSignedIn("This route needs a token. Send it as: Authorization: Bearer <token>.")
            return ANONYMOUS
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise InvalidToken("The Authorization header is not of the form: Bearer <token>.")
        found = verify(token.strip(), settings)
        request.scope["principal"] = found
        return found

    return principal
