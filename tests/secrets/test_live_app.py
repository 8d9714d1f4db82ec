"""The app that takes over from another one, in this process."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from image_upload.aws import secret_source
from image_upload.live_app import LiveApp
from local.replay import Context
from tests.secrets.store import NEVER_SHOWN, SecretStore, secret_store

NOW = 1_700_000_000.0


class Clock:
    """Time that a test sets."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("image_upload.live_app.wall_clock", clock)
    return clock


@pytest.fixture
def live(clock: Clock) -> Iterator[tuple[LiveApp, SecretStore]]:
    """An app whose secrets come from a store, and this process's logging as it was before."""
    del clock
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        with secret_store() as store:
            store.secrets = {"JWT_SECRET": f"{NEVER_SHOWN}1"}
            yield LiveApp(store.environ(), secret_source.begin(store.environ(), 20.0)), store
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        asyncio.set_event_loop(None)
        loop.close()


def test_what_takes_over_closes_the_connections_of_what_was_before(
    live: tuple[LiveApp, SecretStore], clock: Clock
) -> None:
    app, store = live
    before = app.app
    connections = before.state.context.bucket.client
    store.secrets = {"JWT_SECRET": f"{NEVER_SHOWN}2"}
    app.refresh(Context("1"))
    assert app.app is before, "it is not time"
    clock.now += 301
    app.refresh(Context("1"))
    assert app.app is not before
    assert app.settings.auth.jwt_secret is not None
    assert app.settings.auth.jwt_secret.get_secret_value() == f"{NEVER_SHOWN}2"
    assert connections.is_closed
    assert not app.app.state.context.bucket.client.is_closed


def test_what_has_not_changed_stays(live: tuple[LiveApp, SecretStore], clock: Clock) -> None:
    app, store = live
    before, connections = app.app, app.app.state.context.bucket.client
    for looks in (2, 3):
        clock.now += 301
        app.refresh(Context("1"))
        assert (app.app, connections.is_closed, len(store.asked)) == (before, False, looks)


def test_a_clock_that_is_set_back_does_not_keep_old_secrets(live: tuple[LiveApp, SecretStore], clock: Clock) -> None:
    app, store = live
    clock.now -= 86_400
    app.refresh(Context("1"))
    assert len(store.asked) == 2
    app.refresh(Context("1"))
    assert len(store.asked) == 2
