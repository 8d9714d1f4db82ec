"""How old is what waits: events in the outbox, messages of workers in Redis."""

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest
import redis as redis_client

from image_upload.jobs.redis_stream import RedisStream
from image_upload.settings.tasks import QueueAddress
from tests.conftest import Start
from tests.contract.servers import UnsupportedError
from tests.database.databases import Place
from tests.faults.watching import eventually
from tests.needs import unavailable
from tests.notify.receiver import SECRET, answer, receiver
from tests.telemetry.scraped import Samples, samples, value
from tests.usage.redis_server import Redis
from tests.usage.redis_server import redis as run_redis

SPEC = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5}


def scraped(web: httpx.Client, service: str) -> Samples:
    return samples(web.get(f"{service}/metrics").text)


def stored(web: httpx.Client, service: str) -> None:
    post = web.post(f"{service}/posts", json=SPEC).json()
    web.put(post["presignedUrl"], content=b"12345", headers=post["headers"]).raise_for_status()
    web.post(f"{service}/posts/{post['id']}/complete").raise_for_status()


def test_an_event_that_its_receiver_refuses_grows_old_in_the_outbox(
    start: Start, web: httpx.Client, place: Place
) -> None:
    with receiver() as hooks:
        service = start(DATABASE_URL=place.url, WEBHOOK_URL=hooks.url, WEBHOOK_SECRET=SECRET)
        stored(web, service)
        hooks.wait_for(1)
        eventually(
            lambda: not value(scraped(web, service), "outbox_events", target="webhook", state="pending"), "waits"
        )
        assert ("outbox_age_seconds", frozenset({("target", "webhook")})) in scraped(web, service)
        assert value(scraped(web, service), "outbox_age_seconds", target="webhook") == 0
        hooks.usual = answer(500)
        stored(web, service)
        found = scraped(web, service)
        assert value(found, "outbox_events", target="webhook", state="pending") == 1
        assert 0 < value(found, "outbox_age_seconds", target="webhook") < 60


def test_a_database_that_fails_leaves_its_gauges_out(start: Start, web: httpx.Client, place: Place) -> None:
    with receiver() as hooks:
        service = start(DATABASE_URL=place.url, WEBHOOK_URL=hooks.url, WEBHOOK_SECRET=SECRET)
        place.sql("DROP TABLE outbox")
        found = scraped(web, service)
    assert not [name for name, _ in found if name.startswith("outbox")]
    assert value(found, "starts_total") == 1


@pytest.fixture
def redis() -> Iterator[Redis]:
    try:
        with run_redis() as server:
            yield server
    except UnsupportedError as error:
        unavailable("redis", error)


@pytest.mark.needs("redis")
def test_a_message_of_redis_is_old_until_every_group_has_done_it(redis: Redis) -> None:
    stream = RedisStream(QueueAddress("redis", redis.url, stream="tasks"))
    worker = redis_client.Redis.from_url(redis.url)
    now_ms = int(time.time() * 1000)

    async def ages() -> None:
        assert await stream.age_s() == 0, "there is no stream"
        worker.xadd("tasks", {"message": "old"}, id=f"{now_ms - 90_000}-1")
        worker.xadd("tasks", {"message": "new"}, id=f"{now_ms - 30_000}-1")
        assert 90 <= (await stream.age_s() or 0) < 120, "no group has read it"
        worker.xgroup_create("tasks", "workers", "0")
        assert 90 <= (await stream.age_s() or 0) < 120
        worker.xreadgroup("workers", "one", {"tasks": ">"}, count=1)
        assert 90 <= (await stream.age_s() or 0) < 120, "it is in hand"
        worker.xack("tasks", "workers", f"{now_ms - 90_000}-1")
        assert 30 <= (await stream.age_s() or 0) < 60
        worker.xreadgroup("workers", "one", {"tasks": ">"}, count=1)
        worker.xack("tasks", "workers", f"{now_ms - 30_000}-1")
        assert await stream.age_s() == 0
        await stream.aclose()

    asyncio.run(ages())
    worker.close()
