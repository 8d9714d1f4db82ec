"""The provider's keys: when it is asked, when not, and what happens while it is broken."""

import asyncio
import gzip
import json
import logging
from collections.abc import Callable

import httpx
import pytest

from image_upload.auth import jwks
from image_upload.auth.tokens import Verifier
from image_upload.errors import TokenInvalid, TokenKeysUnavailable
from image_upload.limits import (
    JWKS_FRESH_S,
    JWKS_KEEP_S,
    JWKS_MAX_BYTES,
    JWKS_REFRESH_S,
    JWKS_RETRY_S,
    TOKEN_CACHE_MAX,
    TOKEN_CACHE_S,
)
from image_upload.settings import SettingsError
from tests.auth.provider import SECRET, Provider, entry, own, signed
from tests.conftest import Start, problem


class Clock:
    """A clock for the whole accounts room that only moves when it is told."""

    def __init__(self) -> None:
        import time  # the real one

        self.now = time.time()

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(jwks, "time", clock)
    monkeypatch.setattr("image_upload.auth.tokens.time", clock)
    return clock


def broken(status: int, body: bytes = b"", **headers: str) -> Callable[[], tuple[int, dict[str, str], bytes]]:
    return lambda: (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def test_keys_are_asked_for_once_and_again_when_they_are_old(provider: Provider, clock: Clock) -> None:
    async def run() -> None:
        verifier = Verifier(provider.settings().auth)
        for number in range(5):
            await verifier.verify(signed(n=number))
        assert provider.asked == 1
        clock.now += JWKS_FRESH_S - 1
        await verifier.verify(signed(n="before"))
        assert provider.asked == 1
        clock.now += 1
        await verifier.verify(signed(n="after"))
        assert provider.asked == 2

    asyncio.run(run())


def test_a_new_key_works_as_soon_as_it_is_asked_for_and_a_withdrawn_one_ends(provider: Provider, clock: Clock) -> None:
    async def run() -> None:
        verifier = Verifier(provider.settings().auth)
        await verifier.verify(signed("one"))
        provider.keys = [entry("two", "ES256"), entry("three", "ES256")]
        clock.now += JWKS_REFRESH_S
        await verifier.verify(signed("two", "ES256"))
        with pytest.raises(TokenInvalid):
            await verifier.verify(signed("one", n="another"))
        # The very token that was verified before is known a little longer, but not for its whole life.
        clock.now += TOKEN_CACHE_S
        with pytest.raises(TokenInvalid):
            await verifier.verify(signed("one"))

    asyncio.run(run())


def test_invented_key_ids_cause_no_more_calls_to_the_provider(provider: Provider, clock: Clock) -> None:
    async def run() -> None:
        verifier = Verifier(provider.settings().auth)
        await verifier.verify(signed())
        for rounds in range(1, 4):
            clock.now += JWKS_REFRESH_S
            for number in range(20):
                with pytest.raises(TokenInvalid):
                    await verifier.verify(signed(f"invented-{number}-{rounds}", "ES256"))
            assert provider.asked == 1 + rounds

    asyncio.run(run())


def test_many_first_tokens_at_once_ask_once(provider: Provider) -> None:
    async def run() -> None:
        verifier = Verifier(provider.settings().auth)
        provider.may_answer.clear()
        waiting = [asyncio.create_task(verifier.verify(signed(n=number))) for number in range(20)]
        await asyncio.sleep(0)  # all others begin
        # The one who began it goes away; the others must not be left with nothing.
        waiting[0].cancel()
        provider.may_answer.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert {principal.user_id for principal in found[1:] if not isinstance(principal, BaseException)} == {"42"}
        assert [error for error in found[1:] if isinstance(error, BaseException)] == []
        assert provider.asked == 1

    asyncio.run(run())


def test_while_keys_are_asked_for_again_the_others_go_on_with_the_old(provider: Provider, clock: Clock) -> None:
    async def run() -> None:
        verifier = Verifier(provider.settings().auth)
        await verifier.verify(signed())
        clock.now += JWKS_FRESH_S
        provider.may_answer.clear()
        first = asyncio.create_task(verifier.verify(signed(n="first")))
        await asyncio.sleep(0)  # the first begins
        assert (await verifier.verify(signed(n="second"))).user_id == "42"
        assert not first.done()
        provider.may_answer.set()
        await first

    asyncio.run(run())


GOOD = json.dumps({"keys": [entry("one", "RS256")]}).encode()
UNUSABLE = {
    "an error": broken(500, b"{}"),
    "not found": broken(404, b"{}"),
    "no JSON": broken(200, b"<html>"),
    "another document": broken(200, b"[]"),
    "no keys in it": broken(200, b'{"keys": {}}'),
    "an empty set": broken(200, b'{"keys": []}'),
    "no usable key": broken(200, b'{"keys": [{"kty": "oct", "k": "AAAA", "kid": "one"}]}'),
    "too long": broken(200, GOOD + b" " * JWKS_MAX_BYTES),
    "packed": broken(200, gzip.compress(GOOD), Content_Encoding="gzip"),
    "cut off": broken(200, GOOD, Content_Length="9000"),
    "deep": broken(200, b"[" * 100_000),
}


@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE)
def test_a_provider_that_answers_nonsense_leads_to_503_and_never_to_acceptance(
    provider: Provider, clock: Clock, answer: Callable[[], tuple[int, dict[str, str], bytes]]
) -> None:
    async def run() -> None:
        verifier = Verifier(provider.settings().auth)
        provider.answer = answer
        for _ in range(3):
            with pytest.raises(TokenKeysUnavailable) as refused:
                await verifier.verify(signed())
            assert refused.value.headers["Retry-After"] == str(JWKS_RETRY_S)
        assert provider.asked == 1, "a broken provider is not asked for each token"
        provider.answer = provider.key_set
        clock.now += JWKS_RETRY_S
        await verifier.verify(signed())

    asyncio.run(run())


