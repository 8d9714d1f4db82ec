"""Which key proves a token: one of our secrets, or one of the identity provider's public keys."""

from typing import TYPE_CHECKING, Any, NamedTuple

from image_upload.auth import jose
from image_upload.auth.jose import NOT_OURS
from image_upload.errors import TokenInvalid
from image_upload.settings import Settings

if TYPE_CHECKING:
    from image_upload.auth.jwks import KeySet


class Proven(NamedTuple):
    """The claims of a token, and whether a key of the identity provider proved them (else a secret of ours)."""

    claims: dict[str, Any]
    from_provider: bool


class JwtVerifier:
    """Two doors: JWT_SECRET with JWT_PREVIOUS_SECRET, and JWT_JWKS_URL. Either may be walled up.

    The `alg` of a token only chooses the door. Behind the first there are only secrets and the one HMAC algorithm of
    JWT_ALGORITHM; behind the second only public keys, each with its own algorithm. So a public key is never taken for
    a secret, whatever a token says.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        secrets = (settings.jwt_secret, settings.jwt_previous_secret)
        self._secrets = tuple(secret.get_secret_value() for secret in secrets if secret is not None)
        self._keys = _key_set(settings.jwt_jwks_url) if settings.jwt_jwks_url is not None else None

    async def claims(self, token: str) -> Proven:
        """The claims of a token that one of the keys has signed. Raises `TokenInvalid` and `TokenKeysUnavailable`."""
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
