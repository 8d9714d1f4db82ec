"""The outbox on both databases: written with the row that it tells about, claimed by one, retried, pruned, replayed."""

import asyncio
import logging
import random
import signal
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar, TypeVar

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from image_upload.database.database import Database
from image_upload.database.records import Records
from image_upload.database.values import Record
from image_upload.limits import DEAD_KEPT_DAYS, DELIVERED_KEPT_DAYS, DELIVERY_LEASE_S
from image_upload.notify import dispatcher
from image_upload.notify import outbox as module
from image_upload.notify.delivery import PAUSES_S, Delivery, Outcome, TargetName
from image_upload.notify.dispatcher import Dispatcher
from image_upload.notify.event import Event
from image_upload.notify.notifier import NoNotifier, Notifier, notifier_of
from image_upload.notify.outbox import Outbox
from tests.database.databases import Place
from tests.database.databases import settings_with as database_settings
from tests.database.test_records import expected_object
from tests.forked import ran
from tests.notify.receiver import ENVIRON, NOW, SECRET, Receiver, answer, event, settings_for

Answer = TypeVar("Answer")
WEBHOOK: tuple[TargetName, ...] = ("webhook",)


def tell(
    place: Place, hooks: Receiver, work: Callable[[Notifier, Database], Awaitable[Answer]], **environ: str
) -> Answer:
    """Work with a notifier and its database, on a loop of its own; wait for what it sends."""

    async def whole() -> Answer:
        database = Database(database_settings(place.url))
        notifier = notifier_of(settings_for(hooks.url, **environ), database)
        try:
            return await work(notifier, database)
        finally:
            await notifier.aclose()
            await database.aclose()

    return asyncio.run(whole())


def rows(place: Place) -> list[tuple[Any, ...]]:
    return place.sql("SELECT state, attempts, last_status FROM outbox ORDER BY created_at, id")


