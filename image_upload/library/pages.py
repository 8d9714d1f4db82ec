"""Pages of a listing, and the tokens for the next page."""

import base64
import contextlib
import hmac
import json
import secrets
from typing import TYPE_CHECKING, NamedTuple

from image_upload.errors import ValidationFailed
from image_upload.limits import S3_KEY_MAX_BYTES
from image_upload.settings.auth import AuthSettings

if TYPE_CHECKING:
    from image_upload.s3.objects import Listed

# AES-256-GCM, https://csrc.nist.gov/pubs/sp/800/38/d/final: a nonce, then the ciphertext with its tag.
_NONCE_BYTES = 12
_TAG_BYTES = 16
_STEP_BYTES = 128
_FILL = b"\xff"
# Logs redact tokens with this prefix. Its four characters decode to three bytes.
_TOKEN_PREFIX = "upk1."
_TOKEN_MAX_CHARS = len(_TOKEN_PREFIX) + -(-(_NONCE_BYTES + S3_KEY_MAX_BYTES + _TAG_BYTES) // 3) * 4


class FilePage(NamedTuple):
    """A page of the objects below a prefix. `next_token` is None on the last page."""

    files: "list[Listed]"
    next_token: str | None


class PageTokens:
    """Encrypt the last key of a page, which may be another user's, for one user and one prefix.

    The encryption keys are derived from `JWT_SECRET` and `JWT_PREVIOUS_SECRET`, as those of tickets are, so all
    processes can read the tokens. Without a secret each process uses a random key.
    """

    def __init__(self, settings: AuthSettings) -> None:
        known = [each for each in (settings.jwt_secret, settings.jwt_previous_secret) if each is not None]
        masters = [each.get_secret_value().encode() for each in known] or [secrets.token_bytes()]
        self._keys = [hmac.digest(each, b"image-upload page v1", "sha256") for each in masters]

    def issue(self, key: str, user_id: str, prefix: str) -> str:
        """Return a token with the last key of a page. S3's own tokens are not used, because they cannot be checked."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 7 ms, and few pages have a next one

        plain = key.encode()
        # Padded, so that the token hides the length of the key. The padding byte never occurs in UTF-8.
        plain = plain.ljust(-(-len(plain) // _STEP_BYTES) * _STEP_BYTES, _FILL)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self._keys[0]).encrypt(nonce, plain, _bound(user_id, prefix))
        return _TOKEN_PREFIX + base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def read(self, token: str, user_id: str, prefix: str) -> str:
        """Return the key in a token of this user and prefix. Raises `ValidationFailed`."""
        from cryptography.exceptions import InvalidTag  # see `issue`
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        sealed = _decoded(token)
        for key in self._keys if len(sealed) >= _NONCE_BYTES + _TAG_BYTES else ():
            with contextlib.suppress(InvalidTag):
                opened = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(user_id, prefix))
                return opened.rstrip(_FILL).decode()
        raise invalid(
            "continuation_token", "not the next_token of a page of yours with this prefix; begin with the first page"
        )


def _decoded(token: str) -> bytes:
    """Return the bytes of a token; empty if it is not one."""
    if len(token) > _TOKEN_MAX_CHARS or not token.startswith(_TOKEN_PREFIX):
        return b""
    encoded = token.removeprefix(_TOKEN_PREFIX)
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""


def _bound(user_id: str, prefix: str) -> bytes:
    """Return the associated data of a token: the user id and the prefix."""
    return json.dumps([user_id, prefix]).encode()


def invalid(field: str, message: str) -> ValidationFailed:
    """Return the problem for a field with an invalid value."""
    return ValidationFailed(
        f"Correct this field and send the request again. {field}: {message}.",
        errors=[{"field": field, "message": message}],
    )
