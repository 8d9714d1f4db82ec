"""Idempotency-Key: the same key and request of a user lead to the same object and row. No answer is stored for it.

https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07
docs/decisions/idempotency.md says why.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from image_upload.completion.rejection import rejection
from image_upload.database.values import Record
from image_upload.errors import (
    AlreadyExists,
    IdempotencyKeyReused,
    IdempotencyNotConfigured,
    InvalidIdempotencyKey,
)
from image_upload.limits import IDEMPOTENCY_KEY_MAX_CHARS

HEADER = "Idempotency-Key"

# As in object keys: 128 bits.
_SEED_BYTES = 16

# RFC 9651 section 3.3.3: a string of printable ASCII, with `\"` and `\\` for the two that have a meaning.
_STRING = r'"((?:[ !#-\[\]-~]|\\["\\])*)"'
# Without quotes the characters of a token (section 3.3.4) and of base64, in any order: clients send UUIDs so.
_BARE = r"[A-Za-z0-9!#$%&'*+\-.^_`|~:/=]+"


class Repeatable(NamedTuple):
    """What a request with an Idempotency-Key leads to, as often as it is sent.

    `object_seed` depends on user, route, key and payload, `row_seed` on all but the payload: 16 bytes each.
    """

    object_seed: bytes
    row_seed: bytes

    def item(self, index: int) -> "Repeatable":
        """Return the same for one file of a batch."""
        return Repeatable(*(hashlib.sha256(seed + b"%d" % index).digest()[:_SEED_BYTES] for seed in self))


def already_stored(key: str, **row: Any) -> AlreadyExists:
    """Return the answer to a retry whose file is stored. `row` has the `id` of its row, if it has one."""
    return AlreadyExists(
        "The file of this Idempotency-Key is stored already. For another file, send a new key.", objectKey=key, **row
    )


def check_repeated(record: Record, user_id: str, repeatable: Repeatable) -> str:
    """Return the object's key in the row of an earlier request, if this one is the same.

    Raises `IdempotencyKeyReused`; `AlreadyExists` and `UploadRejected` if a file has arrived.
    """
    expected = record.expected_object
    if expected.user_id != user_id or repeatable.object_seed.hex() not in expected.key:
        raise IdempotencyKeyReused(
            f"This {HEADER} belongs to another request. Send a new one with each new request, and the same fields with "
            "each retry."
        )
    if record.fault is not None:
        raise rejection(record.fault)
    if record.state == "stored":
        raise already_stored(expected.key, id=record.id)
    return expected.key


class IdempotencyKeys:
    """Read the header. The seeds are keyed with the service's secret, so that no client can compute an object's key."""

    def __init__(self, secret: bytes | None) -> None:
        # A derived key, as tickets have their own.
        self._key = hmac.digest(secret, b"image-upload idempotency v1", "sha256") if secret is not None else None

    def read(self, values: Sequence[str], user_id: str, route: str, payload: dict[str, Any]) -> Repeatable:
        """Return what the header's values lead to. `payload` has the request's fields, and none that has its default.

        Raises `InvalidIdempotencyKey`, `IdempotencyNotConfigured`.
        """
        text = _text(values)
        if self._key is None:
            raise IdempotencyNotConfigured(
                f"This service takes no {HEADER}. The operator sets JWT_SECRET; until then leave the header out."
            )
        row = [user_id, route, text]
        return Repeatable(*(_seed(self._key, each) for each in ([*row, payload], row)))


def _seed(key: bytes, fields: list[Any]) -> bytes:
    # JSON keeps lists with different members apart.
    return hmac.digest(key, json.dumps(fields, sort_keys=True).encode(), "sha256")[:_SEED_BYTES]


def _text(values: Sequence[str]) -> str:
    """Return the key, the same with quotes and without. The length is checked first."""
    value = values[0].strip(" \t") if len(values) == 1 else ""
    # Each of the most characters may have a backslash; two are quotes.
    if len(value) <= 2 * IDEMPOTENCY_KEY_MAX_CHARS + 2:
        match = re.fullmatch(_STRING, value)
        text = re.sub(r"\\(.)", r"\1", match[1]) if match else value if re.fullmatch(_BARE, value) else ""
        if 1 <= len(text) <= IDEMPOTENCY_KEY_MAX_CHARS:
            return text
    raise InvalidIdempotencyKey(
        f"The header {HEADER} must be one string in double quotes, such as "
        f'"8e03978e-40d5-43e8-bc93-6894a57f9324", with 1 to {IDEMPOTENCY_KEY_MAX_CHARS} printable ASCII characters. '
        "Send a new UUID for each upload, and the same one with each retry."
    )
