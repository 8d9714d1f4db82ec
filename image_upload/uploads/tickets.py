"""Tickets: what must survive between two calls of one upload, signed, so that no database has to keep it.

A ticket says which upload it is, whose, and what was allowed. Whoever holds it can go on with that upload
if they are the principal it was made for, and can do nothing else.
"""

import base64
import hmac
import json
import time
from datetime import UTC, datetime
from typing import NamedTuple

from image_upload.errors import TicketExpired, TicketInvalid
from image_upload.limits import TICKET_EXPIRES_S, TICKET_MAX_CHARS

# In front of every ticket: logs recognise it and black it out.
PREFIX = "upl1."
# HMAC-SHA256 cut to 128 bits: RFC 2104 section 5 allows half the hash, and a ticket travels in every URL.
_MAC_BYTES = 16


class Ticket(NamedTuple):
    """One multipart upload. `size_bytes` None: not known beforehand; then no length is signed.

    `max_bytes` is the purpose's limit, which completion enforces where S3 could not. `recorded`: a row in the
    database waits for the upload's end; no other upload asks the database anything.
    """

    key: str
    upload_id: str
    user_id: str
    purpose: str
    content_type: str
    size_bytes: int | None
    part_bytes: int
    max_bytes: int
    no_overwrite: bool
    expires_at_s: int
    recorded: bool = False

    @property
    def ends_at(self) -> datetime:
        """When the permission to upload ends."""
        return datetime.fromtimestamp(self.expires_at_s, UTC)

    @property
    def part_count(self) -> int | None:
        """How many parts there will be, None if the size is not known."""
        return None if self.size_bytes is None else max(1, -(-self.size_bytes // self.part_bytes))

    def part_length(self, number: int) -> int | None:
        """Bytes of the part with this number, from 1; None if the size is not known."""
        if self.size_bytes is None:
            return None
        return min(self.part_bytes, self.size_bytes - (number - 1) * self.part_bytes)


class TicketSigner:
    """Issues tickets under one secret, and reads those under it or the previous one."""

    def __init__(self, secret: bytes, previous: bytes | None = None) -> None:
        # Keys of their own: a ticket is no token, and a token no ticket, although one secret is behind both.
        secrets = (secret,) if previous is None else (secret, previous)
        self._keys = tuple(hmac.digest(each, b"image-upload ticket v1", "sha256") for each in secrets)

    def issue(self, ticket: Ticket) -> str:
        """The ticket as text that is safe in a URL's path (base64url and dots)."""
        payload = json.dumps(ticket, ensure_ascii=False, separators=(",", ":")).encode()
        return _sealed(payload, self._keys[0])

    def read(self, text: str) -> Ticket:
        """The ticket behind a text, over or not. Raises `TicketInvalid` if it was altered or is none."""
        return Ticket(*json.loads(self._verified(text)))

    def _verified(self, text: str) -> bytes:
        """The payload of a text that this office sealed, in exactly that spelling."""
        try:
            encoded = text.removeprefix(PREFIX).partition(".")[0] if len(text) <= TICKET_MAX_CHARS else ""
            payload = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except ValueError:
            payload = b""
        if not any(hmac.compare_digest(text.encode(), _sealed(payload, key).encode()) for key in self._keys):
            raise TicketInvalid("This is not a ticket of this service. Pass the one you got, unchanged.")
        return payload


def check_time(ticket: Ticket) -> Ticket:
    """The ticket itself. Raises `TicketExpired`."""
    if time.time() >= ticket.expires_at_s:
        raise TicketExpired("The upload's time is over. Start a new one with POST /uploads.")
    return ticket


def expiry() -> int:
    """When a ticket issued now ends, in seconds since 1970."""
    return int(time.time()) + TICKET_EXPIRES_S


def _sealed(payload: bytes, key: bytes) -> str:
    mac = hmac.digest(key, payload, "sha256")[:_MAC_BYTES]
    return f"{PREFIX}{_text(payload)}.{_text(mac)}"


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
