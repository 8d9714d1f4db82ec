"""Totals: what a user has in store at a time, over all days; what is deleted or over is given back."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from image_upload.domain import keys
from image_upload.errors import QuotaExceeded
from image_upload.limits import QUOTA_GRACE_S
from image_upload.settings import SettingsError, load
from image_upload.usage.daily_quotas import DailyQuotas
from tests.conftest import Start, problem
from tests.database.databases import Place
from tests.usage.test_daily_quotas import GIVEN, S3, SECRET, SPEC, Clock, bearer, clock, ends, granted, opened, run

__all__ = ["clock"]
DAY_S = 86_400


@pytest.fixture
def long_ago(clock: Clock) -> Clock:
    """A clock of some days ago: the URLs of what is minted there have ended."""
    clock.now = time.time() - 10 * DAY_S
    return clock


def within(place: Place, work: Callable[[DailyQuotas, S3], Awaitable[Any]], **quota: str) -> Any:
    return run({"DATABASE_URL": place.url, "RATE_LIMIT_FAILS": "closed", **quota}, work)


def total(place: Place) -> tuple[int, int]:
    return place.sql("SELECT held_bytes, held_files FROM quota_usage WHERE day = 'total'")[0]


def test_a_total_holds_over_days_and_says_what_is_left(place: Place, long_ago: Clock) -> None:
    async def work(quotas: DailyQuotas, _: S3) -> QuotaExceeded:
        for size in (30, 30):
            key = await granted(quotas, long_ago, size)
            assert key is not None
            await quotas.settle(key, size)
            long_ago.now += DAY_S
        with pytest.raises(QuotaExceeded) as refused:
            await quotas.reserve(f"uploads/{keys.new_id('alice')}", 41, ends(long_ago))
        assert await granted(quotas, long_ago, 40) is not None
        assert await granted(quotas, long_ago, 100, "bob") is not None
        return refused.value

    refused = within(place, work, QUOTA_BYTES_TOTAL="100", QUOTA_FILES_TOTAL="3")
    assert refused.extras == {"left_bytes": 40, "left_files": 1, "resets_at": None}
    assert refused.headers == {}
    assert "Left of it: 40 bytes, number of files: 1. Delete files" in refused.detail


def test_a_day_and_a_total_hold_together(place: Place, long_ago: Clock) -> None:
    async def work(quotas: DailyQuotas, _: S3) -> list[bool]:
        first = [await granted(quotas, long_ago, size, in_s=2 * DAY_S) is not None for size in (50, 11, 10)]
        long_ago.now += DAY_S
        return first + [await granted(quotas, long_ago, size) is not None for size in (41, 40)]

    passed = within(place, work, QUOTA_BYTES_PER_DAY="60", QUOTA_BYTES_TOTAL="100")
    assert passed == [True, False, True, False, True]
    of_days = place.sql("SELECT held_bytes FROM quota_usage WHERE day <> 'total' ORDER BY day")
    assert of_days == [(60,), (40,)], "what the total refused is not in the day"


@pytest.mark.full
def test_two_hundred_mints_at_once_of_four_engines_fill_the_total_exactly(place: Place, clock: Clock) -> None:
    environ = {
        "DATABASE_URL": place.url,
        "RATE_LIMIT_FAILS": "closed",
        "QUOTA_BYTES_TOTAL": "843",
        "QUOTA_FILES_PER_DAY": "180",
    }

    async def mint() -> list[bool]:
        async with opened(environ, S3()) as quotas:
            return [key is not None for key in await asyncio.gather(*(granted(quotas, clock, 7) for _ in range(50)))]

    with ThreadPoolExecutor(4) as pool:
        made = [each for answer in [pool.submit(asyncio.run, mint()) for _ in range(4)] for each in answer.result()]
    assert (len(made), sum(made)) == (200, 120)
    assert total(place) == (840, 120)
    assert place.sql("SELECT count(*), sum(size) FROM quota_files") == [(120, 840)]


def test_what_is_deleted_is_given_back_once(place: Place, long_ago: Clock) -> None:
    async def work(quotas: DailyQuotas, _: S3) -> None:
        key = await granted(quotas, long_ago, 100)
        assert key is not None
        await quotas.settle(key, 90)
        assert await granted(quotas, long_ago, 11) is None
        for _again in range(3):
            await quotas.release(key)
            await quotas.release("not/ours")
        assert await granted(quotas, long_ago, 101) is None
        assert await granted(quotas, long_ago, 100) is not None

    within(place, work, QUOTA_BYTES_TOTAL="100")


def test_a_deleted_file_counts_until_its_url_cannot_store_it_again(place: Place, clock: Clock) -> None:
    async def work(quotas: DailyQuotas, s3: S3) -> None:
        clock.now = time.time()
        key = await granted(quotas, clock, 100)
        assert key is not None
        await quotas.settle(key, 100)
        await quotas.release(key)
        assert await granted(quotas, clock, 1) is None
        s3.stored[key] = 70  # stored once more, by the same URL
        clock.now += 300 + QUOTA_GRACE_S + 1
        assert await granted(quotas, clock, 31) is None
        assert s3.asked == [key]
        assert await granted(quotas, clock, 30) is not None

    within(place, work, QUOTA_BYTES_TOTAL="100")


def test_what_cannot_be_stored_again_is_given_back_at_once(place: Place, clock: Clock) -> None:
    async def work(quotas: DailyQuotas, _: S3) -> None:
        clock.now = time.time()
        key = await granted(quotas, clock, 100)
        assert key is not None
        await quotas.settle(key, 100, is_over=True)
        await quotas.release(key)
        assert await granted(quotas, clock, 100) is not None

    within(place, work, QUOTA_BYTES_TOTAL="100")


def test_plans_of_other_days_that_were_never_sent_are_given_back(place: Place, long_ago: Clock) -> None:
    async def work(quotas: DailyQuotas, s3: S3) -> None:
        sent, abandoned = await granted(quotas, long_ago, 50), await granted(quotas, long_ago, 50)
        assert sent
        assert abandoned
        s3.stored[sent] = 50
        long_ago.now += 3 * DAY_S
        assert await granted(quotas, long_ago, 51) is None
        assert sorted(s3.asked) == sorted([sent, abandoned])
        assert await granted(quotas, long_ago, 50) is not None

    within(place, work, QUOTA_BYTES_TOTAL="100", QUOTA_FILES_PER_DAY="5")


def test_the_life_time_of_a_purpose_gives_back_what_it_ends(place: Place, long_ago: Clock) -> None:
    async def work(quotas: DailyQuotas, s3: S3) -> None:
        chat, kept = f"chat/20261120/alice/{keys.new_id('alice')}", f"uploads/{keys.new_id('alice')}"
        for key in (chat, kept):
            await quotas.reserve(key, 50, ends(long_ago))
            await quotas.settle(key, 50)
        assert await granted(quotas, long_ago, 1) is None
        rows = await asyncio.to_thread(place.sql, "SELECT key FROM quota_files WHERE kept_until IS NOT NULL")
        assert rows == [(chat,)]
        await asyncio.to_thread(
            place.sql, "UPDATE quota_files SET kept_until = '2020-01-01 00:00:00' WHERE kept_until IS NOT NULL"
        )
        assert await granted(quotas, long_ago, 51) is None
        assert await granted(quotas, long_ago, 50) is not None
        assert s3.asked == []

    within(place, work, QUOTA_BYTES_TOTAL="100")


def test_a_total_that_is_set_later_counts_from_then(place: Place, long_ago: Clock) -> None:
    async def before(quotas: DailyQuotas, _: S3) -> str | None:
        return await granted(quotas, long_ago, 90)

    old = within(place, before, QUOTA_BYTES_PER_DAY="200")

    async def after(quotas: DailyQuotas, _: S3) -> None:
        assert await granted(quotas, long_ago, 100) is not None
        await quotas.settle(old, 80)
        await quotas.release(old)

    within(place, after, QUOTA_BYTES_PER_DAY="200", QUOTA_BYTES_TOTAL="100")
    assert total(place) == (100, 1)


def test_over_http_deleting_makes_room(place: Place, start: Start, web: httpx.Client) -> None:
    service = start(JWT_SECRET=SECRET, QUOTA_BYTES_TOTAL="100", DATABASE_URL=place.url)
    stored = web.post(f"{service}/api/v1/s3/upload", files={"file": ("a.jpg", b"x" * 60)}, headers=bearer()).json()
    refused = problem(
        web.post(f"{service}/uploads", json={**SPEC, "size": 41}, headers=bearer()), 429, "quota-exceeded"
    )
    assert (refused["left_bytes"], refused["left_files"], refused["resets_at"]) == (40, None, None)
    key = stored.get("key") or stored["s3_key"]
    assert web.delete(f"{service}/images/{key}", headers=bearer()).status_code == 204
    assert web.post(f"{service}/uploads", json={**SPEC, "size": 100}, headers=bearer()).status_code == 200


def test_over_http_a_deleted_upload_in_parts_makes_room_at_once(place: Place, start: Start, web: httpx.Client) -> None:
    service = start(JWT_SECRET=SECRET, QUOTA_BYTES_TOTAL="100", DATABASE_URL=place.url)

    def ask(method: str, path: str, **given: Any) -> httpx.Response:
        return web.request(method, service + path, headers=bearer(), **given)

    whole = {**SPEC, "size": 100}
    plan = ask("POST", "/uploads", json={**whole, "accepts": ["multipart"]}).json()
    etag = web.put(plan["parts"][0]["url"], content=b"x" * 100).headers["etag"]
    done = ask("POST", f"/uploads/{plan['ticket']}/complete", json={"parts": [{"partNumber": 1, "etag": etag}]})
    assert done.status_code == 200, done.text
    problem(ask("POST", "/uploads", json={**whole, "size": 1}), 429, "quota-exceeded")
    assert ask("DELETE", f"/images/{plan['objectKey']}").status_code == 204
    assert ask("POST", "/uploads", json=whole).status_code == 200


@pytest.mark.parametrize("name", ["QUOTA_BYTES_TOTAL", "QUOTA_FILES_TOTAL"])
def test_a_total_without_a_database_stops_the_start(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: without DATABASE_URL"):
        load(GIVEN | {name: "5"})
    assert load(GIVEN | {name: "5", "DATABASE_URL": "sqlite:///x", "REDIS_URL": "redis://localhost"})
