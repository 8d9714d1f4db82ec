"""Bearer tokens: verify a JWT and say whose it is. RFC 7519, RFC 8725."""

from typing import NamedTuple

from image_upload.errors import InvalidToken
from image_upload.settings import Settings

# Twice the size of any token we would issue; the rest is an attack on the parser.
TOKEN_MAX_CHARS = 8192

ANONYMOUS_ID = "anonymous"


class Principal(NamedTuple):
    """Who is asking: a signed-in user's id, or `anonymous`."""

    user_id: str
    signed_in: bool


ANONYMOUS = Principal(ANONYMOUS_ID, signed_in=False)


def verify(token: str, settings: Settings) -> Principal:
    """The principal of a token signed with JWT_SECRET.

    The algorithm is the configured one, whatever the token's header says; `exp` and `sub` must be
    there, `iss` and `aud` where they are configured. Raises `InvalidToken`.
    """
    if settings.jwt_secret is None:
        raise InvalidToken(
            "This service has no JWT_SECRET and can verify no token. Leave the Authorization header out."
        )
    if len(token) > TOKEN_MAX_CHARS:
        raise InvalidToken("The token is too long. Sign in again.")
    import jwt  # noqa: PLC0415  50 ms of import that a route without a token does not pay

    try:
        claims = jwt.decode(
            token,
            settings.jwt_secret.get_secret_value(),
            algorithms=[settings.jwt_algorithm],
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            options={"require": ["exp", "sub"], "verify_aud": settings.jwt_audience is not None},
        )
    except jwt.ExpiredSignatureError:
        raise InvalidToken("The token has expired. Sign in again.") from None
    except jwt.InvalidTokenError:
        raise InvalidToken("The token was not issued for this service. Sign in again.") from None
    user_id = claims["sub"]
    if not isinstance(user_id, str) or not user_id.strip() or user_id == ANONYMOUS_ID:
        raise InvalidToken("The token's subject is not a user id. Sign in again.")
    return Principal(user_id, signed_in=True)
