"""Pages of a listing."""

import base64
import binascii
from typing import TYPE_CHECKING, NamedTuple

from image_upload.errors import InvalidRequest
from image_upload.limits import S3_KEY_MAX_BYTES

if TYPE_CHECKING:
    from image_upload.s3.objects import Listed

# Four characters for three bytes, and what stands in front.
_TOKEN_PREFIX = "key1."
_TOKEN_MAX_CHARS = len(_TOKEN_PREFIX) + -(-S3_KEY_MAX_BYTES // 3) * 4


class FilePage(NamedTuple):
    """Some of the objects below a prefix; `next_token` leads to the next ones, None behind the last."""

    files: "list[Listed]"
    next_token: str | None


def token_of(key: str) -> str:
    """Where the next page begins, as opaque text: the last key. S3's own tokens could not be checked."""
    return _TOKEN_PREFIX + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_of(token: str, prefix: str) -> str:
    """The key behind a token of `token_of`, in exactly that spelling. Raises `InvalidRequest`."""
    encoded = token.removeprefix(_TOKEN_PREFIX)
    try:
        if len(token) > _TOKEN_MAX_CHARS:
            raise ValueError("too long")
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        key = ""
    if not key or not key.startswith(prefix) or token_of(key) != token:
        raise invalid("continuation_token", "not the next_token of a page of this prefix")
    return key


def invalid(field: str, message: str) -> InvalidRequest:
    """The problem of a field that is out of its range."""
    return InvalidRequest(
        f"Correct this field and send the request again. {field}: {message}.",
        errors=[{"field": field, "message": message}],
    )
