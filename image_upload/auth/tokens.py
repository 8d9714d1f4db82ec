"""Verify bearer tokens and cache the result. RFC 7519, RFC 8725."""

import hashlib
import time
from typing import TYPE_CHECKING

from image_upload.auth.claims import principal_in
from image_upload.auth.principals import Principal
from image_upload.errors import TokenInvalid
from image_upload.limits import TOKEN_CACHE_MAX, TOKEN_CACHE_S, TOKEN_LEEWAY_S, TOKEN_MAX_CHARS
from image_upload.settings.auth import AuthSettings

if TYPE_CHECKING:
    from image_upload.auth.jwt_verifier import JwtVerifier


class Verifier:
    """Return the principals of tokens. The libraries for it are imported by the first token."""

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings
        self._jwt_verifier: JwtVerifier | None = None
        # Keyed by digest, so that memory holds no tokens: until when, and the principal.
        self._known: dict[bytes, tuple[float, Principal]] = {}

    async def verify(self, token: str) -> Principal:
        """Return the principal of a token. Raises `TokenInvalid` and `TokenKeysUnavailable`.

        Cache a verified token for `TOKEN_CACHE_S`, never past its own end: verifying takes 40 to 130 us, and a client
        sends the same token many times.
        """
        if len(token) > TOKEN_MAX_CHARS:
            raise TokenInvalid("The token is too long. Sign in again.")
        if not token.isascii():
            raise TokenInvalid("The token holds characters that no token has. Send it as you got it.")
        digest = hashlib.sha256(token.encode()).digest()
        now = time.time()
        known = self._known.get(digest)
        if known is not None and now < known[0]:
            return known[1]
        claims, from_provider = await self._proving().claims(token)
        principal = principal_in(claims, self._settings.jwt_scope_prefix or "", from_provider=from_provider)
        self._known.pop(digest, None)
        if len(self._known) >= TOKEN_CACHE_MAX:
            del self._known[next(iter(self._known))]
        self._known[digest] = (min(int(claims["exp"]) + TOKEN_LEEWAY_S, now + TOKEN_CACHE_S), principal)
        return principal

    def _proving(self) -> "JwtVerifier":
        if self._jwt_verifier is None:
            if self._settings.jwt_secret is None and self._settings.jwt_jwks_url is None:
                raise TokenInvalid(
                    "This service has neither JWT_SECRET nor JWT_JWKS_URL and can verify no token. "
                    "Leave the Authorization header out."
                )
            from image_upload.auth.jwt_verifier import JwtVerifier  # 45 ms

            self._jwt_verifier = JwtVerifier(self._settings)
        return self._jwt_verifier