@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE)
def test_old_keys_go_on_working_while_the_provider_is_broken_but_not_for_ever(
    provider: Provider, clock: Clock, answer: Callable[[], tuple[int, dict[str, str], bytes]]
) -> None:
    async def run() -> None:
        verifier = Verifier(provider.settings().auth)
        await verifier.verify(signed())
        provider.answer = answer
        clock.now += JWKS_KEEP_S - 1
        await verifier.verify(signed(n="still"))
        assert provider.asked == 2
        with pytest.raises(TokenInvalid):
            await verifier.verify(signed("unknown", "ES256"))
        clock.now += 1
        with pytest.raises(TokenKeysUnavailable):
            await verifier.verify(signed(n="no more"))

    asyncio.run(run())


def test_a_redirect_is_not_followed(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    here = provider.url
    provider.answer = broken(302, b"", Location=here)
    with pytest.raises(TokenKeysUnavailable):
        asyncio.run(Verifier(provider.settings().auth).verify(signed()))
    assert provider.asked == 1
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "status 302" in record.__dict__["fields"]["reason"]


def test_a_provider_that_does_not_answer_is_given_up(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "JWKS_TIMEOUT_S", 0.1)
    provider.may_answer.clear()
    with pytest.raises(TokenKeysUnavailable):
        asyncio.run(Verifier(provider.settings().auth).verify(signed()))


def test_a_provider_that_is_not_there_is_503_over_http(start: Start, web: httpx.Client, provider: Provider) -> None:
    environ = {"JWT_JWKS_URL": provider.url, "JWT_ISSUER": "https://provider.example/", "JWT_AUDIENCE": "uploads"}
    service = start(AUTH_REQUIRED="true", **environ)
    spec = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5, "purpose": "profile"}

    def mint(token: str) -> httpx.Response:
        return web.post(f"{service}/uploads", json=spec, headers={"Authorization": f"Bearer {token}"})

    assert mint(signed()).json()["objectKey"].startswith("profiles/42/")
    problem(mint(signed(aud="another")), 401, "token-invalid")
    gone = start(AUTH_REQUIRED="true", **environ | {"JWT_JWKS_URL": "http://127.0.0.1:9/keys"})
    answer = web.post(f"{gone}/uploads", json=spec, headers={"Authorization": f"Bearer {signed()}"})
    problem(answer, 503, "token-keys-unavailable")
    assert int(answer.headers["retry-after"]) == JWKS_RETRY_S


def test_our_own_tokens_work_while_the_provider_does_not(provider: Provider) -> None:
    provider.answer = broken(500)
    assert asyncio.run(Verifier(provider.settings(JWT_SECRET=SECRET).auth).verify(own())).user_id == "42"
    assert provider.asked == 0


