"""Tickets: the signed state of a multipart upload, which the client keeps, so that no database is needed.

A ticket names the upload, its user, and what was allowed. Only that principal can continue the upload with it, and it
allows nothing else.
"""

import base64
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

from image_upload.domain import keys
from image_upload.errors import TicketExpired, TicketInvalid
from image_upload.limits import TICKET_EXPIRES_S, TICKET_MAX_CHARS

# The prefix of every ticket. Logs redact texts that begin with it.
PREFIX = "upl1."
# What a ticket is for; a key is derived for each.
MULTIPART: Final = b"image-upload ticket v1"
RESUMABLE: Final = b"image-upload resumable v1"
# HMAC-SHA256, cut to 128 bits to keep URLs short: RFC 2104 section 5 allows half the hash.
_MAC_BYTES = 16


class Ticket(NamedTuple):
    """One multipart upload. `size_bytes` is None if it was not known; then no length is signed.

    `max_bytes` is the purpose's limit, which completion enforces if S3 did not. `recorded`: the upload has a row in the
    database. For all others the database is not asked. `verified`: the file arrives under `incoming/`, and has its key
    once it is verified.
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
    verified: bool = False

    @property
    def upload_key(self) -> str:
        """The key under which S3 takes the parts."""
        return keys.INCOMING + self.key if self.verified else self.key

    @property
    def ends_at(self) -> datetime:
        """When the permission to upload ends."""
        return datetime.fromtimestamp(self.expires_at_s, UTC)

    @property
    def part_count(self) -> int | None:
        """The number of parts; None if the size is not known."""
        return None if self.size_bytes is None else max(1, -(-self.size_bytes // self.part_bytes))

    def part_length(self, number: int) -> int | None:
        """Return the length in bytes of the part with this number, from 1; None if the size is not known."""
        if self.size_bytes is None:
            return None
        return min(self.part_bytes, self.size_bytes - (number - 1) * self.part_bytes)


class ResumableTicket(NamedTuple):
    """One resumable upload. Without an `upload_id` its object is written by one request.

    `kind`: a partial upload becomes a part of a final one, and has no purpose. `note` is what its protocol wants back;
    None: it is too long for a ticket, and in S3.
    """

    upload: Ticket
    kind: Literal["whole", "partial", "final"] = "whole"
    note: str | None = ""


class TicketSigner:
    """Sign tickets with one secret, and verify them with it or the previous one. `purpose` keeps two kinds apart."""

    def __init__(self, secret: bytes, previous: bytes | None = None, *, purpose: bytes = MULTIPART) -> None:
        # Derived keys, so that a ticket is never valid as a token, nor a token as a ticket.
        secrets = (secret,) if previous is None else (secret, previous)
        self._keys = tuple(hmac.digest(each, purpose, "sha256") for each in secrets)

    def issue(self, ticket: Ticket | ResumableTicket) -> str:
        """Return the ticket as a text that is safe in a URL's path (base64url and dots)."""
        payload = json.dumps(ticket, ensure_ascii=False, separators=(",", ":")).encode()
        return _sealed(payload, self._keys[0])

    def read(self, text: str) -> Ticket:
        """Return the ticket of a text, expired or not. Raises `TicketInvalid` if it was altered or is not a ticket."""
        return Ticket(*self._fields(text))

    def read_resumable(self, text: str) -> ResumableTicket:
        """Do the same for the ticket of a resumable upload."""
        upload, *others = self._fields(text)
        return ResumableTicket(Ticket(*upload), *others)

    def _fields(self, text: str) -> list[Any]:
        fields: list[Any] = json.loads(self._verified(text))
        return fields

    def _verified(self, text: str) -> bytes:
        """Return the payload of a text that was signed here, in exactly the same encoding."""
        try:
            encoded = text.removeprefix(PREFIX).partition(".")[0] if len(text) <= TICKET_MAX_CHARS else ""
            payload = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except ValueError:
            payload = b""
        if not any(hmac.compare_digest(text.encode(), _sealed(payload, key).encode()) for key in self._keys):
            raise TicketInvalid("This is not a ticket of this service. Pass the one you got, unchanged.")
        return payload


def check_time(ticket: Ticket) -> Ticket:
    """Return the ticket, if it has not expired. Raises `TicketExpired`."""
    if time.time() >= ticket.expires_at_s:
        raise TicketExpired("The upload's time is over. Start a new one with POST /uploads.")
    return ticket


def expiry() -> int:
    """Return the end of a ticket that is issued now, in seconds since 1970."""
    return int(time.time()) + TICKET_EXPIRES_S


def _sealed(payload: bytes, key: bytes) -> str:
    mac = hmac.digest(key, payload, "sha256")[:_MAC_BYTES]
    return f"{PREFIX}{_text(payload)}.{_text(mac)}"


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
