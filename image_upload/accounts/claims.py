"""What a proven token says of its user."""

from collections.abc import Iterable, Mapping
from typing import Any

from image_upload.accounts.principals import ADMIN, MINT, Principal, is_user_id
from image_upload.errors import InvalidToken

# Where providers write what a token may: RFC 8693 and 9068; Entra ID and Okta; Auth0.
_SCOPE_CLAIMS = ("scope", "scp", "permissions")

# What a token is for, where its issuer says so: Cognito in `token_use`, Keycloak in `typ`. The service's own refresh
# tokens say `refresh` in `token_use`.
_USE_CLAIMS = ("token_use", "typ")
_USES = frozenset({"access", "id", "bearer", "jwt", "at+jwt"})


def principal_in(claims: Mapping[str, Any], scope_prefix: str) -> Principal:
    """The principal of proven claims. Only scopes that begin with the prefix count. Raises `InvalidToken`."""
    for name in _USE_CLAIMS:
        if name in claims and str(claims[name]).lower() not in _USES:
            raise InvalidToken("This is not an access token. Send the access token of your sign-in.")
    user_id = claims["sub"]
    if not is_user_id(user_id):
        raise InvalidToken("The token's subject is not a user id. Sign in again.")
    granted = {scope for name in _SCOPE_CLAIMS for scope in _scopes(claims.get(name))}
    scopes = frozenset(known for known in (ADMIN, MINT) if scope_prefix + known in granted)
    return Principal(user_id, signed_in=True, scopes=scopes)


def _scopes(value: object) -> Iterable[str]:
    """A claim of scopes: text with blanks between, or a list of text."""
    if isinstance(value, str):
        return value.split(" ")
    return [scope for scope in value if isinstance(scope, str)] if isinstance(value, list) else ()