def test_cognitos_access_tokens_name_their_audience_as_client(provider: Provider) -> None:
    settings = provider.settings(JWT_AUDIENCE="app-client")

    def verified(**claims: str | None) -> str:
        return asyncio.run(Verifier(settings.auth).verify(signed(**claims))).user_id  # type: ignore[arg-type]  # claims of any type

    assert verified(aud=None, client_id="app-client", token_use="access") == "42"
    assert verified(aud="app-client", token_use="id") == "42"
    for wrong in (
        {"aud": None, "client_id": "another", "token_use": "access"},
        {"aud": None, "client_id": "app-client"},
        {"aud": None, "client_id": "app-client", "token_use": "id"},
        {"aud": "another", "client_id": "app-client", "token_use": "access"},
    ):
        with pytest.raises(TokenInvalid):
            verified(**wrong)


def test_the_first_of_two_entries_with_one_id_counts(provider: Provider) -> None:
    provider.keys = [entry("one", "RS256"), {**entry("attacker", "RS256"), "kid": "one"}]
    assert asyncio.run(Verifier(provider.settings().auth).verify(signed())).user_id == "42"


def test_known_tokens_are_bounded_and_end_with_the_token(provider: Provider, clock: Clock) -> None:
    async def run() -> None:
        verifier = Verifier(provider.settings(JWT_SECRET=SECRET).auth)
        short = own(exp=int(clock.now) + 5)
        await verifier.verify(short)
        for number in range(TOKEN_CACHE_MAX + 10):
            await verifier.verify(own(n=number))
        assert len(verifier._known) == TOKEN_CACHE_MAX
        until = [until for until, _ in verifier._known.values()]
        assert max(until) <= clock.now + TOKEN_CACHE_S

    asyncio.run(run())


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"JWT_JWKS_URL": "http://provider.example/keys"}, "JWT_JWKS_URL: plain http"),
        ({"ENVIRONMENT": "production", "JWT_JWKS_URL": "http://127.0.0.1/keys"}, "JWT_JWKS_URL: plain http"),
        ({"JWT_JWKS_URL": "https://user:secret@provider.example/keys"}, "JWT_JWKS_URL: a user name"),
        ({"JWT_JWKS_URL": "ftp://provider.example/keys"}, "JWT_JWKS_URL: not a URL"),
        ({"JWT_JWKS_URL": "file:///etc/passwd"}, "JWT_JWKS_URL: not a URL"),
        ({"JWT_JWKS_URL": "https://provider.example/a b"}, "JWT_JWKS_URL: not a URL"),
        ({"JWT_ISSUER": ""}, "JWT_ISSUER: missing"),
        ({"JWT_PREVIOUS_SECRET": "x" * 32}, "JWT_PREVIOUS_SECRET: it goes together"),
        (
            {"ENVIRONMENT": "production", "JWT_SECRET": "x" * 32, "JWT_PREVIOUS_SECRET": "short"},
            "JWT_PREVIOUS_SECRET: shorter than 32",
        ),
        (
            {"ENVIRONMENT": "production", "JWT_SECRET": "x" * 63, "JWT_ALGORITHM": "HS512"},
            "JWT_SECRET: shorter than 64",
        ),
        ({"JWT_ALGORITHM": "RS256"}, "JWT_ALGORITHM: "),
        ({"JWT_ALGORITHM": "none"}, "JWT_ALGORITHM: "),
    ],
)
def test_settings_that_would_be_unsafe_stop_the_start(environ: dict[str, str], says: str, provider: Provider) -> None:
    with pytest.raises(SettingsError) as refused:
        provider.settings(**{"JWT_JWKS_URL": "https://provider.example/keys"} | environ)
    assert says in str(refused.value)
    assert "secret@" not in str(refused.value)


def test_a_provider_alone_is_enough_where_a_token_is_required(provider: Provider) -> None:
    settings = provider.settings(ENVIRONMENT="production", JWT_JWKS_URL="https://provider.example/keys")
    assert settings.auth.auth_required
    assert settings.auth.jwt_secret is None


def test_the_key_set_of_a_provider_is_never_longer_than_ours_can_be() -> None:
    """An answer with every kind of key and a certificate chain each, as Entra ID's, fits."""
    chain = ["A" * 2_000] * 3
    keys = [entry(str(number), "RS256", x5c=chain) for number in range(10)]
    assert len(json.dumps({"keys": keys})) < JWKS_MAX_BYTES
