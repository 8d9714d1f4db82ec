"""A sign-in on its way: what must survive between leaving for the provider and coming back, in a sealed cookie.

The cookie is what ties the way back to the browser that went (RFC 6749 section 10.12): an answer of the provider is of
no use in any other.
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
    """`state`, `nonce` and `verifier` are ours towards the provider; `challenge` is the front end's towards us.

    `redirect_uri` is where the provider sends the browser back to, exactly as it is registered there.
    """

    provider: str
    redirect_uri: str
    state: str
    nonce: str
    verifier: str
    challenge: str | None


def begin(provider: str, redirect_uri: str, challenge: str | None) -> Transaction:
    """Return a new one.

    Each of its secrets has 256 random bits; a verifier needs 43 characters (RFC 7636 section 4.1).
    """
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return Transaction(provider, redirect_uri, state, nonce, verifier, challenge)


class StateCookie:
    """Encrypts and signs transactions under a key derived from a secret: https://github.com/fernet/spec."""

    def __init__(self, secret: bytes) -> None:
        key = hmac.digest(secret, b"image-upload sign-in v1", "sha256")
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def close(self, transaction: Transaction) -> str:
        """Return the value of a cookie."""
        return self._fernet.encrypt(json.dumps(transaction).encode()).decode()

    def open(self, cookie: str | None, provider: str, state: str | None) -> Transaction:
        """Return the transaction that a provider's answer with this state belongs to. Raises `SignInExpired`."""
        if not cookie or not state or len(cookie) > SIGN_IN_TEXT_MAX_CHARS:
            raise SignInExpired(_LOST)
        try:
            sealed = self._fernet.decrypt(cookie.encode("latin-1", "replace"), ttl=SIGN_IN_EXPIRES_S)
        except InvalidToken:
            raise SignInExpired(_LOST) from None
        transaction = Transaction(*json.loads(sealed))
        # The provider too: one provider's answer must not be taken for another's (RFC 9700 section 4.4).
        if transaction.provider != provider or not hmac.compare_digest(transaction.state.encode(), state.encode()):
            raise SignInExpired(_LOST)
        return transaction
