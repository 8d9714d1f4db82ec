"""What a purpose allows a user in a day: exact for all processes together, and apart from all other quotas."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from image_upload.database.database import Database
from image_upload.errors import QuotaExceeded, RateLimitUnavailable
from image_upload.settings import load
from image_upload.usage.quotas import NoQuotas, quotas_of
from tests.conftest import Start, problem
from tests.database.databases import Place
from tests.usage.redis_server import Redis
from tests.usage.test_daily_quotas import (
    GIVEN,
    S3,
    SECRET,
    SPEC,
    Clock,
    bearer,
    clock,
    ends,
    kept_in,
    key_of,
    opened,
    patient,
)

__all__ = ["clock", "kept_in", "patient"]

LIMITED = """
[profile]
key = "profiles/{user}/{id}"
types = ["images"]
files_per_day = 5

[file]
key = "files/{user}/{id}.{ext}"
types = ["any"]

[user-file]
files_per_day = 1
"""


@pytest.fixture
def limited(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "limited.toml"
    file.write_text(LIMITED, encoding="utf-8")
    return {"PURPOSES_FILE": str(file)}


def begun(environ: dict[str, str], clock: Clock, *users: str, folder: str = "profiles") -> list[str | None]:
    """For each upload that a user begins, all at once in two processes: the key if there was room."""

    async def work() -> list[str | None]:
        async with opened(environ, S3()) as one, opened(environ, S3()) as two:

            async def begin(number: int, user: str) -> str | None:
                key = key_of(user).replace("profiles", folder)
                try:
                    await (one if number % 2 else two).reserve(key, 7, ends(clock))
                except QuotaExceeded:
                    return None
                return key

            return await asyncio.gather(*(begin(number, user) for number, user in enumerate(users)))

    return asyncio.run(work())


def test_a_user_begins_no_more_than_the_purpose_allows(
    kept_in: dict[str, str], limited: dict[str, str], clock: Clock
) -> None:
    async def work() -> list[int]:
        async with opened({**kept_in, **limited}, S3()) as quotas:

            async def begin(key: str) -> bool:
                try:
                    await quotas.reserve(key, 7, ends(clock))
                except QuotaExceeded:
                    return False
                return True

            tried = [
                await asyncio.gather(*(begin(key_of(user).replace("profiles", folder)) for _ in range(count)))
                for user, folder, count in (("alice", "profiles", 200), ("bob", "profiles", 8), ("alice", "files", 30))
            ]
            clock.now += 86_400
            tried.append([await begin(key_of("alice")) for _ in range(7)])
            return [sum(each) for each in tried]

    assert asyncio.run(work()) == [5, 5, 30, 5]


@pytest.mark.needs("redis")
def test_processes_share_what_is_begun(store: Redis, limited: dict[str, str], clock: Clock) -> None:
    environ = {"REDIS_URL": store.url, **limited}
    assert sum(key is not None for key in begun(environ, clock, *["alice"] * 40)) == 5


BEGIN = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from image_upload.completion.context import CompletionContext
from image_upload.domain import keys
from image_upload.errors import QuotaExceeded
from image_upload.settings import load

async def main():
    quotas = CompletionContext(load({0!r})).quotas
    ends_at = datetime.now(UTC) + timedelta(minutes=5)

    async def begin():
        try:
            await quotas.reserve("profiles/alice/" + keys.new_id("alice"), 7, ends_at)
        except QuotaExceeded:
            return 0
        return 1

    print("ready", flush=True)
    sys.stdin.readline()
    print(sum(await asyncio.gather(*(begin() for _ in range(8)))))

asyncio.run(main())
"""


