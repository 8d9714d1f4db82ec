"""The notifier's interface for completion and jobs, and its implementation where nothing is to be told."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from image_upload.database.database import Database
from image_upload.settings.notify import NotifySettings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from image_upload.notify.event import Event


class Notifier(Protocol):
    """Tells the application about events. First `record` them, then `send` the same."""

    # Whether events go anywhere. Where they do not, none need be made.
    enabled: ClassVar[bool]

    async def record(self, connection: "AsyncConnection | None", events: Sequence["Event"]) -> None:
        """Write events to the outbox, in the transaction of this connection; with None in one of their own.

        An event that is there already stays as it is. Without a database do nothing. Raises `DatabaseUnavailable` if
        the transaction is its own.
        """

    async def send(self, events: Sequence["Event"]) -> None:
        """Begin to deliver recorded events; on Lambda wait for it, at most `DELIVERY_AT_ONCE_TIMEOUT_S`. Never fails.

        Without a database this is the only attempt.
        """

    async def retry_due(self, within_s: float) -> Counter[str]:
        """Deliver what is due, for at most `within_s` seconds; return the number of deliveries by outcome.

        Any number of calls may run at once, in any number of processes. Raises `DatabaseUnavailable`.
        """

    async def aclose(self) -> None:
        """Wait for deliveries under way, then close the connections."""


class NoNotifier:
    """Tells nothing: neither WEBHOOK_URL nor EVENT_BUS is set."""

    enabled: ClassVar[bool] = False

    async def record(self, connection: "AsyncConnection | None", events: Sequence["Event"]) -> None:
        """Do nothing."""

    async def send(self, events: Sequence["Event"]) -> None:
        """Do nothing."""

    async def retry_due(self, within_s: float) -> Counter[str]:
        """Return that nothing was due."""
        return Counter()

    async def aclose(self) -> None:
        """Do nothing."""


def notifier_of(settings: NotifySettings, database: Database) -> Notifier:
    """Return the notifier that the settings ask for. It connects at its first call."""
    # A command may run without the secret of the service (`serving` in `settings.load`); then it delivers nothing.
    if settings.event_bus is None and (settings.webhook_url is None or settings.webhook_secret is None):
        return NoNotifier()
    from image_upload.notify.dispatcher import Dispatcher, event_targets  # 8 ms, and most services tell nothing

    return Dispatcher(lambda: event_targets(settings), database, on_lambda=settings.on_lambda)
