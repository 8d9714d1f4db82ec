"""Quotas in the database: exact for all processes together, and kept when all of them have ended."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from image_upload.completion.context import CompletionContext
from image_upload.completion.sweep import sweep
from image_upload.errors import RateLimitUnavailable
from image_upload.limits import REDIS_REST_S
from image_upload.usage import shared_store, sql_quota_store
from image_upload.usage.daily_quotas import DailyQuotas
from local.embedded_s3 import EmbeddedS3
from tests.completion.stores import do
from tests.database.databases import POSTGRES, Place
from tests.usage.test_daily_quotas import GIVEN, NOON, S3, Clock, clock, ends, granted, key_of, opened, run

__all__ = ["clock"]
DAY_S = 86_400


def held(place: Place) -> list[tuple[Any, ...]]:
    """The bytes and files of each account."""
    return place.sql("SELECT held_bytes, held_files FROM quota_usage ORDER BY day")


def open_plans(place: Place) -> tuple[Any, ...]:
    return place.sql("SELECT count(*), coalesce(sum(size), 0) FROM quota_reservations")[0]


def mint_at_once(place: Place, clock: Clock, engines: int, each: int, **quota: str) -> list[bool]:
    """Whether there was room, for so many mints at once by one user in so many threads with an engine each."""
    environ = {"DATABASE_URL": place.url, "RATE_LIMIT_FAILS": "closed", **quota}

    async def mint() -> list[bool]:
        async with opened(environ, S3()) as quotas:
            return [key is not None for key in await asyncio.gather(*(granted(quotas, clock, 7) for _ in range(each)))]

    with ThreadPoolExecutor(engines) as pool:
        answers = [pool.submit(asyncio.run, mint()) for _ in range(engines)]
        return [granted_ for answer in answers for granted_ in answer.result()]


@pytest.mark.full
def test_two_hundred_mints_at_once_of_four_engines_fill_the_quota_exactly(place: Place, clock: Clock) -> None:
    made = mint_at_once(place, clock, 4, 50, QUOTA_BYTES_PER_DAY="843", QUOTA_FILES_PER_DAY="180")
    assert (len(made), sum(made)) == (200, 120)
    assert held(place) == [(840, 120)]
    assert open_plans(place) == (120, 840)


@pytest.mark.parametrize("unmigrated", [POSTGRES], indirect=True)
def test_transactions_that_collide_are_repeated(place: Place, clock: Clock) -> None:
    """Under `REPEATABLE READ` PostgreSQL refuses the second of two changes with 40001, as Aurora DSQL does."""
    name = place.url.rpartition("/")[2]
    place.sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    made = mint_at_once(place, clock, 4, 25, QUOTA_FILES_PER_DAY="60")
    assert sum(made) == 60
    assert held(place) == [(0, 60)]


@pytest.mark.full
def test_mints_and_ends_at_once_leave_the_sums_of_what_is_open_and_stored(place: Place, clock: Clock) -> None:
    environ = {"DATABASE_URL": place.url, "RATE_LIMIT_FAILS": "closed", "QUOTA_BYTES_PER_DAY": "1000"}

    async def use(number: int) -> int:
        stored = 0
        async with opened(environ, S3()) as quotas:

            async def one(index: int) -> int:
                key = await granted(quotas, clock, 20)
                if key is None or index % 3 == 0:
                    return 0
                size = None if index % 3 == 1 else number + index % 5
                await asyncio.gather(*(quotas.settle(key, size) for _ in range(2)))
                return size or 0

            stored += sum(await asyncio.gather(*(one(index) for index in range(60))))
        return stored

    with ThreadPoolExecutor(3) as pool:
        stored = sum(pool.map(lambda number: asyncio.run(use(number)), range(3)))
    (held_bytes, _), (_, open_bytes) = held(place)[0], open_plans(place)
    assert held_bytes == stored + open_bytes <= 1000


def test_what_is_held_survives_a_restart(place: Place, clock: Clock) -> None:
    environ = {"DATABASE_URL": place.url, "QUOTA_BYTES_PER_DAY": "100"}

    async def before(quotas: DailyQuotas, _: S3) -> tuple[str | None, str | None]:
        return await granted(quotas, clock, 60), await granted(quotas, clock, 40)

    first, second = run(environ, before)
    assert first
    assert second

    async def after(quotas: DailyQuotas, s3: S3) -> None:
        s3.stored[first] = 50
        assert await granted(quotas, clock, 1) is None
        clock.now += 1000
        assert await granted(quotas, clock, 51) is None
        assert sorted(s3.asked) == sorted([first, second]), "abandoned or stored: S3 is asked about both"
        assert await granted(quotas, clock, 50) is not None

    run(environ, after)


def test_days_that_are_no_longer_read_are_deleted_by_their_user(place: Place, clock: Clock) -> None:
    async def work(quotas: DailyQuotas, _: S3) -> None:
        for day in range(4):
            clock.now = NOON + day * 86_400
            assert await granted(quotas, clock, 1 + day) is not None

    run({"DATABASE_URL": place.url, "QUOTA_FILES_PER_DAY": "1"}, work)
    kept = [("2026-11-21",), ("2026-11-22",), ("2026-11-23",)]
    for table in ("quota_usage", "quota_reservations"):
        assert place.sql(f"SELECT day FROM {table} ORDER BY day") == kept


def test_the_database_holds_a_users_tag_and_not_its_id(place: Place, clock: Clock) -> None:
    async def work(quotas: DailyQuotas, _: S3) -> None:
        await quotas.reserve(f"uploads/{key_of('jane@example.com').rpartition('/')[2]}", 1, ends(clock))

    run({"DATABASE_URL": place.url, "QUOTA_FILES_PER_DAY": "2"}, work)
    rows = place.sql("SELECT * FROM quota_usage") + place.sql("SELECT * FROM quota_reservations")
    assert len(rows) == 2
    assert "jane" not in str(rows)


def fails(place: Place, work: Callable[[DailyQuotas, S3], Awaitable[Any]], **environ: str) -> Any:
    place.sql("DROP TABLE quota_reservations")
    return run({"DATABASE_URL": place.url, "QUOTA_FILES_PER_DAY": "2", **environ}, work)


def test_a_broken_database_opens_to_what_this_process_counts(place: Place, clock: Clock) -> None:
    async def work(quotas: DailyQuotas, _: S3) -> list[bool]:
        made = [await granted(quotas, clock, 1) for _ in range(3)]
        assert made[0] is not None
        await quotas.settle(made[0], None)
        return [key is not None for key in (*made, await granted(quotas, clock, 1))]

    assert fails(place, work) == [True, True, False, True]
    assert held(place) == [], "a mint changes both tables or none"


def test_a_broken_database_closes_where_that_is_wanted(place: Place, clock: Clock) -> None:
    async def refused(quotas: DailyQuotas, _: S3) -> None:
        with pytest.raises(RateLimitUnavailable) as closed:
            await granted(quotas, clock, 1)
        assert closed.value.headers == {"Retry-After": f"{REDIS_REST_S:.0f}"}

    fails(place, refused, RATE_LIMIT_FAILS="closed")


def test_the_database_is_asked_again_when_it_is_back(
    place: Place, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_store, "REDIS_REST_S", 0.0)

    async def work(quotas: DailyQuotas, _: S3) -> None:
        await asyncio.to_thread(place.sql, "ALTER TABLE quota_usage RENAME TO away")
        with pytest.raises(RateLimitUnavailable):
            await granted(quotas, clock, 1)
        await asyncio.to_thread(place.sql, "ALTER TABLE away RENAME TO quota_usage")
        assert await granted(quotas, clock, 1) is not None

    run({"DATABASE_URL": place.url, "QUOTA_FILES_PER_DAY": "2", "RATE_LIMIT_FAILS": "closed"}, work)


LOADED = """
import asyncio, sys
from datetime import UTC, datetime
from image_upload.app import create_app
from image_upload.settings import load
settings = load({0!r})
quotas = create_app(settings).state.context.quotas
asyncio.run(quotas.reserve("a/b", 1, datetime.now(UTC)))
print("sqlalchemy" in sys.modules)
"""


# A process that starts, to see what it imports.
@pytest.mark.full
@pytest.mark.parametrize("environ", [{"DATABASE_URL": "sqlite:///x"}, {"QUOTA_FILES_PER_DAY": "1"}])
def test_without_quotas_or_without_a_database_a_mint_imports_no_sqlalchemy(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(GIVEN | environ)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stderr, done.stdout) == ("", "False\n")


# --- days that are over ---------------------------------------------------------------------------


def test_days_that_are_over_go_in_batches_and_nothing_else_goes(
    place: Place, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_quota_store, "QUOTA_PRUNE_BATCH", 2)

    async def work(quotas: DailyQuotas, _: S3) -> list[bool]:
        for owner in ("alice", "bob", "carol", "dave", "erin"):
            assert await granted(quotas, clock, 7, owner) is not None
        clock.now += 2 * DAY_S
        assert await granted(quotas, clock, 7, "frank") is not None
        before = [await quotas.prune()]
        clock.now += DAY_S
        return before + [await quotas.prune() for _ in range(4)]

    quota = {"QUOTA_BYTES_PER_DAY": "100", "QUOTA_BYTES_TOTAL": "100"}
    environ = {"DATABASE_URL": place.url, "RATE_LIMIT_FAILS": "closed", **quota}
    assert run(environ, work) == [False, True, True, True, False]
    assert place.sql("SELECT count(*) FROM quota_usage WHERE day <> 'total'") == [(1,)]
    assert place.sql("SELECT count(*) FROM quota_usage WHERE day = 'total'") == [(6,)]
    assert open_plans(place) == (1, 7)
    assert place.sql("SELECT count(*) FROM quota_files") == [(6,)]


def test_two_sweeps_at_once_delete_all_of_it(place: Place, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_quota_store, "QUOTA_PRUNE_BATCH", 3)
    environ = {"DATABASE_URL": place.url, "QUOTA_BYTES_PER_DAY": "100"}

    async def fill(quotas: DailyQuotas, _: S3) -> None:
        for number in range(30):
            assert await granted(quotas, clock, 7, f"user-{number}") is not None

    async def prune(quotas: DailyQuotas, _: S3) -> None:
        while await quotas.prune():
            pass

    run(environ, fill)
    clock.now += 3 * DAY_S
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(run, environ, prune) for _ in range(2)]:
            done.result()
    assert held(place) == []
    assert open_plans(place) == (0, 0)


def test_the_sweep_deletes_them(s3: EmbeddedS3, place: Place) -> None:
    place.sql("INSERT INTO quota_usage (day, owner, held_bytes, held_files) VALUES ('2026-01-01', 'a', 1, 1)")

    async def work(context: CompletionContext) -> None:
        await sweep(context, 30)

    do(s3, place, work, QUOTA_FILES_PER_DAY="5")
    assert held(place) == []


@pytest.mark.parametrize("unmigrated", ["sqlite"], indirect=True)
def test_an_index_leads_to_days_that_are_over(place: Place) -> None:
    batch = "EXPLAIN QUERY PLAN SELECT day, owner FROM quota_usage WHERE day < '2026-11-20' ORDER BY day, owner"
    assert [row[-1].partition(" (")[0] for row in place.sql(batch)] == [
        "SEARCH quota_usage USING COVERING INDEX sqlite_autoindex_quota_usage_1"
    ]
    of_owners = "EXPLAIN QUERY PLAN DELETE FROM quota_reservations WHERE owner IN ('a', 'b') AND day < '2026-11-20'"
    assert [row[-1].startswith("SEARCH quota_reservations USING INDEX") for row in place.sql(of_owners)] == [True]
