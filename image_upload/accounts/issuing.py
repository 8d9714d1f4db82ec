"""Tokens of our own, for users who signed in here. `tokens` verifies them like any other."""

import time
from typing import Any

import jwt

from image_upload.errors import SignInNotConfigured
from image_upload.settings import Settings


def access_token(settings: Settings, user_id: int, minutes: int) -> str:
    """A JWT of this user under JWT_SECRET, with what `tokens` demands of every token. Raises `SignInNotConfigured`."""
    if settings.jwt_secret is None:
        raise SignInNotConfigured("This service has no JWT_SECRET to sign tokens with. Its operator sets one.")
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": str(user_id),
        "iat": now,
        "exp": now + minutes * 60,
        # So that nothing else that is signed one day can be taken for it.
        "token_use": "access",
    }
    if settings.jwt_issuer is not None:
        claims["iss"] = settings.jwt_issuer
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience[0]
    return jwt.encode(claims, settings.jwt_secret.get_secret_value(), settings.jwt_algorithm)
