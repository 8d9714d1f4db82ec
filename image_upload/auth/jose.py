"""JWTs and JWKs by PyJWT, by the rules of RFC 8725. The first request with a token imports it, which takes 45 ms.

A token's header never decides how it is verified. It only selects one of two sets of keys: the service's secrets, with
one HMAC algorithm, or the provider's public keys, each with exactly one algorithm (RFC 8725 section 3.1). Other members
of a header (`jwk`, `jku`, `x5u`, `x5c`) are ignored.
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

# The algorithms of a key, by its type and curve. A key without `alg` gets the first: RFC 8725 requires one algorithm
# for each key, and OpenID Connect's default for RSA is RS256.
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

# The only detail for a token without a valid signature.
NOT_OURS = "The token was not issued for this service. Sign in again."


class Header(NamedTuple):
    """What a token claims about its own signature. It is not verified."""

    algorithm: str
    key_id: str | None


class Key(NamedTuple):
    """A public key, and its one algorithm."""

    public: Any
    algorithm: str


class KeyRefused(ValueError):
    """An entry of a key set cannot be used. The message says why."""


def read_header(token: str) -> Header:
    """Return the unverified header of a token. Raises `TokenInvalid`."""
    encoded = token.partition(".")[0]
    try:
        fields = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise TokenInvalid(NOT_OURS) from None
    if not isinstance(fields, dict):
        raise TokenInvalid(NOT_OURS)
    algorithm, key_id, kind = fields.get("alg"), fields.get("kid"), fields.get("typ", "JWT")
    # `crit` names extensions that a verifier must support. None is supported here, not even `b64`.
    if not isinstance(algorithm, str) or not isinstance(key_id, str | None) or "crit" in fields:
        raise TokenInvalid(NOT_OURS)
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        raise TokenInvalid(NOT_OURS)
    return Header(algorithm, key_id)


def decode(
    token: str, key: Any, algorithm: str, *, issuer: str | None, audiences: Collection[str]
) -> dict[str, Any] | None:
    """Return the claims of a token that is valid now; None if the key did not sign it.

    If an issuer is given, `iss` must be it. `aud` must contain one of the audiences. Without audiences a token with an
    `aud` is refused, because it was issued for another service (RFC 7519 section 4.1.3).

    Raises `TokenInvalid`, which names a wrong claim only if the signature is valid.
    """
    try:
        claims: dict[str, Any] = _JWT.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=issuer,
            audience=audiences or None,
            leeway=TOKEN_LEEWAY_S,
            # The caller checks the subject: it is text in an ID token, but may be a number in an access token.
            options={"require": ["exp", "sub"], "verify_sub": False},
        )
    except jwt.InvalidSignatureError:
        return None
    except jwt.ExpiredSignatureError:
        raise TokenInvalid("The token has expired. Sign in again.") from None
    except jwt.ImmatureSignatureError:
        raise TokenInvalid("The token is not valid yet. Compare the clocks of its issuer and this service.") from None
    except jwt.PyJWTError as error:
        # PyJWT checks the signature first, so these tokens have a valid one.
        if type(error) in _CLAIM_REFUSALS:
            log.warning("token refused", extra={"fields": {"reason": type(error).__name__}})
            raise TokenInvalid(_CLAIM_REFUSALS[type(error)]) from None
        raise TokenInvalid(NOT_OURS) from None
    return claims


# The fault of a token with a valid signature → the detail.
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
        raise KeyRefused("it is a private key, which is public now")
    try:
        public = jwt.PyJWK(dict(entry), algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        raise KeyRefused("it is broken") from None
    if kind == "RSA" and public.key_size < RSA_KEY_MIN_BITS:
        raise KeyRefused(f"it has fewer than {RSA_KEY_MIN_BITS} bits")
    return Key(public, algorithm)


class _StrictJWT(jwt.PyJWT):
    """PyJWT that also refuses duplicate names and times that are not numbers, and accepts Cognito's access tokens."""

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
                # PyJWT would accept a text as a number, and raise OverflowError for 1e400.
                raise TokenInvalid(
                    "A time in the token (exp, nbf, iat) is not a number of seconds since 1970. Ask its issuer."
                )
        if "aud" not in claims and claims.get("token_use") == "access" and "client_id" in claims:
            # Cognito's access tokens name the app client in `client_id`, its ID tokens in `aud`.
            # https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
            claims["aud"] = claims["client_id"]
        return claims


_JWT = _StrictJWT()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; raise `ValueError` for duplicate names, which parsers treat differently (RFC 7519, 4)."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found
