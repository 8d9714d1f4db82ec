"""Sign-in at an OpenID Connect provider: Google, or another one.

https://openid.net/specs/openid-connect-core-1_0.html section 3.1, https://openid.net/specs/openid-connect-discovery-1_0.html
"""

import hmac
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from image_upload.auth import jose, oauth
from image_upload.auth.jwks import KeySet
from image_upload.auth.oauth import Client, Endpoints
from image_upload.auth.oauth_state import Transaction
from image_upload.auth.provider_client import Outgoing, failed, origin_of
from image_upload.database.identity import Identity
from image_upload.errors import IdentityRefused, ProviderFailed, TokenInvalid
from image_upload.limits import DISCOVERY_FRESH_S, EMAIL_MAX_CHARS, PERSON_NAME_MAX_CHARS, SUBJECT_MAX_CHARS

_NOT_TRUSTED = "What the identity provider says of the user cannot be trusted. Begin the sign-in again."


class _Discovered(NamedTuple):
    """A provider's metadata, until when it is fresh, and its keys."""

    endpoints: Endpoints
    userinfo: str | None
    names_itself: bool
    keys: KeySet
    fresh_until_s: float


class OpenIdProvider:
    """One issuer, and this service's registration there."""

    def __init__(self, name: str, issuer: str, client: Client) -> None:
        self._name = name
        self._issuer = issuer
        self._client = client
        self._discovered: _Discovered | None = None

    async def authorization_url(self, transaction: Transaction) -> str:
        """Return the URL to redirect the browser to. Raises `ProviderFailed`."""
        found = await self._discover()
        return oauth.authorization_url(self._client, found.endpoints, transaction, nonce=transaction.nonce)

    async def identity(self, answer: Mapping[str, str], transaction: Transaction) -> Identity:
        """Return the identity. Raises `SignInDenied`, `IdentityRefused`, `ProviderFailed`, `TokenKeysUnavailable`."""
        found = await self._discover()
        # RFC 9207: a provider that sends `iss` sends it in every answer.
        if answer.get("iss", self._issuer if not found.names_itself else None) != self._issuer:
            raise IdentityRefused(_NOT_TRUSTED)
        code = oauth.check_answer(answer, found.endpoints)
        async with Outgoing(self._issuer) as calls:
            tokens = await oauth.exchange(calls, self._client, found.endpoints, transaction, code)
            claims = await self._proven(tokens.get("id_token"), found.keys, transaction.nonce)
            if "email" not in claims and found.userinfo is not None:
                userinfo = await calls.get(found.userinfo, tokens["access_token"])
                # Core, section 5.3.2: without this check the answer may be about another user.
                if not isinstance(userinfo, dict) or userinfo.get("sub") != claims["sub"]:
                    raise IdentityRefused(_NOT_TRUSTED)
                claims = {**userinfo, **claims}
        return _identity(self._name, self._issuer, claims)

    async def _proven(self, token: object, keys: KeySet, nonce: str) -> dict[str, Any]:
        """Verify an ID token: signature, issuer, audience, nonce and time. Return its claims."""
        claims: dict[str, Any] | None = None
        if isinstance(token, str):
            try:
                header = jose.read_header(token)
                if header.algorithm in jose.PUBLIC_KEY_ALGORITHMS and (key := await keys.key(header.key_id)):
                    claims = jose.decode(
                        token, key.public, key.algorithm, issuer=self._issuer, audiences=[self._client.client_id]
                    )
            except TokenInvalid:
                claims = None
        if claims is None:
            raise IdentityRefused(_NOT_TRUSTED)
        own_id = self._client.client_id
        # With a further audience, that party could use the token here too.
        if claims["aud"] not in (own_id, [own_id]) or claims.get("azp", own_id) != own_id or "iat" not in claims:
            raise IdentityRefused(_NOT_TRUSTED)
        if not hmac.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
            raise IdentityRefused(_NOT_TRUSTED)
        if not isinstance(claims["sub"], str) or not claims["sub"] or len(claims["sub"]) > SUBJECT_MAX_CHARS:
            raise IdentityRefused(_NOT_TRUSTED)
        return claims

    async def _discover(self) -> _Discovered:
        """Return the provider's metadata, fetched once an hour. If the provider does not answer, use the last one."""
        known = self._discovered
        if known is not None and time.time() < known.fresh_until_s:
            return known
        url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            async with Outgoing(self._issuer) as calls:
                self._discovered = self._understood(url, await calls.get(url), known)
        except ProviderFailed:
            if known is None:
                raise
            return known
        return self._discovered

    def _understood(self, url: str, document: Any, known: _Discovered | None) -> _Discovered:
        needed = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
        if not isinstance(document, dict) or not all(isinstance(document.get(name), str) for name in needed):
            raise failed(url, "no discovery document")
        # Discovery, section 4.3: otherwise another issuer could impersonate this one.
        if document["issuer"] != self._issuer:
            raise failed(url, "it calls itself by another name than GOOGLE_ISSUER")
        own = origin_of(self._issuer)
        for name in needed[1:]:
            if not document[name].startswith("https://") and origin_of(document[name]) != own:
                raise failed(url, f"{name} is not a URL of https")
        methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        method = "client_secret_post" if "client_secret_post" in methods else "client_secret_basic"
        userinfo = document.get("userinfo_endpoint")
        keys_url = document["jwks_uri"]
        return _Discovered(
            Endpoints(document["authorization_endpoint"], document["token_endpoint"], method),
            userinfo if isinstance(userinfo, str) else None,
            document.get("authorization_response_iss_parameter_supported") is True,
            known.keys if known is not None and known.keys.url == keys_url else KeySet(keys_url, frozenset({own})),
            time.time() + DISCOVERY_FRESH_S,
        )


def _identity(name: str, issuer: str, claims: Mapping[str, Any]) -> Identity:
    # Some providers write true as text. Any other value, or none, is false.
    verified = claims.get("email_verified")
    verified = verified is True or verified == "true"
    return identity_of(name, issuer, claims["sub"], claims.get("email"), claims.get("name"), verified=verified)


def identity_of(name: str, issuer: str, subject: str, email: object, called: object, *, verified: bool) -> Identity:
    """Return an identity from a provider's values. Leave out an invalid address or name."""
    address = email if isinstance(email, str) and "@" in email and email.isprintable() and " " not in email else None
    if address is not None and len(address) > EMAIL_MAX_CHARS:
        address = None
    person = called.strip()[:PERSON_NAME_MAX_CHARS] if isinstance(called, str) and called.isprintable() else ""
    return Identity(name, issuer, subject, address, verified and address is not None, person or None)
