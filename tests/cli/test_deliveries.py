"""`deliveries`: what was not delivered is listed, and sent again when the receiver works."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from image_upload.database.database import Database
from image_upload.notify.event import Event
from image_upload.notify.notifier import notifier_of
from tests.cli.test_commands import run
from tests.database.databases import Place, empty, migrated
from tests.database.databases import settings_with as database_settings
from tests.notify.receiver import ENVIRON, SECRET, Receiver, answer, event, receiver, settings_for


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return migrated(empty("sqlite", lambda: pytest.fail("SQLite needs no server"), tmp_path))


def attempted(place: Place, hooks: Receiver, events: Sequence[Event]) -> None:
    """Record events and make their first attempt, as a service does."""

    async def whole() -> None:
        database = Database(database_settings(place.url))
        notifier = notifier_of(settings_for(hooks.url), database)
        await notifier.record(None, events)
        await notifier.retry_due(20)
        await notifier.aclose()
        await database.aclose()

    asyncio.run(whole())


def environ(place: Place, hooks: Receiver) -> dict[str, str]:
    return ENVIRON | {"DATABASE_URL": place.url, "WEBHOOK_URL": hooks.url, "WEBHOOK_SECRET": SECRET}


def test_dead_events_are_listed_and_replayed(place: Place, hooks: Receiver) -> None:
    hooks.usual = answer(410)
    events = [event(number) for number in range(3)]
    attempted(place, hooks, events)

    listed = run("deliveries", "list", **environ(place, hooks))
    assert (listed.returncode, listed.stdout.splitlines()[-1]) == (0, "3 dead."), listed.stderr
    for each in events:
        (line,) = [line for line in listed.stdout.splitlines() if str(each.id) in line]
        assert "upload.stored" in line
        assert "1 attempts, last 410" in line
    newest = run("deliveries", "list", "--most", "2", **environ(place, hooks)).stdout.splitlines()
    assert (len(newest), newest[-1]) == (3, "2 dead. There may be more: add --most.")

    again = run("deliveries", "replay", str(events[0].id), **environ(place, hooks))
    assert (again.returncode, again.stdout) == (1, "1 due again.\nSent: 1 dead.\n")
    assert 'status":"410"' in again.stderr
    hooks.usual = answer(200)
    assert run("deliveries", "replay", str(events[0].id), **environ(place, hooks)).stdout == (
        "1 due again.\nSent: 1 delivered.\n"
    )
    done = run("deliveries", "replay", "--all", **environ(place, hooks))
    assert (done.returncode, done.stdout) == (0, "2 due again.\nSent: 2 delivered.\n")
    assert run("deliveries", "list", **environ(place, hooks)).stdout == "0 dead.\n"
    assert run("deliveries", "list", "--state", "delivered", **environ(place, hooks)).stdout.endswith("3 delivered.\n")
    # Nothing that is delivered is sent again.
    sent = len(hooks.received)
    assert (
        run("deliveries", "replay", "--all", **environ(place, hooks)).stdout == "0 due again.\nSent: nothing was due.\n"
    )
    assert len(hooks.received) == sent


def test_without_an_address_nothing_is_made_due(place: Place, hooks: Receiver) -> None:
    hooks.usual = answer(410)
    attempted(place, hooks, [event()])
    done = run("deliveries", "replay", "--all", **ENVIRON, DATABASE_URL=place.url)
    assert done.returncode == 2
    assert "Set WEBHOOK_URL and WEBHOOK_SECRET, or EVENT_BUS" in done.stderr
    assert place.sql("SELECT state FROM outbox") == [("dead",)]


def test_without_a_database_there_is_nothing_to_list() -> None:
    done = run("deliveries", "list", **ENVIRON)
    assert done.returncode == 2
    assert "There is no database" in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["replay"],
        ["replay", "no-uuid"],
        ["replay", "--all", str(event().id)],
        ["list", "--most", "0"],
        ["list", "--most", "9" * 5_000],
        ["list", "--state", "lost"],
    ],
)
def test_what_is_asked_wrongly_says_so(wrong: list[str]) -> None:
    done = run("deliveries", *wrong, **ENVIRON)
    assert done.returncode == 2
    assert "error: " in done.stderr
