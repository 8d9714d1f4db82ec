"""The state of a sign-in between the redirect to the provider and the redirect back, in an encrypted cookie.

The cookie binds the provider's answer to the browser that started the sign-in (RFC 6749 section 10.12). The answer is
useless in any other browser.
"""

import base64
import hmac
import json
import secrets
from typing import NamedTuple

from cryptography.fernet import Fernet, InvalidToken

from image_upload.errors import SignInExpired
from image_upload.limits import SIGN_IN_EXPIRES_S, SIGN_IN_TEXT_MAX_CHARS

_LOST = "This sign-in was begun too long ago, in another browser, or has ended already. Begin it again."


class Transaction(NamedTuple):
    """`state`, `nonce` and `verifier` are for the provider. `challenge` is the front end's, for this service.

    `redirect_uri` is the URL to which the provider redirects, exactly as it is registered there.
    """

    provider: str
    redirect_uri: str
    state: str
    nonce: str
    verifier: str
    challenge: str | None


def begin(provider: str, redirect_uri: str, challenge: str | None) -> Transaction:
    """Return a new transaction. Its secrets have 256 random bits each, 43 characters (RFC 7636 section 4.1)."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return Transaction(provider, redirect_uri, state, nonce, verifier, challenge)


class StateCookie:
    """Encrypt and sign transactions with a key derived from a secret: https://github.com/fernet/spec."""

    def __init__(self, secret: bytes) -> None:
        key = hmac.digest(secret, b"image-upload sign-in v1", "sha256")
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def close(self, transaction: Transaction) -> str:
        """Return the transaction as the value of a cookie."""
        return self._fernet.encrypt(json.dumps(transaction).encode()).decode()

    def open(self, cookie: str | None, provider: str, state: str | None) -> Transaction:
        """Return the transaction for a provider's answer with this state. Raises `SignInExpired`."""
        if not cookie or not state or len(cookie) > SIGN_IN_TEXT_MAX_CHARS:
            raise SignInExpired(_LOST)
        try:
            sealed = self._fernet.decrypt(cookie.encode("latin-1", "replace"), ttl=SIGN_IN_EXPIRES_S)
        except InvalidToken:
            raise SignInExpired(_LOST) from None
        transaction = Transaction(*json.loads(sealed))
        # Compare the provider too, against mix-up attacks (RFC 9700 section 4.4).
        if transaction.provider != provider or not hmac.compare_digest(transaction.state.encode(), state.encode()):
            raise SignInExpired(_LOST)
        return transaction