class Clock:
    """The outbox's clock, which a test moves."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def now(self, _: Any) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(module, "datetime", moved)
    return moved


def test_a_recorded_event_is_sent_at_once_and_once(place: Place, hooks: Receiver) -> None:
    events = [event(1), event(2)]

    async def work(notifier: Notifier, _: Database) -> None:
        await notifier.record(None, events)
        await asyncio.gather(notifier.send(events), notifier.send(events))

    tell(place, hooks, work)
    assert sorted(each.headers["webhook-id"] for each in hooks.received) == sorted(str(each.id) for each in events)
    assert rows(place) == [("delivered", 1, "204")] * 2


def test_an_event_that_is_recorded_again_keeps_its_row(place: Place, hooks: Receiver) -> None:
    async def work(notifier: Notifier, _: Database) -> None:
        await notifier.record(None, [event(1)])
        await notifier.send([event(1)])
        await notifier.aclose()
        await notifier.record(None, [event(1, owner="later"), event(2)])
        await notifier.record(None, [event(2)])

    tell(place, hooks, work)
    assert sorted(rows(place)) == [("delivered", 1, "204"), ("pending", 0, None)]
    assert len(hooks.received) == 1


async def _settled(records: Records, notifier: Notifier, fail: bool = False) -> Record:
    """Settle a row with its event in one transaction, which may fail behind the event."""
    row = await records.insert("post", expected_object())

    async def also(connection: AsyncConnection, settled: Record) -> None:
        assert settled.state == "stored"
        await notifier.record(connection, [Event.about(settled.expected_object.key, "upload.stored", NOW)])
        if fail:
            raise RuntimeError("killed")

    try:
        return await records.store(row, 5, '"a"', also=also)
    except RuntimeError:
        return await records.again(row)


def test_a_row_and_its_event_are_written_together_or_not_at_all(place: Place, hooks: Receiver) -> None:
    async def work(notifier: Notifier, database: Database) -> list[str]:
        return [
            (await _settled(database.records, notifier, fail=True)).state,
            (await _settled(database.records, notifier)).state,
        ]

    assert tell(place, hooks, work) == ["pending", "stored"]
    assert place.sql("SELECT count(*) FROM outbox") == [(1,)]
    assert place.sql("SELECT count(*) FROM uploads WHERE state = 'stored'") == [(1,)]


def test_of_many_that_settle_a_row_one_writes_its_event(place: Place, hooks: Receiver) -> None:
    written = 0

    async def work(notifier: Notifier, database: Database) -> None:
        row = await database.records.insert("post", expected_object())

        async def also(connection: AsyncConnection, settled: Record) -> None:
            nonlocal written
            written += 1
            await notifier.record(connection, [Event.about(settled.expected_object.key, "upload.stored", NOW)])

        await asyncio.gather(*(database.records.store(row, 5, '"a"', also=also) for _ in range(10)))
        await database.records.reject(row, "size", 5, '"a"', also=also)

    tell(place, hooks, work)
    assert written == 1
    assert rows(place) == [("pending", 0, None)]


def test_a_failed_event_is_retried_by_the_schedule_and_then_dead(
    place: Place, hooks: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    hooks.usual = answer(500)

    async def work(notifier: Notifier, _: Database) -> list[Counter[str]]:
        await notifier.record(None, [event()])
        tallies = [await notifier.retry_due(20)]
        for pause_s in PAUSES_S:
            clock.forward(pause_s * 1.1 - 1)
            assert await notifier.retry_due(20) == Counter()
            clock.forward(2)
            tallies.append(await notifier.retry_due(20))
        clock.forward(PAUSES_S[-1] * 2)
        assert await notifier.retry_due(20) == Counter()
        return tallies

    assert tell(place, hooks, work) == [Counter(failed=1)] * 9 + [Counter(dead=1)]
    assert len(hooks.received) == 10
    assert {each.headers["webhook-id"] for each in hooks.received} == {str(event().id)}
    assert rows(place) == [("dead", 10, "500")]
    assert [each.levelno for each in caplog.records if "not delivered" in each.message] == [logging.WARNING] * 9 + [
        logging.ERROR
    ]


def test_a_busy_receiver_gets_an_event_when_it_asks_for_it(place: Place, hooks: Receiver, clock: Clock) -> None:
    hooks.script = [answer(503, Retry_After="3600")]

    async def work(notifier: Notifier, _: Database) -> list[Counter[str]]:
        await notifier.record(None, [event()])
        tallies = [await notifier.retry_due(20)]
        for _half in range(2):
            clock.forward(1_801)
            tallies.append(await notifier.retry_due(20))
        return tallies

    assert tell(place, hooks, work) == [Counter(failed=1), Counter(), Counter(delivered=1)]


def test_410_makes_an_event_dead_at_once(place: Place, hooks: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    hooks.usual = answer(410)

    async def work(notifier: Notifier, _: Database) -> Counter[str]:
        await notifier.record(None, [event()])
        return await notifier.retry_due(20)

    assert tell(place, hooks, work) == Counter(dead=1)
    assert rows(place) == [("dead", 1, "410")]
    assert "unset WEBHOOK_URL" in caplog.text


def test_what_a_killed_process_had_claimed_is_sent_after_its_lease(place: Place, hooks: Receiver, clock: Clock) -> None:
    async def work(notifier: Notifier, database: Database) -> list[Counter[str]]:
        await notifier.record(None, [event()])
        assert len(await Outbox(database.records).claim(WEBHOOK, 10)) == 1  # and then it is killed
        tallies = [await notifier.retry_due(20)]
        clock.forward(DELIVERY_LEASE_S + 1)
        return [*tallies, await notifier.retry_due(20)]

    assert tell(place, hooks, work) == [Counter(), Counter(delivered=1)]
    assert rows(place) == [("delivered", 2, "204")]


def test_a_late_failure_does_not_undo_another_attempt(place: Place, clock: Clock) -> None:
    async def work(records: Records) -> None:
        outbox = Outbox(records)
        await outbox.insert(None, [event()], ["webhook"])
        (first,) = await outbox.claim(WEBHOOK, 10)
        clock.forward(DELIVERY_LEASE_S + 1)
        (second,) = await outbox.claim(WEBHOOK, 10)
        await outbox.settle(first, Outcome("gone", "410"))
        assert rows(place) == [("pending", 2, None)]
        await outbox.settle(second, Outcome("delivered", "200"))
        await outbox.settle(second, Outcome("failed", "500"))

    place.ask(work)
    assert rows(place) == [("delivered", 2, "200")]


def test_sweeps_at_once_never_send_an_event_twice(place: Place, hooks: Receiver) -> None:
    events = [event(number) for number in range(60)]

    async def work(notifier: Notifier, _: Database) -> Counter[str]:
        await notifier.record(None, events)
        tallies = await asyncio.gather(*(notifier.retry_due(20) for _ in range(4)))
        return sum(tallies, Counter()) + await notifier.retry_due(20)

    assert tell(place, hooks, work) == Counter(delivered=60)
    assert len(hooks.received) == 60


def test_where_all_fail_a_sweep_ends_after_a_batch(place: Place, hooks: Receiver) -> None:
    hooks.usual = answer(500)

    async def work(notifier: Notifier, _: Database) -> Counter[str]:
        await notifier.record(None, [event(number) for number in range(60)])
        return await notifier.retry_due(20)

    assert tell(place, hooks, work) == Counter(failed=25)


def test_a_sweep_ends_with_its_time(place: Place, hooks: Receiver) -> None:
    hooks.usual = hooks.hang

    async def work(notifier: Notifier, _: Database) -> list[Counter[str]]:
        await notifier.record(None, [event()])
        return [await notifier.retry_due(0), await notifier.retry_due(0.5)]

    assert tell(place, hooks, work) == [Counter()] * 2
    assert rows(place) == [("pending", 1, None)]


def test_what_is_over_is_deleted_by_a_sweep(place: Place, hooks: Receiver, clock: Clock) -> None:
    hooks.script = [answer(200), answer(410)]

    async def work(notifier: Notifier, _: Database) -> None:
        for number in range(2):
            await notifier.record(None, [event(number)])
            await notifier.retry_due(20)
            clock.forward(1)

    async def sweep(notifier: Notifier, _: Database) -> None:
        await notifier.retry_due(20)

    tell(place, hooks, work)
    for days, states in ((DELIVERED_KEPT_DAYS - 1, {"delivered", "dead"}), (DELIVERED_KEPT_DAYS, {"dead"}),
                         (DEAD_KEPT_DAYS, set())):  # fmt: skip
        clock.at = datetime.now(UTC) + timedelta(days=days, minutes=1)
        tell(place, hooks, sweep)
        assert {row[0] for row in rows(place)} == states


@pytest.mark.full
def test_a_dead_event_is_replayed_with_all_its_attempts(place: Place, hooks: Receiver) -> None:
    hooks.script = [answer(410)] * 3

    async def work(notifier: Notifier, database: Database) -> None:
        outbox = Outbox(database.records)
        await notifier.record(None, [event(number) for number in range(3)])
        await notifier.retry_due(20)
        assert [(row.state, row.last_status) for row in await outbox.listed("dead", 2)] == [("dead", "410")] * 2
        assert await outbox.replay([str(event(1).id)]) == [str(event(1).id)]
        assert await outbox.replay([str(event(1).id)]) == []
        assert len(await outbox.replay(None)) == 2
        assert await notifier.retry_due(20) == Counter(delivered=3)

    tell(place, hooks, work)
    assert rows(place) == [("delivered", 1, "204")] * 3


def test_rows_of_a_target_that_is_not_set_wait_for_it(place: Place, hooks: Receiver) -> None:
    async def work(notifier: Notifier, database: Database) -> Counter[str]:
        await Outbox(database.records).insert(None, [event()], ["event_bus"])
        return await notifier.retry_due(20)

    assert tell(place, hooks, work) == Counter()
    assert rows(place) == [("pending", 0, None)]


def test_an_outbox_holds_no_secret_and_no_address(place: Place, hooks: Receiver) -> None:
    async def work(notifier: Notifier, _: Database) -> None:
        await notifier.record(None, [event()])
        await notifier.retry_due(20)

    tell(place, hooks, work)
    written = str(place.sql("SELECT * FROM outbox"))
    assert SECRET.removeprefix("whsec_") not in written
    assert "127.0.0.1" not in written


def test_a_database_that_fails_fails_no_caller(unmigrated: Place, hooks: Receiver) -> None:
    async def work(notifier: Notifier, _: Database) -> None:
        await notifier.send([event()])

    tell(unmigrated, hooks, work)
    assert hooks.received == []


def test_on_lambda_sending_is_over_when_it_returns(place: Place, hooks: Receiver) -> None:
    async def work(notifier: Notifier, _: Database) -> int:
        await notifier.record(None, [event()])
        await notifier.send([event()])
        return len(hooks.received)

    assert tell(place, hooks, work, AWS_LAMBDA_FUNCTION_NAME="f") == 1


def test_on_lambda_a_receiver_that_hangs_holds_up_a_caller_for_a_bounded_time(
    place: Place, hooks: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "DELIVERY_AT_ONCE_TIMEOUT_S", 0.3)
    hooks.usual = hooks.hang

    async def work(notifier: Notifier, _: Database) -> None:
        await notifier.record(None, [event()])
        await notifier.send([event()])

    tell(place, hooks, work, AWS_LAMBDA_FUNCTION_NAME="f")
    assert rows(place) == [("pending", 1, "timeout")]


class Broken:
    """A target with a bug."""

    batch: ClassVar[int] = 2

    async def deliver(self, deliveries: Sequence[Delivery], timeout_s: float | None) -> list[Outcome]:
        raise ZeroDivisionError(deliveries, timeout_s)

    async def aclose(self) -> None:
        pass


def test_a_bug_in_one_delivery_does_not_stop_the_others(
    place: Place, hooks: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(notifier: Notifier, _: Database) -> Counter[str]:
        assert isinstance(notifier, Dispatcher)
        notifier._targets["event_bus"] = Broken()
        await notifier.record(None, [event(1), event(2)])
        return await notifier.retry_due(20)

    assert tell(place, hooks, work) == Counter(delivered=2, failed=2)
    assert place.sql("SELECT DISTINCT last_status FROM outbox WHERE target = 'event_bus'") == [("ZeroDivisionError",)]
    assert "events could not be sent" in caplog.text


def test_elsewhere_a_receiver_that_hangs_holds_up_no_caller(place: Place, hooks: Receiver) -> None:
    goes_on = threading.Event()

    def late(handler: BaseHTTPRequestHandler) -> None:
        assert goes_on.wait(20)
        answer(200)(handler)

    hooks.usual = late

    async def work(notifier: Notifier, _: Database) -> None:
        await notifier.record(None, [event()])
        await notifier.send([event()])
        await asyncio.to_thread(hooks.wait_for, 1)
        # The caller is here, and the receiver has not answered.
        goes_on.set()

    tell(place, hooks, work)
    assert rows(place) == [("delivered", 1, "200")]


def without_database(hooks: Receiver, work: Callable[[Notifier], Awaitable[Answer]]) -> Answer:
    async def whole() -> Answer:
        database = Database(database_settings(""))
        notifier = notifier_of(settings_for(hooks.url), database)
        try:
            return await work(notifier)
        finally:
            await notifier.aclose()

    return asyncio.run(whole())


@pytest.mark.parametrize("status", [200, 500])
def test_without_a_database_an_event_is_sent_once_and_the_log_says_so(
    hooks: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.usual = answer(status)

    async def work(notifier: Notifier) -> Counter[str]:
        await notifier.record(None, [event()])
        await notifier.send([event()])
        await asyncio.to_thread(hooks.wait_for, 1)
        return await notifier.retry_due(20)

    assert without_database(hooks, work) == Counter()
    assert len(hooks.received) == 1
    assert "each event is sent once" in caplog.text
    assert ("is not sent again" in caplog.text) == (status == 500)


def test_more_events_than_may_wait_are_lost_with_an_error_where_there_is_no_database(
    hooks: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatcher, "DELIVERIES_WAITING_MAX", 2)

    async def work(notifier: Notifier) -> None:
        for number in range(3):
            await notifier.send([event(number)])

    without_database(hooks, work)
    assert len(hooks.received) == 2
    (lost,) = [each for each in caplog.records if each.message == "events are lost"]
    assert lost.levelno == logging.ERROR


def test_where_nothing_is_set_nothing_is_told() -> None:
    from image_upload.settings import load

    notifier = notifier_of(load(ENVIRON).notify, Database(database_settings("")))
    assert isinstance(notifier, NoNotifier)
    assert not notifier.enabled


def test_the_schedule_is_the_specification_s() -> None:
    assert (0, *PAUSES_S) == (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
    failed = Outcome("failed", "500")
    for attempts, pause_s in enumerate(PAUSES_S, 1):
        drawn = [failed.next_pause_s(attempts) or 0.0 for _ in range(50)]
        assert pause_s * 0.9 <= min(drawn) < max(drawn) <= pause_s * 1.1
    assert failed.next_pause_s(10) is None
    assert Delivery._fields == ("id", "target", "type", "body", "attempts")


@pytest.mark.full
def test_a_process_killed_at_any_step_leaves_one_event_or_a_row_to_settle(
    place: Place, hooks: Receiver, clock: Clock
) -> None:
    """The next call of `confirm`, here a second process, and the sweep do what is left."""
    steps = ("before the event", "before the commit", "before sending", "while sending", "at the end")
    keys = {}
    environ = ENVIRON | {"DATABASE_URL": place.url, "WEBHOOK_URL": hooks.url, "WEBHOOK_SECRET": SECRET}
    for step in steps:
        row = place.ask(lambda records: records.insert("post", expected_object()))
        keys[step] = row.expected_object.key
        command = ["tests.notify.settling", row.expected_object.key]
        assert ran(*command, step, environ=environ).returncode == -signal.SIGKILL
        told = place.sql("SELECT count(*) FROM outbox WHERE payload LIKE %s", f"%{row.expected_object.key}%")
        settled = place.sql("SELECT state FROM uploads WHERE key = %s", row.expected_object.key)
        assert (settled, told) in [([("pending",)], [(0,)]), ([("stored",)], [(1,)])], step
        assert ran(*command, "never", environ=environ).returncode == 0

    async def sweep(notifier: Notifier, _: Database) -> None:
        await notifier.retry_due(20)

    clock.forward(DELIVERY_LEASE_S + 1)
    tell(place, hooks, sweep)
    assert rows(place) == [("delivered", count, "204") for *_, count, _status in rows(place)]
    ids = {key: {each.headers["webhook-id"] for each in hooks.received if key in each.body.decode()}
           for key in keys.values()}  # fmt: skip
    assert {key: len(found) for key, found in ids.items()} == dict.fromkeys(keys.values(), 1)
