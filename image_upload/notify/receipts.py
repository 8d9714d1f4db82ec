"""Receipts: signed statements of what was stored, verified with published keys. RFC 7515, RFC 8037.

A receipt is a JWS in compact form, by EdDSA over Ed25519. Its key is derived from JWT_SECRET: all processes of a
service sign alike, and no other secret is needed.
"""

import base64
import hashlib
import json
from functools import cached_property
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from image_upload.notify.event import StoredFacts
from image_upload.settings.auth import AuthSettings

# RFC 8725 section 3.11: no token of another kind is taken for a receipt, nor a receipt for a token.
TYPE: Final = "upload-receipt+jwt"
ALGORITHM: Final = "EdDSA"
# `iss` where there is no JWT_ISSUER.
ISSUER: Final = "image-upload"

_SEED_BYTES: Final = 32
# Another text makes other keys, with which no receipt of before is verified.
_PURPOSE: Final = b"image-upload receipt v1"
# A random UUID, for `jti`.
_NAMESPACE: Final = UUID("0f3f5a52-4f0c-4d1c-8f0e-6a4a2c5a9be7")


class _SigningKey(NamedTuple):
    """A private key, and its public half as a JWK. Its `kid` is its thumbprint (RFC 7638)."""

    private: Ed25519PrivateKey
    jwk: dict[str, str]


class Receipts:
    """Sign receipts with the key of JWT_SECRET. The one of JWT_PREVIOUS_SECRET is still published."""

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings

    @cached_property
    def _keys(self) -> tuple[_SigningKey, ...]:
        secrets = (self._settings.jwt_secret, self._settings.jwt_previous_secret)
        return tuple(_derived(secret) for secret in secrets if secret is not None)

    def receipt(self, stored: StoredFacts) -> str | None:
        """Return the receipt of an object; None without JWT_SECRET. It is the same text for the same facts."""
        if self._settings.jwt_secret is None:
            return None
        issued_at = int(stored.stored_at.timestamp())
        claims: dict[str, Any] = {
            "iss": self._settings.jwt_issuer or ISSUER,
            "sub": stored.owner or "anonymous",
            "iat": issued_at,
            "jti": str(uuid5(_NAMESPACE, json.dumps([stored.key, issued_at]))),
            "key": stored.key,
            "size": stored.size,
            "sha256": stored.sha256,
            "type": stored.type,
            "width": stored.width,
            "height": stored.height,
            "purpose": stored.purpose,
        }
        known = {name: value for name, value in claims.items() if value is not None}
        key = self._keys[0]
        return jwt.encode(known, key.private, ALGORITHM, {"typ": TYPE, "kid": key.jwk["kid"]})

    def key_set(self) -> dict[str, list[dict[str, str]]]:
        """Return the public keys as a JSON Web Key Set (RFC 7517), the current one first; without JWT_SECRET none."""
        # During a change both secrets may be the same, and a key set names each key once.
        return {"keys": list({key.jwk["kid"]: key.jwk for key in self._keys}.values())}


def _derived(secret: SecretStr) -> _SigningKey:
    seed = HKDF(SHA256(), _SEED_BYTES, salt=None, info=_PURPOSE).derive(secret.get_secret_value().encode())
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    # RFC 8037 section 2, its members in the order that RFC 7638 hashes.
    members = {"crv": "Ed25519", "kty": "OKP", "x": _text(public)}
    thumbprint = hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()
    return _SigningKey(private, {**members, "kid": _text(thumbprint), "alg": ALGORITHM, "use": "sig"})


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
