"""Sign the service's own tokens: for users who signed in here, and for operators. `tokens` verifies them."""

import time
from collections.abc import Sequence
from typing import Any, Final

import jwt

from image_upload.errors import SignInNotConfigured
from image_upload.settings.auth import AuthSettings

# The settings that `bearer_token` reads. A caller outside the service needs to load only these.
READ: Final[tuple[str, ...]] = ("JWT_SECRET", "JWT_ALGORITHM", "JWT_ISSUER", "JWT_AUDIENCE", "JWT_SCOPE_PREFIX")


def access_token(settings: AuthSettings, user_id: int, minutes: int) -> str:
    """Return a JWT of this user under JWT_SECRET, with what `tokens` demands of every token.

    Raises `SignInNotConfigured`.
    """
    now = int(time.time())
    # `token_use`, so that nothing else that is signed one day can be taken for it.
    return _signed(settings, {"sub": str(user_id), "iat": now, "exp": now + minutes * 60, "token_use": "access"})


def bearer_token(settings: AuthSettings, subject: str, lives_s: int, scopes: Sequence[str] = ()) -> str:
    """Return a JWT for a caller of the service, as an operator's back end signs it. Raises `SignInNotConfigured`.

    It has no `iat`, because the clock of the signing machine may be ahead of the service's.
    """
    claims: dict[str, Any] = {"sub": subject, "exp": int(time.time()) + lives_s}
    if scopes:
        claims["scope"] = " ".join(f"{settings.jwt_scope_prefix or ''}{scope}" for scope in scopes)
    return _signed(settings, claims)


def _signed(settings: AuthSettings, claims: dict[str, Any]) -> str:
    if settings.jwt_secret is None:
        raise SignInNotConfigured("This service has no JWT_SECRET to sign tokens with. Its operator sets one.")
    if settings.jwt_issuer is not None:
        claims["iss"] = settings.jwt_issuer
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience[0]
    return jwt.encode(claims, settings.jwt_secret.get_secret_value(), settings.jwt_algorithm)
