"""Verify a token with one of the service's secrets, or with one of the identity provider's public keys."""

from typing import TYPE_CHECKING, Any, NamedTuple

from image_upload.auth import jose
from image_upload.auth.jose import NOT_OURS
from image_upload.errors import TokenInvalid
from image_upload.settings.auth import AuthSettings

if TYPE_CHECKING:
    from image_upload.auth.jwks import KeySet


class Proven(NamedTuple):
    """The verified claims of a token, and whether a key of the identity provider verified them."""

    claims: dict[str, Any]
    from_provider: bool


class JwtVerifier:
    """Two sets of keys: JWT_SECRET with JWT_PREVIOUS_SECRET, and those of JWT_JWKS_URL. Either may be missing.

    A token's `alg` only selects the set. The first has secrets and the HMAC algorithm of JWT_ALGORITHM, the second
    public keys, each with its own algorithm. So no token can make the service use a public key as a secret.
    """

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings
        secrets = (settings.jwt_secret, settings.jwt_previous_secret)
        self._secrets = tuple(secret.get_secret_value() for secret in secrets if secret is not None)
        self._keys = _key_set(settings.jwt_jwks_url) if settings.jwt_jwks_url is not None else None

    async def claims(self, token: str) -> Proven:
        """Verify a token and return its claims. Raises `TokenInvalid` and `TokenKeysUnavailable`."""
        header = jose.read_header(token)
        found = None
        if header.algorithm == self._settings.jwt_algorithm:
            for secret in self._secrets:
                found = found or self._decoded(token, secret, self._settings.jwt_algorithm)
        elif self._keys is not None and header.algorithm in jose.PUBLIC_KEY_ALGORITHMS:
            key = await self._keys.key(header.key_id)
            found = key and self._decoded(token, key.public, key.algorithm)
        if found is None:
            raise TokenInvalid(NOT_OURS)
        return Proven(found, header.algorithm != self._settings.jwt_algorithm)

    def _decoded(self, token: str, key: Any, algorithm: str) -> dict[str, Any] | None:
        settings = self._settings
        return jose.decode(token, key, algorithm, issuer=settings.jwt_issuer, audiences=settings.jwt_audience)


def _key_set(url: str) -> "KeySet":
    from image_upload.auth.jwks import KeySet  # 80 ms: httpx, and few services have a JWT_JWKS_URL

    return KeySet(url)
