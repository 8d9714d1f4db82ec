"""The limits over HTTP, in memory and in a real Redis."""

import socket
import time
from collections.abc import Callable

import httpx
import jwt
import pytest
from starlette.routing import Route

from image_upload.app import create_app
from image_upload.limits import REDIS_REST_S, REDIS_TIMEOUT_S
from image_upload.settings import SettingsError, load
from image_upload.usage.admission import EXEMPT
from image_upload.web.routing import every_route as expanded
from tests.conftest import Start, problem
from tests.usage.redis_server import PASSWORD, Redis

SECRET = "a-secret-of-more-than-thirty-two-bytes"
SPEC = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5}
GIVEN = {"S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1"}


def bearer(sub: str) -> dict[str, str]:
    return {"Authorization": "Bearer " + jwt.encode({"sub": sub, "exp": time.time() + 60}, SECRET, "HS256")}


def minter(web: httpx.Client, service: str, sub: str | None = None) -> Callable[[], httpx.Response]:
    return lambda: web.post(f"{service}/uploads", json=SPEC, headers=bearer(sub) if sub else {})


def test_above_the_limit_of_an_address_the_answer_is_429_and_says_how_long(start: Start, web: httpx.Client) -> None:
    mint = minter(web, start(RATE_LIMIT_PER_ADDRESS="3/hour"))
    assert [mint().status_code for _ in range(3)] == [200] * 3
    refused = mint()
    document = problem(refused, 429, "too-many-requests")
    assert document["policy"] == "address"
    wait_s = int(refused.headers["retry-after"])
    assert 1 <= wait_s <= 2 * 3_600
    assert refused.headers["ratelimit-policy"] == '"address";q=3;w=3600'
    assert refused.headers["ratelimit"] == f'"address";r=0;t={wait_s}'


def test_each_user_has_a_limit_of_their_own_wherever_they_come_from(start: Start, web: httpx.Client) -> None:
    service = start(JWT_SECRET=SECRET, RATE_LIMIT_PER_USER="2/hour")
    alice, bob, anonymous = (minter(web, service, sub) for sub in ("alice", "bob", None))
    assert [alice().status_code for _ in range(3)] == [200, 200, 429]
    assert problem(alice(), 429, "too-many-requests")["policy"] == "user"
    assert [bob().status_code for _ in range(3)] == [200, 200, 429]
    assert [anonymous().status_code for _ in range(5)] == [200] * 5, "who is not signed in is counted by address only"


def test_a_forged_token_uses_up_no_users_limit(start: Start, web: httpx.Client) -> None:
    service = start(JWT_SECRET=SECRET, RATE_LIMIT_PER_USER="2/hour")
    forged = {"Authorization": "Bearer " + jwt.encode({"sub": "alice", "exp": time.time() + 60}, SECRET * 2, "HS256")}
    for _ in range(5):
        problem(web.post(f"{service}/uploads", json=SPEC, headers=forged), 401, "token-invalid")
    assert minter(web, service, "alice")().status_code == 200


def every_route() -> list[tuple[str, str]]:
    routes = expanded(create_app(load(GIVEN | {"ENVIRONMENT": "test"})).routes)
    return sorted({(min(route.methods or {"GET"}), route.path) for route in routes if isinstance(route, Route)})


def test_every_route_is_limited_but_those_that_do_no_work(start: Start, web: httpx.Client) -> None:
    limited = start(RATE_LIMIT_PER_ADDRESS="1/hour", JWT_SECRET=SECRET)
    assert web.get(f"{limited}/errors").status_code == 200
    routes = every_route()
    assert ("POST", "/uploads") in routes
    assert ("GET", "/s3/params") in routes
    statuses = {(method, path): web.request(method, limited + path).status_code for method, path in routes}
    assert {path for (_, path), status in statuses.items() if status != 429} == EXEMPT & {path for _, path in routes}
    for unheard in ("/", "//s3/params", "/u/token/s3/params", "/no/such/path"):
        assert web.get(limited + unheard).status_code == (200 if unheard == "/" else 429)


def test_uppy_is_told_in_its_own_words(start: Start, web: httpx.Client) -> None:
    service = start(RATE_LIMIT_PER_ADDRESS="1/hour")
    web.get(f"{service}/errors")
    document = web.get(f"{service}/s3/params", params={"filename": "a.jpg", "type": "image/jpeg"}).json()
    assert document["error"] == "too-many-requests"
    assert document["message"] == document["detail"]


