"""The audit log: a line for each mint, deletion and refusal, with user, action and key, without secrets.

Rooms `record` events during a request. The lines are written when its outcome is known. Calls without HTTP (an
operator's functions and commands) write none.
"""

import functools
import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from starlette.types import Scope

from image_upload.settings.auth import AuthSettings
from image_upload.telemetry import ongoing

log = logging.getLogger("audit")

# mint: a permission to upload. store: stored by this service. complete, abort: the end of a multipart upload. scan: a
# task for a worker.
Action = Literal["mint", "store", "complete", "abort", "delete", "scan"]

# No identity, no permission, too many requests. A 404 is a refusal only if it conceals another user's key.
_REFUSALS = frozenset({401, 403, 429})

# Half a hash is enough to tell keys apart.
_SHOWN_CHARS = 32


class AuditEvent(NamedTuple):
    """An action on a key. `size_bytes` is None if the size is not known."""

    action: Action
    key: str
    purpose: str | None
    size_bytes: int | None


def record(action: Action, key: str, *, purpose: str | None = None, size_bytes: int | None = None) -> None:
    """Add an event to those of the current request. Without a request, do nothing."""
    under_way = ongoing.current.get()
    if under_way is not None and under_way.events is not None:
        under_way.events.append(AuditEvent(action, key, purpose, size_bytes))


class Audit:
    """Write the lines. `address_of` returns the client address of a request.

    Addresses, and user ids that are e-mail addresses, appear as HMACs, because a plain hash of them can be reversed by
    trying all. The key is derived from `JWT_SECRET`, so that all processes write the same; without it, each process
    makes a random one.
    """

    def __init__(self, settings: AuthSettings, address_of: Callable[[Scope], str]) -> None:
        secret = settings.jwt_secret
        known = secret.get_secret_value().encode() if secret else secrets.token_bytes()
        self._key = hmac.digest(known, b"image-upload audit v1", "sha256")
        self._address_of = address_of
        self._hidden = functools.lru_cache(maxsize=4096)(self._hide)

    def who(self, user_id: str) -> str:
        """Return a user id for a log line: the id itself, or the HMAC of an e-mail address."""
        return self._hidden(user_id) if "@" in user_id else user_id

    def write(self, scope: Scope, status: int, events: list[AuditEvent]) -> None:
        """Write the lines of a request: one for the events of each kind, and one if it was refused."""
        refused = status in _REFUSALS or "concealed_key" in scope
        if not events and not refused:
            return
        principal = scope.get("principal")
        shared = {
            "request_id": scope["request_id"],
            "who": None if principal is None else self.who(principal.user_id),
            "address": self._hidden(self._address_of(scope)),
            "outcome": "refused" if refused else "done" if status < 400 else "failed",
            "status": status,
        }
        alike: dict[tuple[str, str | None], list[AuditEvent]] = {}
        for audit_event in events:
            alike.setdefault((audit_event.action, audit_event.purpose), []).append(audit_event)
        for (action, purpose), group in alike.items():
            sizes = [audit_event.size_bytes for audit_event in group]
            _line(
                shared,
                action=action,
                purpose=purpose,
                keys=[hashed(audit_event.key) for audit_event in group],
                count=len(group),
                size_bytes=None if None in sizes else sum(size or 0 for size in sizes),
            )
        if refused:
            concealed_key = scope.get("concealed_key")
            _line(
                shared,
                action="refuse",
                code=scope.get("problem"),
                method=scope["method"],
                # The path itself is in the line `request` with the same id.
                route=getattr(scope.get("route"), "path_format", None),
                keys=[hashed(concealed_key)] if concealed_key is not None else None,
            )

    def _hide(self, text: str) -> str:
        return "hmac:" + hmac.digest(self._key, text.encode(), "sha256").hex()[:_SHOWN_CHARS]


def _line(shared: dict[str, Any], **facts: Any) -> None:
    fields = {name: value for name, value in (shared | facts).items() if value is not None}
    log.info("audit", extra={"fields": fields})


def hashed(key: str) -> str:
    """Return a key as the audit log shows it: `printf %s KEY | sha256sum | cut -c 1-32`."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:_SHOWN_CHARS]
