"""The queue that workers read: its interface, and the problem of one that takes nothing."""

import logging
from typing import Protocol

from image_upload.errors import QueueUnavailable

log = logging.getLogger(__name__)


class Queue(Protocol):
    """Takes messages for workers. A message may arrive twice."""

    async def send(self, message: str) -> None:
        """Put a message into the queue. Raises `QueueUnavailable`; then it may be there all the same."""

    async def age_s(self) -> float | None:
        """Return the age of the oldest message that no worker has done, 0 if there is none; None if it is not known.

        Raises `QueueUnavailable`.
        """

    async def aclose(self) -> None:
        """Close the connections."""


def unavailable(reason: str) -> QueueUnavailable:
    """Return the problem of a queue that did not take a message; log why. `reason` has no secret and no address."""
    log.warning("a task could not be queued", extra={"fields": {"reason": reason}})
    return QueueUnavailable(
        "The queue of the workers does not take the task now. Try again in a moment.", headers={"Retry-After": "5"}
    )