@pytest.mark.full
@pytest.mark.parametrize("quota", [{}, {"QUOTA_BYTES_TOTAL": "100000"}])
def test_processes_at_once_begin_exactly_as_many_in_a_database(
    place: Place, limited: dict[str, str], quota: dict[str, str]
) -> None:
    environ = {**GIVEN, "DATABASE_URL": place.url, "RATE_LIMIT_FAILS": "closed", **limited, **quota}
    command = [sys.executable, "-c", BEGIN.format(environ)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for each in running:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    answers = [each.communicate("now\n", timeout=120) for each in running]
    assert [said for _, said in answers] == [""] * 3
    assert sum(int(count) for count, _ in answers) == 5
    begun = place.sql("SELECT held_files FROM quota_usage WHERE day <> 'total' AND held_bytes = 0")
    assert begun == [(5,)]
    assert place.sql("SELECT count(*) FROM quota_reservations WHERE size = 0") == [(5,)]


@pytest.mark.parametrize("quota", [{}, {"QUOTA_FILES_PER_DAY": "100"}])
def test_what_is_given_up_is_not_begun_and_what_is_stored_is(
    kept_in: dict[str, str], limited: dict[str, str], clock: Clock, quota: dict[str, str]
) -> None:
    async def work() -> list[bool]:
        async with opened({**kept_in, **limited, **quota}, S3()) as quotas:
            held = [key_of() for _ in range(5)]
            for key in held:
                await quotas.reserve(key, 7, ends(clock))
            for key in held[:2]:
                await quotas.settle(key, None)
                await quotas.settle(key, None)
            for key in held[2:]:
                await quotas.settle(key, 7)
                await quotas.settle(key, None)
            room = []
            for _ in range(3):
                try:
                    await quotas.reserve(key_of(), 7, ends(clock))
                    room.append(True)
                except QuotaExceeded:
                    room.append(False)
            return room

    assert asyncio.run(work()) == [True, True, False]


def test_what_a_users_own_quota_refuses_is_not_begun(
    kept_in: dict[str, str], limited: dict[str, str], clock: Clock
) -> None:
    async def work() -> None:
        async with opened({**kept_in, **limited, "QUOTA_BYTES_PER_DAY": "100"}, S3()) as quotas:
            for _ in range(20):
                with pytest.raises(QuotaExceeded, match="quota for today"):
                    await quotas.reserve(key_of(), 101, ends(clock))
            for _ in range(5):
                await quotas.reserve(key_of(), 1, ends(clock))
            with pytest.raises(QuotaExceeded, match="purpose profile allows 5 uploads in a day"):
                await quotas.reserve(key_of(), 1, ends(clock))

    asyncio.run(work())


def test_a_broken_store_counts_here_or_refuses(limited: dict[str, str], clock: Clock) -> None:
    async def work(fails: str) -> None:
        environ = {"REDIS_URL": "redis://127.0.0.1:1", "RATE_LIMIT_FAILS": fails, **limited}
        async with opened(environ, S3()) as quotas:
            for _ in range(5):
                await quotas.reserve(key_of(), 1, ends(clock))
            with pytest.raises(QuotaExceeded):
                await quotas.reserve(key_of(), 1, ends(clock))

    asyncio.run(work("open"))
    with pytest.raises(RateLimitUnavailable):
        asyncio.run(work("closed"))


def test_only_a_purpose_with_a_limit_is_counted(limited: dict[str, str]) -> None:
    async def nothing(_: str) -> None:
        pass

    for environ, counts in ((GIVEN, False), (GIVEN | limited, True)):
        settings = load(environ)
        quotas = quotas_of(settings.usage, Database(settings.database), nothing, settings.storage.purposes)
        assert isinstance(quotas, NoQuotas) is not counts
        assert not quotas.enabled, "S3 is not asked for this"


def test_over_http_the_refusal_says_when_to_try_again(limited: dict[str, str], start: Start, web: httpx.Client) -> None:
    service = start(JWT_SECRET=SECRET, **limited)

    def mint(path: str = "/uploads", user: str = "alice", **given: Any) -> httpx.Response:
        return web.post(service + path, headers=bearer(user), **given)

    refused = mint("/uploads/batch", json={"uploads": [SPEC] * 5 + [{**SPEC, "contentType": "text/plain"}]})
    problem(refused, 400, "batch-refused")
    assert mint("/uploads/batch", json={"uploads": [SPEC] * 3}).status_code == 200
    stored = mint("/api/v1/s3/upload", data={"purpose": "profile"}, files={"file": ("a.jpg", b"1", "image/jpeg")})
    assert stored.is_success
    assert mint("/images/presigned-url", json={"content_type": "image/jpeg"}).status_code == 200
    over = mint(json=SPEC)
    said = problem(over, 429, "quota-exceeded")
    assert 0 < int(over.headers["Retry-After"]) <= 86_400
    assert said["detail"].startswith("The purpose profile allows 5 uploads in a day, and you have begun")
    assert (said["left_files"], said["resets_at"] in said["detail"]) == (0, True)
    problem(mint("/uploads/batch", json={"uploads": [SPEC]}), 429, "quota-exceeded")
    assert mint(json={**SPEC, "purpose": "file"}).status_code == 200
    assert mint(json=SPEC, user="bob").status_code == 200
    for expected in (200, 429):
        assert mint("/files/upload-url", params={"filename": "a.pdf"}).status_code == expected
