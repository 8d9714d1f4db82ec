"""JWTs and JWKs by PyJWT, held to RFC 8725. Imported by the first request that carries a token: it takes 45 ms.

No token says by itself how it is verified. Its header chooses between two doors at most, and each door has its own
keys: our secrets, which know one HMAC algorithm, or the provider's public keys, of which each knows exactly one
algorithm (RFC 8725 section 3.1). What else a header offers (`jwk`, `jku`, `x5u`, `x5c`) nobody looks at.
"""

import base64
import json
import logging
import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jwt

from image_upload.errors import TokenInvalid
from image_upload.limits import RSA_KEY_MIN_BITS, TOKEN_LEEWAY_S

log = logging.getLogger(__name__)

# What a key may be used for, by its type and curve. Where its entry names no `alg`, the first: RFC 8725 wants one
# algorithm a key, and OpenID Connect's default for RSA is RS256.
_ALGORITHMS = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
PUBLIC_KEY_ALGORITHMS = frozenset(name for names in _ALGORITHMS.values() for name in names)

# RFC 8725 section 3.11: a token made for something else (a refresh, a logout) is no access token. `typ` is compared
# without case and without "application/" (RFC 7515 section 4.1.9).
_TYPES = frozenset({"jwt", "at+jwt"})


# RFC 7519 section 2: a NumericDate is a JSON number.
_TIMES = ("exp", "nbf", "iat")

# All that a forger learns.
NOT_OURS = "The token was not issued for this service. Sign in again."


class Header(NamedTuple):
    """What a token says of its own signature; nothing of it is proven."""

    algorithm: str
    key_id: str | None


class Key(NamedTuple):
    """A public key, and the one algorithm that it verifies."""

    public: Any
    algorithm: str


class KeyRefused(ValueError):
    """An entry of a key set that no token is verified with; the message says why."""


def read_header(token: str) -> Header:
    """Return the unproven header of a token. Raises `TokenInvalid`."""
    encoded = token.partition(".")[0]
    try:
        fields = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise TokenInvalid(NOT_OURS) from None
    if not isinstance(fields, dict):
        raise TokenInvalid(NOT_OURS)
    algorithm, key_id, kind = fields.get("alg"), fields.get("kid"), fields.get("typ", "JWT")
    # `crit` names extensions that must be understood. We know none, `b64` included.
    if not isinstance(algorithm, str) or not isinstance(key_id, str | None) or "crit" in fields:
        raise TokenInvalid(NOT_OURS)
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        raise TokenInvalid(NOT_OURS)
    return Header(algorithm, key_id)


def decode(
    token: str, key: Any, algorithm: str, *, issuer: str | None, audiences: Collection[str]
) -> dict[str, Any] | None:
    """Return the claims of a token whose time is now; None if another key than this has signed it.

    `iss` must be the issuer where one is given. `aud` must hold one of the audiences; without any given, a token that
    has an `aud` is refused, because it was made for another service (RFC 7519 section 4.1.3).
    Raises `TokenInvalid`. Only a bearer of a token with a good signature is told which claim is wrong.
    """
    try:
        claims: dict[str, Any] = _JWT.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=issuer,
            audience=audiences or None,
            leeway=TOKEN_LEEWAY_S,
            # What a subject may be is the reader's decision: an ID token's is text, an access token's may be a number.
            options={"require": ["exp", "sub"], "verify_sub": False},
        )
    except jwt.InvalidSignatureError:
        return None
    except jwt.ExpiredSignatureError:
        raise TokenInvalid("The token has expired. Sign in again.") from None
    except jwt.ImmatureSignatureError:
        raise TokenInvalid("The token is not valid yet. Compare the clocks of its issuer and this service.") from None
    except jwt.PyJWTError as error:
        # The signature is checked first: what is named here came with a good one.
        if type(error) in _CLAIM_REFUSALS:
            log.warning("token refused", extra={"fields": {"reason": type(error).__name__}})
            raise TokenInvalid(_CLAIM_REFUSALS[type(error)]) from None
        raise TokenInvalid(NOT_OURS) from None
    return claims


# What is wrong with a token whose signature is good → what to do.
_CLAIM_REFUSALS: dict[type[jwt.PyJWTError], str] = {
    jwt.InvalidAudienceError: "The token's audience (aud) is not this service. Have it issued for it, or add the "
    "audience to JWT_AUDIENCE.",
    jwt.InvalidIssuerError: "The token's issuer (iss) is not the JWT_ISSUER of this service. Compare the two.",
    jwt.MissingRequiredClaimError: "The token lacks a claim. It must have sub and exp; also aud with JWT_AUDIENCE, "
    "and iss with JWT_ISSUER.",
}


def key_of(entry: Mapping[str, Any]) -> Key:
    """Return the key of one entry of a key set (RFC 7517). Raises `KeyRefused`."""
    kind, curve = entry.get("kty"), entry.get("crv")
    allowed = _ALGORITHMS.get((str(kind), None if kind == "RSA" else str(curve)))
    if allowed is None:
        raise KeyRefused("its type is not RSA, EC or Ed25519")
    algorithm = entry.get("alg", allowed[0])
    if algorithm not in allowed:
        raise KeyRefused("its alg does not go with its type")
    if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ("verify",)):
        raise KeyRefused("it is not for signatures")
    if "d" in entry:
        raise KeyRefused("it is a private key, which everybody can read now")
    try:
        public = jwt.PyJWK(dict(entry), algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        raise KeyRefused("it is broken") from None
    if kind == "RSA" and public.key_size < RSA_KEY_MIN_BITS:
        raise KeyRefused(f"it has fewer than {RSA_KEY_MIN_BITS} bits")
    return Key(public, algorithm)


class _StrictJWT(jwt.PyJWT):
    """PyJWT that refuses a name twice and times that are no numbers, and knows Cognito."""

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        try:
            claims = json.loads(decoded["payload"], object_pairs_hook=_unique)
        except (ValueError, RecursionError):
            raise jwt.DecodeError("the payload is no JSON object, or has a name twice") from None
        if not isinstance(claims, dict):
            raise jwt.DecodeError("the payload is no JSON object")
        for name in _TIMES:
            value = claims.get(name, 0)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                # PyJWT would take text for a number, and stumble over 1e400.
                raise TokenInvalid(
                    "A time in the token (exp, nbf, iat) is not a number of seconds since 1970. Ask its issuer."
                )
        if "aud" not in claims and claims.get("token_use") == "access" and "client_id" in claims:
            # Cognito's access tokens name the app client here; its ID tokens name it in `aud`.
            # https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
            claims["aud"] = claims["client_id"]
        return claims


_JWT = _StrictJWT()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object whose names are there once. RFC 7519 section 4: parsers disagree about which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found