@pytest.mark.parametrize("environ", [{"RATE_LIMIT_PER_ADDRESS": "1/hour"}, {"RATE_LIMIT_PER_USER": "1/hour"}])
def test_a_refusal_comes_before_the_body_is_read(start: Start, web: httpx.Client, environ: dict[str, str]) -> None:
    service = start(JWT_SECRET=SECRET, **environ)
    minter(web, service, "alice")()
    host, port = service.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as streaming_put:
        # Not one byte of the body is ever sent.
        head = f"POST /uploads HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 900\r\n"
        streaming_put.sendall(f"{head}Authorization: {bearer('alice')['Authorization']}\r\n\r\n".encode())
        assert streaming_put.recv(100).startswith(b"HTTP/1.1 429 ")


def test_a_browser_may_read_the_refusal(start: Start, web: httpx.Client) -> None:
    service = start(RATE_LIMIT_PER_ADDRESS="1/hour", CORS_ALLOW_ORIGINS="http://localhost:3000")
    origin = {"Origin": "http://localhost:3000"}
    preflight = origin | {"Access-Control-Request-Method": "POST"}
    for _ in range(3):
        assert web.options(f"{service}/uploads", headers=preflight).status_code == 200, "a preflight is no request"
    web.get(f"{service}/errors")
    refused = web.post(f"{service}/uploads", json=SPEC, headers=origin)
    assert refused.status_code == 429
    assert refused.headers["access-control-allow-origin"] == "http://localhost:3000"
    exposed = refused.headers["access-control-expose-headers"]
    assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(exposed.split(", "))


def test_the_address_of_a_proxy_counts_for_its_clients_only_where_it_is_trusted(
    start: Start, web: httpx.Client
) -> None:
    def statuses(service: str) -> list[int]:
        return [
            web.get(f"{service}/errors", headers={"X-Forwarded-For": f"1.1.1.1, 198.51.100.{number}"}).status_code
            for number in (1, 2, 1)
        ]

    assert statuses(start(RATE_LIMIT_PER_ADDRESS="1/hour", TRUSTED_PROXIES="127.0.0.1")) == [200, 200, 429]
    assert statuses(start(RATE_LIMIT_PER_ADDRESS="1/hour")) == [200, 429, 429]


