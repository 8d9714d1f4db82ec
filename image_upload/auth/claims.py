"""Read the principal from the claims of a verified token."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from image_upload.auth.principals import Principal, is_user_id
from image_upload.errors import TokenInvalid

# The claims in which providers write scopes: RFC 8693 and 9068; Entra ID and Okta; Auth0.
_SCOPE_CLAIMS = ("scope", "scp", "permissions")

# The claims that say what a token is for: `token_use` of Cognito, `typ` of Keycloak. The service's own refresh
# tokens say `refresh` in `token_use`.
_USE_CLAIMS = ("token_use", "typ")
_USES = frozenset({"access", "id", "bearer", "jwt", "at+jwt"})
# Libraries that sign all tokens with one secret use these (SimpleJWT and FastAPI JWT Auth among them).
# Applications use them for other things too, so only values that exclude an access token are refused.
_KIND_CLAIMS = ("type", "token_type")
_OTHER_KINDS = ("refresh", "reset", "logout", "verif", "invit")

# User ids of the service's own sign-in are numbers of 13 to 16 digits (`records.new_id`).
_OWN_USER_ID = r"[1-9][0-9]{12,15}"
PROVIDER_PREFIX = "provider:"


_NOT_AN_ACCESS_TOKEN = "This is not an access token. Send the access token of your sign-in."


def principal_in(claims: Mapping[str, Any], scope_prefix: str, *, from_provider: bool) -> Principal:
    """Return the principal of verified claims. Only scopes that begin with the prefix count. Raises `TokenInvalid`.

    `from_provider`: a key of the identity provider verified the token. If such a subject looks like a user id of the
    service's own sign-in, it gets a prefix, so that the two users stay apart.
    """
    for name in _USE_CLAIMS:
        if name in claims and str(claims[name]).lower() not in _USES:
            raise TokenInvalid(_NOT_AN_ACCESS_TOKEN)
    for name in _KIND_CLAIMS:
        if str(claims.get(name, "")).lower().startswith(_OTHER_KINDS):
            raise TokenInvalid(_NOT_AN_ACCESS_TOKEN)
    user_id = claims["sub"]
    if isinstance(user_id, int) and not isinstance(user_id, bool):
        # RFC 7519 section 4.1.2 requires text, but back ends with numeric user ids sign the number.
        user_id = str(user_id)
    if not isinstance(user_id, str):
        raise TokenInvalid("The token's subject (sub) is neither text nor a whole number. Correct it at its issuer.")
    if not is_user_id(user_id):
        raise TokenInvalid("The token's subject is not a user id. Sign in again.")
    if from_provider and re.fullmatch(_OWN_USER_ID, user_id):
        user_id = PROVIDER_PREFIX + user_id
    granted = {scope for name in _SCOPE_CLAIMS for scope in _scopes(claims.get(name))}
    scopes = frozenset(scope.removeprefix(scope_prefix) for scope in granted if scope.startswith(scope_prefix)) - {""}
    return Principal(user_id, signed_in=True, scopes=scopes)


def _scopes(value: object) -> Iterable[str]:
    """Return the scopes of a claim: text separated by spaces, or a list of text."""
    if isinstance(value, str):
        return value.split(" ")
    return [scope for scope in value if isinstance(scope, str)] if isinstance(value, list) else ()
