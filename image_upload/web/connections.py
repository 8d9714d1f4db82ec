"""Limit the open connections of a process, and choose the one to close for a new one."""

import logging
import time
from typing import Protocol

from image_upload.limits import (
    CONNECTION_LOG_INTERVAL_S,
    CONNECTIONS_MAX,
    CONNECTIONS_MIN,
    DESCRIPTORS_PER_CONNECTION,
    DESCRIPTORS_RESERVED,
)

log = logging.getLogger("image_upload.connections")


class Connection(Protocol):
    """A connection, as far as `ConnectionLimit` needs it."""

    def give_way(self) -> None:
        """Close the connection at once."""


class ConnectionLimit:
    """The open connections of a process, at most `most`.

    A connection is idle while none of its requests is being handled: before its first request, between two requests,
    and after its last answer. At the limit a new connection replaces the one that has been idle longest. If none is
    idle, the new one is refused.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: set[Connection] = set()
        self._refused: set[Connection] = set()
        # In the order in which they became idle.
        self._idle: dict[Connection, None] = {}
        self._replaced = self._turned_away = 0
        self._logged_at_s = float("-inf")

    def admit(self, connection: Connection) -> bool:
        """Count a new connection, which is idle; return False if it must be refused."""
        if len(self._open) >= self.most:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                self._turned_away += 1
                self._report()
                return False
            self._replaced += 1
            self.forget(oldest)
            oldest.give_way()
            self._report()
        self._open.add(connection)
        self._idle[connection] = None
        return True

    def may_answer(self, connection: Connection) -> bool:
        """Return whether a refused connection may stay open until its refusal has arrived: only a few may."""
        if len(self._refused) >= max(CONNECTIONS_MIN, self.most // 8):
            return False
        self._refused.add(connection)
        return True

    def idle(self, connection: Connection) -> None:
        """Mark a connection as waiting for its client."""
        if connection in self._open:
            self._idle[connection] = None

    def busy(self, connection: Connection) -> None:
        """Mark a connection as handling a request."""
        self._idle.pop(connection, None)

    def forget(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self._open.discard(connection)
        self._refused.discard(connection)
        self._idle.pop(connection, None)

    def _report(self) -> None:
        """Log one line for all connections that were closed or refused since the last line."""
        now_s = time.monotonic()
        if now_s - self._logged_at_s < CONNECTION_LOG_INTERVAL_S:
            return
        self._logged_at_s = now_s
        log.warning(
            "connection limit reached",
            extra={
                "fields": {
                    "max_connections": self.most,
                    "idle_closed": self._replaced,
                    "refused": self._turned_away,
                }
            },
        )
        self._replaced = self._turned_away = 0


def default_limit() -> int:
    """Return the number of connections that this process's limit of open files (`ulimit -n`) allows."""
    descriptors = _descriptors()
    if descriptors is None:
        return CONNECTIONS_MAX
    fitting = (descriptors - DESCRIPTORS_RESERVED) // DESCRIPTORS_PER_CONNECTION
    return min(CONNECTIONS_MAX, max(CONNECTIONS_MIN, fitting))


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files to what `CONNECTIONS_MAX` needs, as far as the hard limit allows."""
    try:
        import resource  # not on Windows
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX * DESCRIPTORS_PER_CONNECTION + DESCRIPTORS_RESERVED
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _descriptors() -> int | None:
    """Return the soft limit of open files; None without one."""
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
