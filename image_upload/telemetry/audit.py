"""The audit log: who did what to which key, a line for each mint, deletion and refusal, without secrets.

Rooms `note` what they do while a request lasts; the lines are written when its outcome is known. What calls the
package without HTTP (the operator's own functions and commands) leaves none.
"""

import functools
import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple

from starlette.types import Scope

from image_upload.settings import Settings

log = logging.getLogger("audit")

# mint: a permission to upload. store: stored through us. complete, abort: the end of an upload in parts.
Action = Literal["mint", "store", "complete", "abort", "delete"]

# Who is not known, is known but may not, asks too much. 404 only where it hides something.
_REFUSALS = frozenset({401, 403, 429})

# Half a hash: nobody confuses two keys.
_SHOWN_CHARS = 32


class AuditEvent(NamedTuple):
    """Something that was done to a key. `size_bytes` None: not known."""

    action: Action
    key: str
    purpose: str | None
    size_bytes: int | None


# Those of the request that is being served; None outside of one.
audit_events: ContextVar[list[AuditEvent] | None] = ContextVar("audit_events", default=None)


def note(action: Action, key: str, *, purpose: str | None = None, size_bytes: int | None = None) -> None:
    """Remember an event of the request that is being served."""
    noted = audit_events.get()
    if noted is not None:
        noted.append(AuditEvent(action, key, purpose, size_bytes))


class Audit:
    """Writes the lines. `address_of` says where a request comes from.

    Addresses, and user ids that are e-mail addresses, appear as HMACs: with a plain hash anybody could try all. The key
    is derived from `JWT_SECRET`, so that all processes write the same; without one it is the process's own.
    """

    def __init__(self, settings: Settings, address_of: Callable[[Scope], str]) -> None:
        secret = settings.jwt_secret
        known = secret.get_secret_value().encode() if secret else secrets.token_bytes()
        self._key = hmac.digest(known, b"image-upload audit v1", "sha256")
        self._address_of = address_of
        self._hidden = functools.lru_cache(maxsize=4096)(self._hide)

    def who(self, user_id: str) -> str:
        """A user id as logs may show it."""
        return self._hidden(user_id) if "@" in user_id else user_id

    def write(self, scope: Scope, status: int, noted: list[AuditEvent]) -> None:
        """The lines of a request: one for the events of each kind, and one if it was refused."""
        refused = status in _REFUSALS or "hides" in scope
        if not noted and not refused:
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
        for audit_event in noted:
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
            hides = scope.get("hides")
            _line(
                shared,
                action="refuse",
                code=scope.get("problem"),
                method=scope["method"],
                # What was asked for stands in the line `request` of the same id.
                route=getattr(scope.get("route"), "path_format", None),
                keys=[hashed(hides)] if hides is not None else None,
            )

    def _hide(self, text: str) -> str:
        return "hmac:" + hmac.digest(self._key, text.encode(), "sha256").hex()[:_SHOWN_CHARS]


def _line(shared: dict[str, Any], **facts: Any) -> None:
    fields = {name: value for name, value in (shared | facts).items() if value is not None}
    log.info("audit", extra={"fields": fields})


def hashed(key: str) -> str:
    """A key as the audit log names it: `printf %s KEY | sha256sum | cut -c 1-32`."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:_SHOWN_CHARS]
