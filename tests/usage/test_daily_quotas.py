"""Quotas: whatever is minted, however much at once, a user holds no more than the day allows."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_upload.app import create_app
from image_upload.database.database import Database
from image_upload.domain import keys
from image_upload.errors import QuotaExceeded, RateLimitUnavailable, StorageUnavailable
from image_upload.limits import QUOTA_GRACE_S, REDIS_REST_S
from image_upload.settings import SettingsError, load
from image_upload.usage import daily_quotas as module
from image_upload.usage import quota_store, redis_store
from image_upload.usage.daily_quotas import DailyQuotas
from image_upload.usage.quota_store import Allowance, MemoryQuotaStore, Usage, UsageDay
from tests.conftest import Start, problem
from tests.database.databases import POSTGRES, Place, empty, migrated
from tests.usage.redis_server import Redis

SECRET = "a-secret-of-more-than-thirty-two-bytes"
GIVEN = {"S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1", "ENVIRONMENT": "test"}
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
MIB = 1024 * 1024


class Clock:
    """A clock that only moves when it is told."""

    now = NOON

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.needs("redis")), "sqlite", POSTGRES])
def kept_in(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Settings of each store in turn."""
    if request.param == "memory":
        return {}
    if request.param == "redis":
        return {"REDIS_URL": request.getfixturevalue("store").url}
    return {"DATABASE_URL": migrated(empty(request.param, lambda: request.getfixturevalue("postgres"), tmp_path)).url}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a Redis that is late under load its time, or each process would count for itself."""
    monkeypatch.setattr(redis_store, "REDIS_TIMEOUT_S", 60.0)


class S3:
    """What S3 has, for the quotas; and how often it was asked."""

    def __init__(self, **stored: int) -> None:
        self.stored = stored
        self.asked: list[str] = []
        self.down = False

    async def look(self, key: str) -> int | None:
        self.asked.append(key)
        if self.down:
            raise StorageUnavailable("S3 does not answer.")
        return self.stored.get(key)


def key_of(user: str = "alice") -> str:
    return f"profiles/{user}/{keys.new_id(user)}"


@asynccontextmanager
async def opened(environ: dict[str, str], s3: S3) -> AsyncIterator[DailyQuotas]:
    async def confirm(key: str) -> None:
        await quotas.settle(key, await s3.look(key))

    settings = load(GIVEN | environ)
    database = Database(settings.database)
    quotas = DailyQuotas(settings.usage, database, confirm, settings.storage.purposes)
    try:
        yield quotas
    finally:
        await quotas.aclose()
        await database.aclose()


def run(environ: dict[str, str], work: Callable[[DailyQuotas, S3], Awaitable[Any]]) -> Any:
    async def inside() -> Any:
        s3 = S3()
        async with opened(environ, s3) as quotas:
            return await work(quotas, s3)

    return asyncio.run(inside())


def ends(clock: Clock, in_s: int = 300) -> datetime:
    return datetime.fromtimestamp(clock.now + in_s, UTC)


async def granted(quotas: DailyQuotas, clock: Clock, size: int, user: str = "alice", in_s: int = 300) -> str | None:
    """The key if there was room."""
    key = key_of(user)
    try:
        await quotas.reserve(key, size, ends(clock, in_s))
    except QuotaExceeded:
        return None
    return key


@pytest.mark.full
def test_many_mints_at_once_hold_no_more_than_the_quota(kept_in: dict[str, str], clock: Clock) -> None:
    # In a database each takes 10 ms of CPU; two hundred of four engines are tests/usage/test_sql_quotas.py's.
    count = 150 if "DATABASE_URL" in kept_in else 1000

    async def work(quotas: DailyQuotas, s3: S3) -> tuple[int, int]:
        many = await asyncio.gather(*(granted(quotas, clock, 7) for _ in range(count)))
        other = await asyncio.gather(*(granted(quotas, clock, 7, "bob") for _ in range(20)))
        assert s3.asked == [], "no plan's time is over"
        return sum(key is not None for key in many), sum(key is not None for key in other)

    assert run({**kept_in, "QUOTA_BYTES_PER_DAY": "700"}, work) == (100, 20)


def test_a_key_is_reserved_once_and_to_the_later_end(kept_in: dict[str, str], clock: Clock) -> None:
    """As retries with an Idempotency-Key do it, also at once."""

    async def work(quotas: DailyQuotas, s3: S3) -> str | None:
        key = key_of()
        await asyncio.gather(*(quotas.reserve(key, 7, ends(clock, 60)) for _ in range(20)))
        await quotas.reserve(key, 7, ends(clock, 600))
        clock.now += 60 + QUOTA_GRACE_S + 1
        assert await granted(quotas, clock, 1) is None
        assert s3.asked == [], "the plan with the later end may still be used"
        clock.now += 600
        after = await granted(quotas, clock, 7)
        assert s3.asked == [key]
        return after

    assert run({**kept_in, "QUOTA_BYTES_PER_DAY": "7", "QUOTA_FILES_PER_DAY": "2"}, work) is not None


@pytest.mark.needs("redis")
def test_two_processes_share_what_redis_counts(store: Redis, clock: Clock) -> None:
    async def work() -> int:
        environ = {"REDIS_URL": store.url, "QUOTA_FILES_PER_DAY": "50"}
        async with opened(environ, S3()) as one, opened(environ, S3()) as two:
            found = await asyncio.gather(*(granted(each, clock, 1) for each in (one, two) for _ in range(100)))
        return sum(key is not None for key in found)

    assert asyncio.run(work()) == 50


def test_a_refusal_says_what_is_left_and_until_when(kept_in: dict[str, str], clock: Clock) -> None:
    async def work(quotas: DailyQuotas, _: S3) -> QuotaExceeded:
        await quotas.reserve(key_of(), 60, ends(clock))
        with pytest.raises(QuotaExceeded) as refused:
            await quotas.reserve(key_of(), 41, ends(clock))
        await quotas.reserve(key_of(), 40, ends(clock))
        return refused.value

    refused = run({**kept_in, "QUOTA_BYTES_PER_DAY": "100", "QUOTA_FILES_PER_DAY": "3"}, work)
    assert refused.extras == {"left_bytes": 40, "left_files": 2, "resets_at": "2026-11-21T00:00:00Z"}
    assert refused.headers == {"Retry-After": str(12 * 3600)}
    assert "Left of it: 40 bytes, number of files: 2." in refused.detail


def test_what_is_settled_counts_as_it_is_and_once(kept_in: dict[str, str], clock: Clock) -> None:
    async def work(quotas: DailyQuotas, _: S3) -> list[bool]:
        first, second = await granted(quotas, clock, 50), await granted(quotas, clock, 50)
        assert first
        assert second
        full = await granted(quotas, clock, 1)
        for _again in range(3):
            await quotas.settle(first, 20)
        after_less = [await granted(quotas, clock, 31), await granted(quotas, clock, 30)]
        for _again in range(3):
            await quotas.settle(second, None)
        after_none = [await granted(quotas, clock, 51), await granted(quotas, clock, 50)]
        await quotas.settle("never/reserved", None)
        await quotas.settle(key_of(), 10)
        return [key is not None for key in (full, *after_less, *after_none, await granted(quotas, clock, 1))]

    assert run({**kept_in, "QUOTA_BYTES_PER_DAY": "100"}, work) == [False, False, True, False, True, False]


def test_what_was_never_sent_is_free_again_when_its_time_is_over(kept_in: dict[str, str], clock: Clock) -> None:
    async def work(quotas: DailyQuotas, s3: S3) -> None:
        sent, given_up = await granted(quotas, clock, 50), await granted(quotas, clock, 50)
        assert sent
        assert given_up
        s3.stored[sent] = 45
        clock.now += 300 + QUOTA_GRACE_S - 1
        assert await granted(quotas, clock, 1) is None
        assert s3.asked == [], "a PUT that began in time may still be under way"
        clock.now += 1
        s3.down = True
        assert await granted(quotas, clock, 1) is None, "what S3 has is not known"
        s3.down = False
        s3.asked.clear()
        assert await granted(quotas, clock, 56) is None
        assert sorted(s3.asked) == sorted([sent, given_up])
        assert await granted(quotas, clock, 55) is not None
        assert await granted(quotas, clock, 1) is None
        assert len(s3.asked) == 2, "each is asked about once"

    run({**kept_in, "QUOTA_BYTES_PER_DAY": "100"}, work)


def test_only_the_oldest_are_asked_about_and_no_more_than_enough(
    kept_in: dict[str, str], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUOTA_LOOKS_MAX", 2)

    async def work(quotas: DailyQuotas, s3: S3) -> None:
        made = [await granted(quotas, clock, 1, in_s=10 * (3 - number)) for number in range(3)]
        clock.now += 1000
        assert await granted(quotas, clock, 1) is not None
        assert s3.asked == [made[2], made[1]]

    run({**kept_in, "QUOTA_FILES_PER_DAY": "3"}, work)


def test_a_new_day_begins_at_midnight_utc_and_owes_the_old_one_nothing(kept_in: dict[str, str], clock: Clock) -> None:
    async def work(quotas: DailyQuotas, _: S3) -> None:
        clock.now = datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC).timestamp()
        old = await granted(quotas, clock, 100)
        assert old is not None
        assert await granted(quotas, clock, 1) is None
        clock.now += 1
        new = await granted(quotas, clock, 100)
        assert new is not None
        await quotas.settle(old, None)
        assert await granted(quotas, clock, 1) is None, "what is given back belongs to the day before"
        await quotas.settle(new, 99)
        assert await granted(quotas, clock, 1) is not None

    run({**kept_in, "QUOTA_BYTES_PER_DAY": "100"}, work)


@pytest.mark.parametrize(
    ("given_", "sizes", "passed"),
    [
        ({"QUOTA_FILES_PER_DAY": "2"}, [2**50, 2**50, 1], [True, True, False]),
        ({"QUOTA_BYTES_PER_DAY": str(2**53 - 1)}, [2**53 - 2, 1, 1], [True, True, False]),
        ({"QUOTA_BYTES_PER_DAY": "5", "QUOTA_FILES_PER_DAY": "9"}, [6, 5], [False, True]),
    ],
)
def test_either_quota_holds_alone_up_to_the_largest_number(
    kept_in: dict[str, str], clock: Clock, given_: dict[str, str], sizes: list[int], passed: list[bool]
) -> None:
    async def work(quotas: DailyQuotas, _: S3) -> list[bool]:
        return [await granted(quotas, clock, size) is not None for size in sizes]

    assert run(kept_in | given_, work) == passed


@pytest.mark.needs("redis")
def test_a_broken_redis_opens_to_what_this_process_counts_or_closes(store: Redis, clock: Clock) -> None:
    environ = {"REDIS_URL": store.url, "QUOTA_FILES_PER_DAY": "2"}
    store.kill()

    async def work(quotas: DailyQuotas, _: S3) -> list[bool]:
        made = [await granted(quotas, clock, 1) for _ in range(3)]
        assert made[0] is not None
        await quotas.settle(made[0], None)
        return [key is not None for key in (*made, await granted(quotas, clock, 1))]

    assert run(environ, work) == [True, True, False, True]

    async def refused(quotas: DailyQuotas, _: S3) -> None:
        with pytest.raises(RateLimitUnavailable) as closed:
            await granted(quotas, clock, 1)
        assert closed.value.headers == {"Retry-After": f"{REDIS_REST_S:.0f}"}

    run({**environ, "RATE_LIMIT_FAILS": "closed"}, refused)


@pytest.mark.needs("redis")
def test_redis_forgets_a_day_and_holds_no_user_id(store: Redis, clock: Clock) -> None:
    async def work(quotas: DailyQuotas, _: S3) -> None:
        await quotas.reserve(f"uploads/{keys.new_id('jane@example.com')}.jpg", 1, ends(clock))

    run({"REDIS_URL": store.url, "QUOTA_FILES_PER_DAY": "2"}, work)
    names = store.ask("KEYS", "*").decode().split("\r\n")[2::2]
    assert len(names) == 2
    for name in names:
        assert "jane" not in name
        assert 0 < int(store.ask("TTL", name)[1:]) <= 2 * 86_400


OPERATION = st.one_of(
    st.tuples(st.just("reserve"), st.integers(0, 9), st.integers(0, 60)),
    st.tuples(st.just("settle"), st.integers(0, 9), st.one_of(st.none(), st.integers(0, 80))),
)


@given(st.lists(OPERATION, max_size=40))
def test_the_totals_are_always_those_of_what_is_open_and_what_is_stored(operations: list[tuple[str, int, Any]]) -> None:
    async def work() -> None:
        store, account, allowance = MemoryQuotaStore(), UsageDay("2026-11-20", "o"), Allowance(200, 6)
        open_: dict[str, int] = {}
        stored: list[int] = []
        for number, (kind, name, size) in enumerate(operations):
            if kind == "reserve":
                key = f"{name}-{number}"
                held = Usage(sum(open_.values()) + sum(stored), len(open_) + len(stored))
                fits = held.held_bytes + size <= 200 and held.held_files + 1 <= 6
                assert await store.reserve(account, key, size, 0, allowance) == (True if fits else held)
                open_ |= {key: size} if fits else {}
            elif open_:
                key = sorted(open_)[name % len(open_)]
                await store.settle(account, key, size)
                del open_[key]
                stored += [] if size is None else [size]

    asyncio.run(work())


# --- over HTTP ------------------------------------------------------------------------------------

SPEC = {"filename": "a.jpg", "contentType": "image/jpeg", "size": 40}


def bearer(user_id: str = "alice") -> dict[str, str]:
    return {"Authorization": "Bearer " + jwt.encode({"sub": user_id, "exp": time.time() + 600}, SECRET, "HS256")}


Post = Callable[..., httpx.Response]


@pytest.fixture
def post(start: Start, web: httpx.Client) -> Post:
    service = start(JWT_SECRET=SECRET, QUOTA_BYTES_PER_DAY="100")

    def ask(path: str = "/uploads", method: str = "POST", user: str = "alice", **given_: Any) -> httpx.Response:
        return web.request(method, service + path, headers=bearer(user), **given_)

    return ask


def fills_up(post: Post, size: int, user: str = "alice") -> None:
    """Whether exactly so much is left."""
    refused = problem(post(json={**SPEC, "size": size + 1}, user=user), 429, "quota-exceeded")
    assert refused["left_bytes"] == size
    assert post(json={**SPEC, "size": size}, user=user).status_code == 200


def test_every_way_to_mint_holds_quota(post: Post) -> None:
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/uploads", {"json": SPEC}),
        ("POST", "/uploads", {"json": {**SPEC, "accepts": ["post"]}}),
        ("POST", "/uploads", {"json": {**SPEC, "accepts": ["proxy"]}}),
        ("POST", "/uploads", {"json": {**SPEC, "accepts": ["multipart"]}}),
        ("POST", "/uploads/batch", {"json": {"uploads": [SPEC]}}),
        ("POST", "/images/presigned-url", {"json": {"content_type": "image/jpeg", "size": 40}}),
        ("POST", "/s3/multipart", {"json": {"filename": "a.jpg", "type": "image/jpeg", "metadata": {"size": 40}}}),
        ("GET", "/s3/params", {"params": {"filename": "a.jpg", "type": "image/jpeg", "metadata[size]": "40"}}),
        ("POST", "/api/v1/s3/upload", {"files": {"file": ("a.jpg", b"x" * 40)}}),
    ]
    for number, (method, path, given_) in enumerate(ways):
        statuses = [post(path, method, user=f"user-{number}", **given_).status_code for _ in range(3)]
        assert statuses == [200, 200, 429], path


def test_without_a_size_the_largest_is_reserved(post: Post) -> None:
    problem(post("/images/presigned-url", json={"content_type": "image/jpeg"}), 429, "quota-exceeded")
    problem(post("/files/upload-url", params={"filename": "a.txt"}), 429, "quota-exceeded")
    assert post(json={**SPEC, "size": 100}).status_code == 200


def test_a_batch_that_does_not_fit_or_is_refused_holds_nothing(post: Post) -> None:
    problem(post("/uploads/batch", json={"uploads": [SPEC, SPEC, SPEC]}), 429, "quota-exceeded")
    wrong = {**SPEC, "contentType": "text/html"}
    problem(post("/uploads/batch", json={"uploads": [SPEC, wrong]}), 400, "batch-refused")
    fills_up(post, 100)


def test_an_upload_given_up_holds_nothing_and_a_finished_one_what_it_is(post: Post, web: httpx.Client) -> None:
    for path in ("/uploads", "/s3/multipart"):
        plan = post(json={**SPEC, "accepts": ["multipart"], "size": 100}).json()
        assert post(f"{path}/{plan['ticket']}", "DELETE").status_code in (200, 204)
    begun = post("/s3/multipart", json={"filename": "a.jpg", "type": "image/jpeg", "metadata": {"size": 40}}).json()
    url = post(f"/s3/multipart/{begun['uploadId']}/1", "GET").json()["url"]
    etag = web.put(url, content=b"x" * 40).headers["etag"]
    parts = {"parts": [{"PartNumber": 1, "ETag": etag}]}
    for _ in range(2):
        assert post(f"/s3/multipart/{begun['uploadId']}/complete", json=parts).status_code == 200
    assert post(f"/uploads/{begun['uploadId']}", "DELETE").status_code == 404
    fills_up(post, 60)


def test_a_stored_form_counts_as_long_as_it_is_and_a_refused_one_not_at_all(post: Post) -> None:
    form = {"data": {"folder": "a"}, "files": {"file": ("a.bin", b"x" * 30)}}
    assert post("/api/v1/s3/upload", **form).status_code == 200
    problem(post("/api/v1/s3/upload", files={"file": ("a.bin", b"")}), 400, "empty-file")
    fills_up(post, 70)


def test_a_record_settles_what_its_upload_really_was(place: Place, start: Start, web: httpx.Client) -> None:
    service = start(JWT_SECRET=SECRET, QUOTA_BYTES_PER_DAY=str(5 * 1024 * MIB), DATABASE_URL=place.url)

    def upload_url() -> httpx.Response:
        return web.post(f"{service}/files/upload-url", params={"filename": "a.txt"}, headers=bearer())

    plan = upload_url().json()
    problem(upload_url(), 429, "quota-exceeded")
    web.put(plan["presigned_url"], content=b"five!", headers=plan["headers"])
    assert web.post(f"{service}/files/{plan['file_id']}/complete", headers=bearer()).status_code == 200
    assert problem(upload_url(), 429, "quota-exceeded")["left_bytes"] == 5 * 1024 * MIB - 5


def test_strangers_share_one_quota_and_no_user_has_anothers(post: Post, start: Start, web: httpx.Client) -> None:
    fills_up(post, 100, "bob")
    fills_up(post, 100, "carol")
    service = start(QUOTA_FILES_PER_DAY="1")
    assert [web.post(f"{service}/uploads", json=SPEC).status_code for _ in range(2)] == [200, 429]


def test_without_quotas_there_are_none() -> None:
    app = create_app(load(GIVEN))
    assert not app.state.context.quotas.enabled


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", str(2**53)])
@pytest.mark.parametrize("name", ["QUOTA_BYTES_PER_DAY", "QUOTA_FILES_PER_DAY"])
def test_a_quota_that_is_none_stops_the_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load(GIVEN | {name: value})


def test_an_unfinished_plan_of_http_is_looked_after(start: Start, web: httpx.Client, clock: Clock) -> None:
    # A day to come, in which the time of every plan is over.
    clock.now = time.time() + 3 * 86_400
    service = start(JWT_SECRET=SECRET, QUOTA_FILES_PER_DAY="2")

    def mint() -> httpx.Response:
        return web.post(f"{service}/uploads", json=SPEC, headers=bearer())

    def send(plan: dict[str, Any]) -> None:
        assert web.put(plan["presignedUrl"], content=b"x" * 40, headers=plan["headers"]).status_code == 200

    send(mint().json())
    assert mint().status_code == 200
    another = mint()
    assert another.status_code == 200, "the second one was never sent"
    send(another.json())
    problem(mint(), 429, "quota-exceeded")


def test_open_reservations_are_remembered_up_to_a_bound_and_never_given_back_by_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quota_store, "QUOTA_OPEN_MAX", 10)
    allowance, ann = Allowance(1_000, None), UsageDay("2026-11-24", "ann")

    async def run() -> None:
        store = MemoryQuotaStore()
        for number in range(20):
            assert await store.reserve(ann, f"key-{number}", 10, 100 + number, allowance) is True
        assert await store.ended(ann, 1_000, 100) == [f"key-{number}" for number in range(10, 20)]
        # What was forgotten still counts; its end cannot be told any more.
        await store.settle(ann, "key-0", None)
        assert await store.reserve(ann, "too much", 801, 1, allowance) == Usage(200, 20)
        await store.settle(ann, "key-19", None)
        assert await store.reserve(ann, "fits", 810, 1, allowance) is True

    asyncio.run(run())