def test_production_is_limited_without_being_told_and_nothing_else_is() -> None:
    production = load(GIVEN | {"ENVIRONMENT": "production", "JWT_SECRET": SECRET})
    assert (production.usage.rate_limit_per_user, production.usage.rate_limit_per_address) == (
        "1200/minute",
        "3000/minute",
    )
    off = load(GIVEN | {"JWT_SECRET": SECRET, "RATE_LIMIT_PER_USER": "off", "RATE_LIMIT_PER_ADDRESS": "off"})
    for settings in (off, load(GIVEN | {"ENVIRONMENT": "local"})):
        assert (settings.usage.rate_limit_per_user, settings.usage.rate_limit_per_address) == ("off", "off")


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"RATE_LIMIT_PER_USER": "many"}, "RATE_LIMIT_PER_USER: not of the form number/time"),
        ({"RATE_LIMIT_PER_ADDRESS": "5/2 days"}, "RATE_LIMIT_PER_ADDRESS: longer than a day"),
        ({"RATE_LIMIT_FAILS": "maybe"}, "RATE_LIMIT_FAILS: "),
        ({"REDIS_URL": f"http://:{PASSWORD}@host"}, "REDIS_URL: not a URL"),
        ({"REDIS_URL": "redis://"}, "REDIS_URL: not a URL"),
        ({"REDIS_URL": f"redis://:{PASSWORD}@host", "ENVIRONMENT": "production"}, "REDIS_URL: without TLS"),
    ],
)
def test_settings_that_make_no_sense_stop_the_start(environ: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(GIVEN | {"ENVIRONMENT": "test"} | environ)
    assert says in str(refused.value)
    assert PASSWORD not in str(refused.value)


# --- Redis ----------------------------------------------------------------------------------------


@pytest.mark.needs("redis")
def test_in_redis_all_processes_count_together(start: Start, web: httpx.Client, store: Redis) -> None:
    environ = {"JWT_SECRET": SECRET, "REDIS_URL": store.url, "RATE_LIMIT_PER_USER": "3/hour"}
    one, two = (minter(web, start(**environ), "alice") for _ in range(2))
    assert [one().status_code, two().status_code, one().status_code, two().status_code] == [200, 200, 200, 429]
    refused = one()
    assert problem(refused, 429, "too-many-requests")["policy"] == "user"
    wait_s = int(refused.headers["retry-after"])
    assert 1 <= wait_s <= 2 * 3_600
    assert refused.headers["ratelimit"] == f'"user";r=0;t={wait_s}'
    assert b"alice" not in store.ask("KEYS", "*"), "Redis need not know who our users are"


@pytest.mark.needs("redis")
def test_in_redis_users_addresses_and_rates_do_not_meet(start: Start, web: httpx.Client, store: Redis) -> None:
    environ = {"JWT_SECRET": SECRET, "REDIS_URL": store.url}
    service = start(**environ, RATE_LIMIT_PER_USER="2/hour", RATE_LIMIT_PER_ADDRESS="4/hour")
    # A user whose id is the address that the requests come from.
    user = minter(web, service, "127.0.0.1")
    assert [user().status_code for _ in range(3)] == [200, 200, 429]
    anonymous = minter(web, service)
    assert [anonymous().status_code, anonymous().status_code] == [200, 429]
    assert minter(web, start(**environ, RATE_LIMIT_PER_ADDRESS="5/hour"))().status_code == 200


@pytest.mark.parametrize("way", ["kill", "freeze"])
@pytest.mark.needs("redis")
def test_a_broken_redis_opens_to_what_this_process_counts(
    start: Start, web: httpx.Client, store: Redis, way: str
) -> None:
    mint = minter(web, start(REDIS_URL=store.url, RATE_LIMIT_PER_ADDRESS="3/hour"))
    assert [mint().status_code for _ in range(4)] == [200, 200, 200, 429]
    getattr(store, way)()
    started = time.monotonic()
    assert mint().status_code == 200, "no user is locked out"
    assert time.monotonic() - started < REDIS_TIMEOUT_S + 2, "and no request waits long"
    assert [mint().status_code for _ in range(3)] == [200, 200, 429], "but the limit still holds"
    assert time.monotonic() - started < REDIS_REST_S, "a broken store is not asked for each request"
    if way == "freeze":
        store.thaw()


@pytest.mark.parametrize("way", ["kill", "freeze"])
@pytest.mark.needs("redis")
def test_a_broken_redis_closes_where_that_is_wanted(start: Start, web: httpx.Client, store: Redis, way: str) -> None:
    service = start(REDIS_URL=store.url, RATE_LIMIT_PER_ADDRESS="9/hour", RATE_LIMIT_FAILS="closed")
    mint = minter(web, service)
    assert mint().status_code == 200
    getattr(store, way)()
    for _ in range(3):
        refused = mint()
        problem(refused, 503, "rate-limit-unavailable")
        assert int(refused.headers["retry-after"]) == REDIS_REST_S
    assert web.get(f"{service}/").status_code == 200, "the health of the service can still be asked for"
    if way == "freeze":
        store.thaw()


@pytest.mark.needs("redis")
def test_redis_is_asked_again_when_it_is_back(
    start: Start, web: httpx.Client, store: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("image_upload.usage.shared_store.REDIS_REST_S", 0.0)
    mint = minter(web, start(REDIS_URL=store.url, RATE_LIMIT_PER_ADDRESS="9/hour", RATE_LIMIT_FAILS="closed"))
    assert mint().status_code == 200
    store.kill()
    problem(mint(), 503, "rate-limit-unavailable")
    store.start()
    assert mint().status_code == 200
    assert PASSWORD not in caplog.text
    assert "rate limits not shared" in caplog.text


@pytest.mark.needs("redis")
def test_a_connection_that_died_in_its_sleep_is_replaced(start: Start, web: httpx.Client, store: Redis) -> None:
    """As on Lambda, where a process is frozen between two requests."""
    mint = minter(web, start(REDIS_URL=store.url, RATE_LIMIT_PER_ADDRESS="9/hour", RATE_LIMIT_FAILS="closed"))
    assert mint().status_code == 200
    store.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert mint().status_code == 200


@pytest.mark.needs("redis")
def test_a_wrong_password_is_a_broken_redis(start: Start, web: httpx.Client, store: Redis) -> None:
    wrong = store.url.replace(PASSWORD, "wrong")
    closed = start(REDIS_URL=wrong, RATE_LIMIT_PER_ADDRESS="9/hour", RATE_LIMIT_FAILS="closed")
    problem(minter(web, closed)(), 503, "rate-limit-unavailable")
    assert minter(web, start(REDIS_URL=wrong, RATE_LIMIT_PER_ADDRESS="9/hour"))().status_code == 200
