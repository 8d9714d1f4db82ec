"""One delivery of an event to a target: its outcome, and when the next attempt is due."""

import random
from collections.abc import Sequence
from typing import ClassVar, Final, Literal, NamedTuple, Protocol
from uuid import UUID

# Seconds from each attempt to the next, of Standard Webhooks' recommendation. Ten attempts, three days in all.
# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (Deliverability)
PAUSES_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)

_JITTER: Final = (0.9, 1.1)

# The states of a row of the outbox.
PENDING: Final = "pending"
DELIVERED: Final = "delivered"
DEAD: Final = "dead"

# `webhook`, `event_bus`, `queue`: a column of the outbox.
TargetName = Literal["webhook", "event_bus", "queue"]


class Announced(Protocol):
    """What goes to a target: an event, or a task for a worker. `body` is JSON without a secret."""

    @property
    def id(self) -> UUID: ...
    @property
    def type(self) -> str: ...
    @property
    def body(self) -> str: ...


class Delivery(NamedTuple):
    """An event for one target. `body` is what is signed and sent; `attempts` counts this one too."""

    id: str
    target: TargetName
    type: str
    body: str
    attempts: int


class Outcome(NamedTuple):
    """What a target said to one attempt. `status` is short and safe to log: a status of HTTP, or the kind of failure.

    `gone`: the target wants no events any more. `retry_after_s` is the pause that it asked for.
    """

    verdict: Literal["delivered", "failed", "gone"]
    status: str
    retry_after_s: float | None = None

    def next_pause_s(self, attempts: int) -> float | None:
        """Return seconds to the next attempt after this many; None if there is none."""
        if self.verdict == "gone" or attempts > len(PAUSES_S):
            return None
        return max(PAUSES_S[attempts - 1] * random.uniform(*_JITTER), self.retry_after_s or 0.0)


class Target(Protocol):
    """A place where events go."""

    # How many deliveries one call takes.
    batch: ClassVar[int]

    async def deliver(self, deliveries: Sequence[Delivery], timeout_s: float | None) -> list[Outcome]:
        """Attempt up to `batch` deliveries in one call; return their outcomes in order. Never fails."""

    async def aclose(self) -> None:
        """Close the connections."""
