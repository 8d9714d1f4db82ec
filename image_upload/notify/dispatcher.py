"""The notifier of services that tell: it writes the outbox, delivers at once, and retries what is due."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final

from image_upload.database.database import Database
from image_upload.errors import DatabaseUnavailable
from image_upload.limits import (
    DELIVERIES_AT_ONCE,
    DELIVERIES_WAITING_MAX,
    DELIVERY_AT_ONCE_TIMEOUT_S,
    DELIVERY_TIMEOUT_S,
)
from image_upload.notify.delivery import DEAD, DELIVERED, Announced, Delivery, Outcome, Target, TargetName
from image_upload.outbound.deadline import at_most
from image_upload.settings.notify import NotifySettings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from image_upload.notify.outbox import Outbox

log = logging.getLogger(__name__)

# Counted beside the states that end a delivery: it will be sent again.
FAILED: Final = "failed"


class Dispatcher:
    """A `Notifier` with its targets: the webhook, the event bus; or for tasks the queue of workers."""

    enabled: ClassVar[bool] = True

    def __init__(
        self, make_targets: Callable[[], dict[TargetName, Target]], database: Database, *, on_lambda: bool
    ) -> None:
        self._make_targets = make_targets
        self._on_lambda = on_lambda
        self._database = database
        self._sending: set[asyncio.Task[None]] = set()
        self._at_once = asyncio.Semaphore(DELIVERIES_AT_ONCE)

    @cached_property
    def _targets(self) -> dict[TargetName, Target]:
        return self._make_targets()

    @cached_property
    def _outbox(self) -> "Outbox | None":
        if not self._database.is_configured:
            log.warning("there is no DATABASE_URL: each event is sent once, and lost if that fails")
            return None
        from image_upload.notify.outbox import Outbox  # it brings SQLAlchemy

        return Outbox(self._database.records)

    async def record(self, connection: "AsyncConnection | None", events: Sequence[Announced]) -> None:
        """See `Notifier`."""
        if self._outbox is not None:
            await self._outbox.insert(connection, events, tuple(self._targets))

    async def send(self, events: Sequence[Announced]) -> None:
        """See `Notifier`."""
        if not events:
            return
        if self._on_lambda:
            # Lambda freezes the process after the answer, so nothing can go on behind it.
            await self._send(events, DELIVERY_AT_ONCE_TIMEOUT_S)
            return
        if len(self._sending) >= DELIVERIES_WAITING_MAX:
            self._give_up(events, "too many events wait to be sent")
            return
        task = asyncio.create_task(self._send(events, DELIVERY_TIMEOUT_S))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, events: Sequence[Announced], timeout_s: float) -> None:
        async with self._at_once:
            try:
                if self._outbox is None:
                    deliveries = [
                        Delivery(str(event.id), name, event.type, event.body, 1)
                        for event in events
                        for name in self._targets
                    ]
                else:
                    ids = [str(event.id) for event in events]
                    deliveries = await self._outbox.claim(tuple(self._targets), len(ids) * len(self._targets), ids)
                await self._deliver(deliveries, timeout_s)
            except DatabaseUnavailable as problem:
                log.warning("events could not be sent yet", extra={"fields": {"code": problem.code}})
            except Exception:  # telling must not fail what it tells about
                log.exception("events could not be sent", extra={"fields": {"events": [str(e.id) for e in events]}})

    def _give_up(self, events: Iterable[Announced], why: str) -> None:
        fields = {"events": [str(event.id) for event in events], "reason": why}
        if self._outbox is None:
            log.error("events are lost", extra={"fields": fields})
        else:
            log.warning("events are left to the sweep", extra={"fields": fields})

    async def retry_due(self, within_s: float) -> Counter[str]:
        """See `Notifier`. Delete what the outbox need not keep any longer, too."""
        tally: Counter[str] = Counter()
        if self._outbox is None or within_s <= 0:
            return tally
        try:
            async with asyncio.timeout(within_s):
                await self._outbox.prune()
                while batch := await self._outbox.claim(tuple(self._targets), DELIVERIES_AT_ONCE):
                    outcomes = await self._deliver(batch, DELIVERY_TIMEOUT_S)
                    tally.update(outcomes)
                    if DELIVERED not in outcomes:
                        break  # the target is down, so the next ones would fail too
        except TimeoutError:
            log.info("the time was over before all events were sent", extra={"fields": dict(tally)})
        return tally

    async def _deliver(self, deliveries: Sequence[Delivery], timeout_s: float) -> list[str]:
        """Attempt all deliveries at once; return the outcome of each."""
        calls = [
            self._call(self._targets[name], chunk, timeout_s)
            for name, target in self._targets.items()
            for chunk in _chunks([each for each in deliveries if each.target == name], target.batch)
        ]
        found: list[str] = []
        # All of them end before a failure of the database is raised.
        for outcomes in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(outcomes, BaseException):
                raise outcomes
            found += outcomes
        return found

    async def _call(self, target: Target, deliveries: Sequence[Delivery], timeout_s: float) -> list[str]:
        try:
            outcomes = await target.deliver(deliveries, at_most(timeout_s))
        except Exception as error:  # a bug must not stop the deliveries behind these, for ever
            log.exception("events could not be sent", extra={"fields": {"events": [each.id for each in deliveries]}})
            outcomes = [Outcome("failed", type(error).__name__)] * len(deliveries)
        return [await self._settle(*each) for each in zip(deliveries, outcomes, strict=True)]

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> str:
        """Write the outcome to the outbox and the log; return it as `DELIVERED`, `FAILED` or `DEAD`."""
        if self._outbox is None:
            state = DELIVERED if outcome.verdict == "delivered" else DEAD
        else:
            state = await self._outbox.settle(delivery, outcome)
        if state == DELIVERED:
            return DELIVERED
        fields = {
            "event": delivery.id,
            "type": delivery.type,
            "target": delivery.target,
            "attempt": delivery.attempts,
            "status": outcome.status,
        }
        if outcome.verdict == "gone":
            log.error("the receiver wants no events any more (410): unset WEBHOOK_URL", extra={"fields": fields})
        elif state == DEAD:
            log.error("an event was not delivered, and is not sent again", extra={"fields": fields})
        else:
            log.warning("an event was not delivered yet", extra={"fields": fields})
        return DEAD if state == DEAD else FAILED

    async def aclose(self) -> None:
        """See `Notifier`. Wait no longer than for a first attempt on Lambda."""
        if self._sending:
            await asyncio.wait(set(self._sending), timeout=DELIVERY_AT_ONCE_TIMEOUT_S)
        for task in self._sending:
            task.cancel()
        if "_targets" in vars(self):
            for target in self._targets.values():
                await target.aclose()


def _chunks(deliveries: Sequence[Delivery], most: int) -> Iterable[Sequence[Delivery]]:
    return (deliveries[start : start + most] for start in range(0, len(deliveries), most))


def event_targets(settings: NotifySettings) -> dict[TargetName, Target]:
    """Return where events go."""
    targets: dict[TargetName, Target] = {}
    if settings.webhook_url is not None and settings.webhook_secret is not None:
        from image_upload.notify.webhook import WebhookTarget  # httpx, 80 ms

        targets["webhook"] = WebhookTarget(settings)
    if settings.event_bus is not None:
        from image_upload.notify.event_bus import EventBusTarget  # the same

        targets["event_bus"] = EventBusTarget(settings)
    return targets
