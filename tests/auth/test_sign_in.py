"""Signing in, as a front end and its user see it: both ways, every database, and everything that can be refused."""

import hmac
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from image_upload.limits import CODE_EXPIRES_S, PROVIDER_ANSWER_MAX_BYTES, SIGN_IN_EXPIRES_S
from tests.auth import provider as keys
from tests.auth.sign_in_servers import CLIENT, CLIENT_SECRET, SignInServer, as_json, signing_in, to
from tests.auth.visiting import FRONT_END, SECRET, Visitor, binding, close_clients, environ, with_query
from tests.conftest import Start, problem
from tests.database.databases import Place, empty, migrated


@pytest.fixture
def provider() -> Iterator[SignInServer]:
    with signing_in() as running:
        yield running
        close_clients()


@pytest.fixture
def sqlite(tmp_path: Path) -> Place:
    """A migrated database, for what does not depend on its kind."""
    return migrated(empty("sqlite", lambda: pytest.fail("no server is needed"), tmp_path))


def opened(start: Start, provider: SignInServer, place: Place, **more: str) -> Visitor:
    service = start(**environ(provider, place.url, **more))
    provider.redirect_bases.append(service)
    return Visitor(service)


@pytest.fixture
def ann(start: Start, provider: SignInServer, sqlite: Place) -> Visitor:
    """Ann's browser at a service with both ways in."""
    return opened(start, provider, sqlite)


# --- the way in -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["google", "github"])
def test_a_sign_in_gives_a_token_that_names_the_user(
    start: Start, provider: SignInServer, place: Place, name: str
) -> None:
    ann = opened(start, provider, place)
    tokens = ann.tokens(name)
    user = tokens["user"]
    assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 900)
    assert (user["email"], user["name"]) == ("ann@example.com", "Ann" if name == "google" else "ann")
    assert type(user["user_id"]) is int
    assert 0 < user["user_id"] < 2**53
    claims = jwt.decode(tokens["access_token"], SECRET, ["HS256"])
    assert claims["sub"] == str(user["user_id"])
    assert claims["exp"] - claims["iat"] == 900
    assert ann.me(tokens["access_token"]).json() == user
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert ann.web.post(f"{ann.service}/auth/verify", headers=bearer).json() == user
    spec = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5, "purpose": "profile"}
    minted = ann.web.post(f"{ann.service}/uploads", json=spec, headers=bearer).json()
    assert minted["objectKey"].startswith(f"profiles/{user['user_id']}/")


def test_who_signs_in_again_is_the_same_user_whatever_has_changed(
    start: Start, provider: SignInServer, place: Place
) -> None:
    ann = opened(start, provider, place)
    first = ann.tokens()["user"]
    provider.person |= {"email": "ann@new.example", "name": "Anna"}
    second = ann.tokens()["user"]
    assert second == {"user_id": first["user_id"], "email": "ann@new.example", "name": "Ann"}
    assert place.sql("SELECT count(*) FROM users") == [(1,)]


def test_one_verified_address_at_two_providers_is_one_user(start: Start, provider: SignInServer, place: Place) -> None:
    ann = opened(start, provider, place)
    assert ann.tokens("google")["user"] == ann.tokens("github")["user"]
    assert place.sql("SELECT count(*) FROM users") == [(1,)]
    assert place.sql("SELECT provider, issuer FROM oauth_accounts ORDER BY provider") == [
        ("github", provider.url),
        ("google", provider.url),
    ]


@pytest.mark.parametrize("said", [False, None, "false", 1, "yes"])
def test_an_address_that_is_not_verified_joins_no_users(
    start: Start, provider: SignInServer, place: Place, said: object
) -> None:
    """Otherwise a user could write another user's address into their own profile and get that user's files."""
    victim = opened(start, provider, place)
    owner = victim.tokens("github")["user"]
    provider.person |= {"sub": "attacker", "email_verified": said}
    attacker = Visitor(victim.service).tokens("google")["user"]
    assert attacker["user_id"] != owner["user_id"]
    assert attacker["email"] is None
    assert place.sql("SELECT id, email FROM users WHERE email IS NOT NULL") == [(owner["user_id"], "ann@example.com")]


def test_an_address_that_was_not_verified_is_not_lost_for_its_owner(
    start: Start, provider: SignInServer, place: Place
) -> None:
    provider.emails = [{"email": "ann@example.com", "primary": True, "verified": False}]
    squatter = opened(start, provider, place)
    before = squatter.tokens("github")["user"]
    owner = Visitor(squatter.service).tokens("google")["user"]
    assert owner["email"] == "ann@example.com"
    assert owner["user_id"] != before["user_id"]
    assert squatter.tokens("github")["user"] == before


def test_a_known_user_cannot_take_the_address_of_another(start: Start, provider: SignInServer, place: Place) -> None:
    ann = opened(start, provider, place)
    owner = ann.tokens("google")["user"]
    provider.github_id, provider.emails = 8, [{"email": "bob@example.com", "primary": True, "verified": True}]
    bob = Visitor(ann.service)
    assert bob.tokens("github")["user"]["email"] == "bob@example.com"
    provider.emails = [{"email": "ann@example.com", "primary": True, "verified": True}]
    again = bob.tokens("github")["user"]
    assert again["email"] == "bob@example.com"
    assert again["user_id"] != owner["user_id"]


def test_an_address_that_its_user_has_left_is_free_for_its_next_owner(
    start: Start, provider: SignInServer, place: Place
) -> None:
    ann = opened(start, provider, place)
    first = ann.tokens("google")["user"]
    provider.person["email"] = "ann@new.example"
    ann.tokens("google")
    next_owner = Visitor(ann.service).tokens("github")["user"]
    assert next_owner["email"] == "ann@example.com"
    assert next_owner["user_id"] != first["user_id"]


def test_letters_that_only_look_or_fold_alike_are_other_addresses(ann: Visitor, provider: SignInServer) -> None:
    provider.person["email"] = "mike@example.com"
    first = ann.tokens("google")["user"]
    provider.emails = [{"email": "mıKe@example.com", "primary": True, "verified": True}]
    assert ann.tokens("github")["user"]["user_id"] != first["user_id"]


def test_eight_first_sign_ins_at_once_make_one_user(start: Start, provider: SignInServer, place: Place) -> None:
    service = opened(start, provider, place).service
    ways = ["google", "github"] * 4
    with ThreadPoolExecutor(8) as pool:
        users = [tokens["user"]["user_id"] for tokens in pool.map(lambda way: Visitor(service).tokens(way), ways)]
    assert len(set(users)) == 1
    assert place.sql("SELECT count(*) FROM users") == [(1,)]
    assert place.sql("SELECT count(*) FROM oauth_accounts") == [(2,)]


def test_a_github_user_without_a_primary_address_signs_in_without_one(ann: Visitor, provider: SignInServer) -> None:
    provider.emails = [{"email": "ann@example.com", "primary": False, "verified": True}]
    assert ann.tokens("github")["user"]["email"] is None


def test_claims_that_are_not_in_the_id_token_are_asked_for(ann: Visitor, provider: SignInServer) -> None:
    provider.claims = {"email": None, "email_verified": None, "name": None}
    assert ann.tokens()["user"] | {"user_id": 0} == {"user_id": 0, "email": "ann@example.com", "name": "Ann"}
    provider.answers["/userinfo"] = lambda: as_json({**provider.person, "sub": "somebody-else"})
    assert ann.sign_in() == {"error": "identity-refused"}


def test_a_provider_that_takes_the_secret_only_in_a_header_gets_it_there(ann: Visitor, provider: SignInServer) -> None:
    provider.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}
    assert ann.tokens()["user"]["name"] == "Ann"


def test_a_provider_is_asked_about_itself_and_its_keys_once(ann: Visitor, provider: SignInServer) -> None:
    for _ in range(3):
        ann.tokens()
    assert provider.told.count("GET /.well-known/openid-configuration") == 1
    assert provider.told.count("GET /jwks") == 1


def test_the_documents_token_in_the_url_is_there_for_those_who_set_it(
    start: Start, provider: SignInServer, sqlite: Place
) -> None:
    ann = opened(start, provider, sqlite, OAUTH_TOKEN_IN_URL="true")
    said = ann.sign_in()
    assert said.keys() == {"token"}
    claims = jwt.decode(said["token"], SECRET, ["HS256"])
    assert claims["exp"] - claims["iat"] == 1_440 * 60
    assert ann.me(said["token"]).json()["email"] == "ann@example.com"
    assert ann.sign_in(code_challenge=binding()[1]).keys() == {"code"}, "a front end that can do better gets better"


def test_issuer_and_audience_of_the_settings_are_in_our_tokens(
    start: Start, provider: SignInServer, sqlite: Place
) -> None:
    ann = opened(start, provider, sqlite, JWT_ISSUER="https://us.example", JWT_AUDIENCE="uploads")
    token = ann.tokens()["access_token"]
    assert jwt.decode(token, SECRET, ["HS256"], audience="uploads")["iss"] == "https://us.example"
    assert ann.me(token).status_code == 200


# --- attacks on the way back ----------------------------------------------------------------------


def test_an_answer_is_of_no_use_in_another_browser(ann: Visitor) -> None:
    """Login CSRF: an attacker's answer must not sign a victim in as the attacker."""
    theirs = Visitor(ann.service).leave()
    assert ann.come_back(theirs) == {"error": "sign-in-expired"}
    ann.leave()
    assert ann.come_back(theirs) == {"error": "sign-in-expired"}, "with a sign-in of one's own on its way, too"


@pytest.mark.parametrize("state", [None, "", "x", "ä", "A" * 43, "A" * 5_000])
def test_a_state_that_is_missing_or_forged_is_refused(ann: Visitor, provider: SignInServer, state: str | None) -> None:
    assert ann.come_back(with_query(ann.leave(), state=state)) == {"error": "sign-in-expired"}
    assert "POST /token" not in provider.told


def test_an_answer_works_once(ann: Visitor, provider: SignInServer) -> None:
    location = ann.leave()
    kept = dict(ann.web.cookies)
    assert ann.come_back(location).keys() == {"code"}
    assert dict(ann.web.cookies) == {}
    assert ann.come_back(location) == {"error": "sign-in-expired"}
    thief = Visitor(ann.service)
    thief.web.cookies.update(kept)
    assert thief.come_back(location) == {"error": "provider-failed"}, "cookie and all: the provider's code is used up"
    assert provider.told.count("POST /token") == 2


@pytest.mark.parametrize("cookie", ["x", "gAAAAA", "A" * 5_000])
def test_a_cookie_that_is_not_ours_is_none(ann: Visitor, cookie: str) -> None:
    location = ann.leave()
    ann.web.cookies = httpx.Cookies({"sign-in": cookie})
    assert ann.come_back(location) == {"error": "sign-in-expired"}


def test_a_sign_in_that_took_too_long_is_over(ann: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    location = ann.leave()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + SIGN_IN_EXPIRES_S + 1)
    assert ann.come_back(location) == {"error": "sign-in-expired"}


def test_one_providers_answer_is_not_taken_for_anothers(ann: Visitor, provider: SignInServer) -> None:
    location = ann.leave("google").replace("/auth/oauth/google/", "/auth/oauth/github/")
    assert ann.come_back(location) == {"error": "sign-in-expired"}
    assert "POST /login/oauth/access_token" not in provider.told


@pytest.mark.parametrize("issuer", [None, "https://evil.example", ""])
def test_an_answer_must_name_its_issuer_where_the_provider_always_does(
    ann: Visitor, provider: SignInServer, issuer: str | None
) -> None:
    assert ann.come_back(with_query(ann.leave(), iss=issuer)) == {"error": "identity-refused"}
    assert "POST /token" not in provider.told


def test_a_parameter_that_is_there_twice_is_refused(ann: Visitor) -> None:
    assert ann.come_back(ann.leave() + "&code=another") == {"error": "sign-in-expired"}


def test_nothing_in_a_request_decides_where_the_browser_goes(ann: Visitor) -> None:
    evil = dict.fromkeys(("redirect_uri", "redirect", "return", "return_to", "next", "state"), "https://evil.example/")
    begun = ann.web.get(f"{ann.service}/auth/oauth/google", params=evil)
    assert "evil.example" not in begun.headers["location"]
    back = ann.leave() + "&redirect_uri=https://evil.example&next=//evil.example"
    assert ann.come_back(back).keys() == {"code"}, "which also looks that it is the front end"


def test_outside_production_only_this_machines_own_name_is_believed(ann: Visitor) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    document = problem(ann.web.get(f"{ann.service}/auth/oauth/google", headers=headers), 503, "sign-in-not-configured")
    assert "OAUTH_REDIRECT_BASE_URL" in document["detail"]


def test_the_address_of_the_settings_counts_whatever_host_a_request_names(
    start: Start, provider: SignInServer, sqlite: Place
) -> None:
    ann = opened(start, provider, sqlite, OAUTH_REDIRECT_BASE_URL="https://uploads.example.com/")
    begun = ann.web.get(f"{ann.service}/auth/oauth/google", headers={"Host": "evil.example"})
    asked = httpx.URL(begun.headers["location"]).params
    assert asked["redirect_uri"] == "https://uploads.example.com/auth/oauth/google/callback"


@pytest.mark.parametrize(
    ("said", "code"),
    [("access_denied", "sign-in-denied"), ("server_error", "provider-failed"), ("<script>", "provider-failed")],
)
@pytest.mark.parametrize("name", ["google", "github"])
def test_a_provider_that_says_no_is_reported_by_a_code_of_ours(
    ann: Visitor, provider: SignInServer, said: str, code: str, name: str
) -> None:
    provider.declines = said
    assert ann.sign_in(name) == {"error": code}


# --- attacks on the identity ----------------------------------------------------------------------


def _late() -> dict[str, Any]:
    return {"iat": int(time.time()) - 900, "exp": int(time.time()) - 600}


@pytest.mark.parametrize(
    "lie",
    [
        lambda: {"iss": "https://evil.example"},
        lambda: {"iss": None},
        lambda: {"aud": "another-client"},
        lambda: {"aud": None},
        lambda: {"aud": [CLIENT, "another-client"], "azp": CLIENT},
        lambda: {"azp": "another-client"},
        lambda: {"nonce": "of another sign-in"},
        lambda: {"nonce": None},
        lambda: {"exp": None},
        lambda: {"iat": None},
        lambda: {"iat": int(time.time()) + 600},
        lambda: {"sub": ""},
        lambda: {"sub": None},
        lambda: {"sub": 7},
        lambda: {"sub": "s" * 256},
        _late,
    ],
)
def test_an_id_token_that_is_not_for_us_and_now_is_refused(ann: Visitor, provider: SignInServer, lie: Any) -> None:
    provider.claims = lie()
    assert ann.sign_in() == {"error": "identity-refused"}


def test_an_audience_in_a_list_of_its_own_is_ours(ann: Visitor, provider: SignInServer) -> None:
    provider.claims = {"aud": [CLIENT], "azp": CLIENT}
    assert ann.sign_in().keys() == {"code"}


def _unsigned(claims: dict[str, Any]) -> str:
    return f"{keys.encoded({'alg': 'none'})}.{keys.encoded(claims)}."


def _by_secret(claims: dict[str, Any]) -> str:
    """HS256 with the public key as its secret."""
    public = keys.private_key("one", "RS256").public_key()
    return _hs256(claims, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _by_client_secret(claims: dict[str, Any]) -> str:
    return _hs256(claims, CLIENT_SECRET.encode())


def _hs256(claims: dict[str, Any], secret: bytes) -> str:
    """By hand, because PyJWT refuses to."""
    signed = f"{keys.encoded({'alg': 'HS256', 'kid': 'one'})}.{keys.encoded(claims)}"
    return f"{signed}.{keys.encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


def _by_another(claims: dict[str, Any]) -> str:
    return keys._sealed(claims, keys.private_key("two", "RS256"), "RS256", {"kid": "one"})


def _by_another_algorithm(claims: dict[str, Any]) -> str:
    return keys._sealed(claims, keys.private_key("one", "RS256"), "PS256", {"kid": "one"})


def _with_its_own_key(claims: dict[str, Any]) -> str:
    header = {"jwk": keys.entry("two", "RS256"), "kid": "two"}
    return keys._sealed(claims, keys.private_key("two", "RS256"), "RS256", header)


@pytest.mark.parametrize(
    "forge", [_unsigned, _by_secret, _by_client_secret, _by_another, _by_another_algorithm, _with_its_own_key,
              lambda _: "x.y.z", lambda _: ""],
)  # fmt: skip
def test_an_id_token_that_the_provider_did_not_sign_is_refused(
    ann: Visitor, provider: SignInServer, forge: Any
) -> None:
    provider.id_token = forge
    assert ann.sign_in() == {"error": "identity-refused"}


@pytest.mark.parametrize(
    "lie",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": "http://other.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
)
def test_a_discovery_document_that_is_not_the_issuers_is_not_used(
    ann: Visitor, provider: SignInServer, lie: dict[str, Any]
) -> None:
    provider.discovery = lie
    problem(ann.get(f"{ann.service}/auth/oauth/google"), 502, "provider-failed")


@pytest.mark.parametrize("url", ["https://127.0.0.1:9/token", "https://169.254.169.254/token", "https://[::1]/token"])
def test_a_provider_cannot_lead_us_into_the_network_behind_us(ann: Visitor, provider: SignInServer, url: str) -> None:
    provider.discovery = {"token_endpoint": url}
    assert ann.sign_in() == {"error": "provider-failed"}


def _elsewhere() -> Any:
    return to("http://127.0.0.1:9/")


@pytest.mark.full
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/userinfo", "/jwks"])
@pytest.mark.parametrize(
    "broken",
    [
        _elsewhere,
        lambda: (500, {}, b"secret stack trace"),
        lambda: (200, {}, b"not json"),
        lambda: (200, {}, b"[" * 100_000),
        lambda: (200, {}, b"[]"),
        lambda: (200, {}, b'"' + b"x" * PROVIDER_ANSWER_MAX_BYTES + b'"'),
        lambda: (200, {"Content-Length": "9999999"}, b"{"),
    ],
)
def test_a_provider_that_answers_nonsense_is_a_code_and_no_sign_in(
    ann: Visitor, provider: SignInServer, path: str, broken: Any
) -> None:
    provider.claims = {"email": None}
    provider.answers[path] = broken
    if path == "/.well-known/openid-configuration":
        problem(ann.get(f"{ann.service}/auth/oauth/google"), 502, "provider-failed")
        return
    said = ann.sign_in()
    expected = {"/jwks": {"token-keys-unavailable"}, "/userinfo": {"provider-failed", "identity-refused"}}
    assert said.keys() == {"error"}
    assert said["error"] in expected.get(path, {"provider-failed"})


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/api/user", {"login": "ann"}),
        ("/api/user", {"id": True}),
        ("/api/user", {"id": "7"}),
        ("/api/user", []),
        ("/api/user/emails", {"message": "no"}),
        ("/login/oauth/access_token", {"error": "bad_verification_code"}),
        ("/login/oauth/access_token", {"token_type": "bearer"}),
    ],
)
def test_a_github_that_does_not_say_who_it_is_is_a_code_and_no_sign_in(
    ann: Visitor, provider: SignInServer, path: str, answer: Any
) -> None:
    provider.answers[path] = lambda: as_json(answer)
    assert ann.sign_in("github") == {"error": "provider-failed"}


def test_a_provider_that_is_gone_for_a_while_is_not_asked_about_itself_again(
    ann: Visitor, provider: SignInServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann.tokens()
    provider.answers["/.well-known/openid-configuration"] = lambda: (503, {}, b"")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3_601)
    provider.claims = {"iat": int(time.time()), "exp": int(time.time()) + 300}
    assert ann.get(f"{ann.service}/auth/oauth/google").status_code == 302


# --- codes ----------------------------------------------------------------------------------------


def test_a_code_works_once_and_its_session_ends_when_it_comes_again(
    start: Start, provider: SignInServer, place: Place
) -> None:
    ann = opened(start, provider, place)
    code = ann.sign_in()["code"]
    first = ann.redeem(code)
    assert first.status_code == 200
    assert problem(ann.redeem(code), 400, "grant-refused")["error"] == "invalid_grant"
    problem(ann.renew(first.json()["refresh_token"]), 400, "grant-refused")


def test_of_eight_that_redeem_one_code_at_once_one_succeeds(start: Start, provider: SignInServer, place: Place) -> None:
    ann = opened(start, provider, place)
    code = ann.sign_in()["code"]
    with ThreadPoolExecutor(8) as pool:
        answers = [each.status_code for each in pool.map(lambda _: Visitor(ann.service).redeem(code), range(8))]
    assert sorted(answers) == [200, *[400] * 7]


def test_a_code_is_worth_nothing_without_the_verifier_of_the_page_that_began(
    start: Start, provider: SignInServer, place: Place
) -> None:
    ann = opened(start, provider, place)
    for wrong in (None, binding()[0]):
        verifier, challenge = binding()
        code = ann.sign_in(code_challenge=challenge)["code"]
        problem(ann.redeem(code, wrong), 400, "grant-refused")
        problem(ann.redeem(code, verifier), 400, "grant-refused")


def test_a_page_that_began_with_a_challenge_takes_no_code_of_a_sign_in_without_one(ann: Visitor) -> None:
    """Else an attacker's own code, slipped to a victim's page, would sign the victim in as the attacker."""
    problem(ann.redeem(ann.sign_in()["code"], binding()[0]), 400, "grant-refused")


def test_a_code_that_was_not_redeemed_in_time_is_over(start: Start, provider: SignInServer, place: Place) -> None:
    ann = opened(start, provider, place)
    code = ann.sign_in()["code"]
    (life,) = place.sql("SELECT expires_at, created_at FROM sessions")
    assert CODE_EXPIRES_S == 60
    place.sql("UPDATE sessions SET expires_at = created_at")
    problem(ann.redeem(code), 400, "grant-refused")
    assert life[0] != life[1]
    ann.sign_in()
    assert place.sql("SELECT count(*) FROM sessions") == [(1,)], "what is over is cleared away by the next one"


@pytest.mark.parametrize("challenge", ["x", "A" * 42, "A" * 44, "A" * 42 + "+", "A" * 43 + "\n"])
def test_a_challenge_that_is_none_is_refused(ann: Visitor, challenge: str) -> None:
    answer = ann.web.get(f"{ann.service}/auth/oauth/google", params={"code_challenge": challenge})
    problem(answer, 422, "validation-failed")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"grant_type": "password", "code": "x"},
        {"grant_type": "authorization_code"},
        {"grant_type": "refresh_token", "code": "x"},
        {"grant_type": "authorization_code", "code": "x" * 5_000},
        {"grant_type": "authorization_code", "code": 7},
        {"grant_type": "authorization_code", "code": "x", "code_verifier": "short"},
    ],
)
def test_a_request_for_tokens_that_is_none_is_refused(ann: Visitor, body: dict[str, Any]) -> None:
    problem(ann.web.post(f"{ann.service}/auth/token", json=body), 422, "validation-failed")


# --- sessions -------------------------------------------------------------------------------------


def test_a_refresh_token_is_good_for_one_access_token_and_one_successor(
    start: Start, provider: SignInServer, place: Place
) -> None:
    ann = opened(start, provider, place)
    tokens = ann.tokens()
    for _ in range(3):
        renewed = ann.renew(tokens["refresh_token"])
        assert renewed.status_code == 200, renewed.text
        assert renewed.json()["refresh_token"] != tokens["refresh_token"]
        assert renewed.json()["user"] == tokens["user"]
        tokens = renewed.json()
        assert ann.me(tokens["access_token"]).json() == tokens["user"]


def test_a_refresh_token_that_comes_twice_ends_its_session_and_no_other(
    start: Start, provider: SignInServer, place: Place
) -> None:
    ann = opened(start, provider, place)
    stolen, other = ann.tokens(), ann.tokens()
    newest = ann.renew(stolen["refresh_token"]).json()["refresh_token"]
    problem(ann.renew(stolen["refresh_token"]), 400, "grant-refused")
    problem(ann.renew(newest), 400, "grant-refused")
    assert ann.renew(other["refresh_token"]).status_code == 200


def test_the_id_of_a_session_alone_ends_nothing(start: Start, provider: SignInServer, place: Place) -> None:
    ann = opened(start, provider, place)
    token = ann.tokens()["refresh_token"]
    prefix, number, proof, _ = token.split(".")
    for forged in (f"{prefix}.{number}.{'A' * 43}", f"{prefix}.{number}.{'A' * 22}.{'A' * 43}"):
        problem(ann.renew(forged), 400, "grant-refused")
        assert ann.post("/auth/logout", refresh_token=forged).status_code == 204
    renewed = ann.renew(token)
    assert renewed.status_code == 200, renewed.text
    # With the proof, which only a former bearer knows, it is a copy that was used before.
    problem(ann.renew(f"{prefix}.{number}.{proof}.{'A' * 43}"), 400, "grant-refused")
    problem(ann.renew(renewed.json()["refresh_token"]), 400, "grant-refused")


def test_a_refresh_token_from_before_there_was_a_proof_goes_on(
    start: Start, provider: SignInServer, place: Place
) -> None:
    ann = opened(start, provider, place)
    prefix, number, _, secret = ann.tokens()["refresh_token"].split(".")
    renewed = ann.renew(f"{prefix}.{number}.{secret}")
    assert renewed.status_code == 200, renewed.text
    assert ann.renew(renewed.json()["refresh_token"]).status_code == 200


def test_of_eight_that_use_one_refresh_token_at_once_none_can_go_on(
    start: Start, provider: SignInServer, place: Place
) -> None:
    ann = opened(start, provider, place)
    token = ann.tokens()["refresh_token"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: Visitor(ann.service).renew(token), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 7]
    (winner,) = (answer for answer in answers if answer.status_code == 200)
    problem(ann.renew(winner.json()["refresh_token"]), 400, "grant-refused")


def test_a_session_ends_by_itself(start: Start, provider: SignInServer, place: Place) -> None:
    ann = opened(start, provider, place)
    token = ann.tokens()["refresh_token"]
    place.sql("UPDATE sessions SET expires_at = created_at")
    problem(ann.renew(token), 400, "grant-refused")


def test_who_signs_out_cannot_go_on_and_may_do_it_twice(start: Start, provider: SignInServer, place: Place) -> None:
    ann = opened(start, provider, place)
    token = ann.tokens()["refresh_token"]
    for _ in range(2):
        gone = ann.post("/auth/logout", refresh_token=token)
        assert (gone.status_code, gone.content) == (204, b"")
    problem(ann.renew(token), 400, "grant-refused")
    assert ann.post("/auth/logout", refresh_token="none of ours").status_code == 204


@pytest.mark.parametrize("token", ["x", "upr1.1.x", "upr1.9." + "A" * 43, "upr1.-1." + "A" * 43, "ä", "\x00"])
def test_a_refresh_token_that_is_none_is_refused(ann: Visitor, token: str) -> None:
    problem(ann.renew(token), 400, "grant-refused")


def test_neither_a_code_nor_a_refresh_token_passes_as_an_access_token(ann: Visitor) -> None:
    code, refresh = ann.sign_in()["code"], ann.tokens()["refresh_token"]
    for token in (code, refresh, f"{refresh}.x", refresh.partition(".")[2]):
        problem(ann.me(token), 401, "token-invalid")
    access = ann.tokens()["access_token"]
    problem(ann.renew(access), 400, "grant-refused")
    problem(ann.redeem(access), 400, "grant-refused")


def test_the_database_holds_no_code_and_no_token(start: Start, provider: SignInServer, place: Place) -> None:
    ann = opened(start, provider, place)
    code, tokens = ann.sign_in()["code"], ann.tokens()
    tables = ("users", "oauth_accounts", "sessions")
    held = str([place.sql(f"SELECT * FROM {table}") for table in tables])  # names of ours
    assert str(tokens["user"]["user_id"]) in held
    for secret in (code, tokens["refresh_token"], tokens["access_token"], "provider-token-"):
        assert secret not in held
        assert secret.rpartition(".")[2] not in held


# --- who am I -------------------------------------------------------------------------------------


def test_a_user_who_did_not_sign_in_here_is_known_by_id_alone(ann: Visitor) -> None:
    for subject in ("alice", "42", "9" * 30, "٣"):
        token = jwt.encode({"sub": subject, "exp": time.time() + 60}, SECRET, "HS256")
        assert ann.me(token).json() == {"user_id": subject, "email": None, "name": None}


def test_without_a_token_the_user_is_not_named(ann: Visitor) -> None:
    for method, path in (("GET", "/auth/me"), ("POST", "/auth/verify")):
        answer = ann.web.request(method, f"{ann.service}{path}")
        problem(answer, 401, "token-missing")
        assert answer.headers["cache-control"] == "no-store"


def test_who_am_i_needs_no_database(start: Start, web: httpx.Client) -> None:
    token = jwt.encode({"sub": "42", "exp": time.time() + 60}, SECRET, "HS256")
    answer = web.get(f"{start(JWT_SECRET=SECRET)}/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.json() == {"user_id": "42", "email": None, "name": None}


# --- tokens for tests -----------------------------------------------------------------------------


def test_outside_production_a_token_is_to_be_had_for_an_address(
    start: Start, provider: SignInServer, place: Place
) -> None:
    ann = opened(start, provider, place)
    answer = ann.web.post(f"{ann.service}/auth/oauth/test-token?email=Test@example.com")
    assert answer.status_code == 200, answer.text
    document = answer.json()
    user = document["user"]
    assert document.keys() == {"access_token", "token_type", "expires_in", "user"}
    assert (document["token_type"], user["email"], user["name"]) == ("bearer", "test@example.com", "Test User")
    assert ann.me(document["access_token"]).json() == user
    again = ann.web.post(f"{ann.service}/auth/oauth/test-token?email=test@example.com").json()["user"]
    assert again == user


@pytest.mark.parametrize("email", ["", "x", "a@b@c", "a b@c", "a@" + "b" * 254, "a@\x00"])
def test_what_is_no_address_gets_no_token(ann: Visitor, email: str) -> None:
    answer = ann.web.post(f"{ann.service}/auth/oauth/test-token", params={"email": email})
    problem(answer, 422, "validation-failed")


# --- what is not set up ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["google", "github"])
def test_a_provider_without_a_client_id_says_what_to_set(
    start: Start, web: httpx.Client, sqlite: Place, name: str
) -> None:
    service = start(JWT_SECRET=SECRET, DATABASE_URL=sqlite.url)
    document = problem(web.get(f"{service}/auth/oauth/{name}"), 503, "sign-in-not-configured")
    assert f"{name.upper()}_CLIENT_ID" in document["detail"]
    back = web.get(f"{service}/auth/oauth/{name}/callback?code=x&state=y")
    assert back.headers["location"] == f"{FRONT_END}?error=sign-in-not-configured"


def test_without_a_database_no_browser_is_sent_to_a_provider(
    start: Start, web: httpx.Client, provider: SignInServer
) -> None:
    service = start(**environ(provider, ""))
    problem(web.get(f"{service}/auth/oauth/google"), 503, "database-not-configured")
    for path in ("/auth/oauth/test-token?email=a@example.com",):
        problem(web.post(service + path), 503, "database-not-configured")
    grant = {"grant_type": "refresh_token", "refresh_token": "x"}
    problem(web.post(f"{service}/auth/token", json=grant), 503, "database-not-configured")
    assert provider.told == []


def test_a_database_without_tables_is_reported_to_the_front_end(
    start: Start, provider: SignInServer, unmigrated: Place
) -> None:
    assert opened(start, provider, unmigrated).sign_in() == {"error": "database-unavailable"}


def test_a_way_that_does_not_exist_is_a_404(ann: Visitor) -> None:
    problem(ann.get(f"{ann.service}/auth/oauth/myspace"), 404, "not-found")


# --- what is left behind --------------------------------------------------------------------------


def test_no_answer_is_kept_and_no_address_passed_on(ann: Visitor, provider: SignInServer) -> None:
    begun = ann.get(f"{ann.service}/auth/oauth/google")
    back = ann.get(ann.leave())
    code = httpx.URL(back.headers["location"]).params["code"]
    tokens = ann.redeem(code)
    bad = ann.redeem(code)
    who = ann.me(tokens.json()["access_token"])
    refused = ann.me("x")
    gone = ann.post("/auth/logout", refresh_token=tokens.json()["refresh_token"])
    provider.answers["/.well-known/openid-configuration"] = lambda: (503, {}, b"")
    for answer in (begun, back, tokens, bad, who, refused, gone):
        assert answer.headers["cache-control"] == "no-store", answer
        assert answer.headers["referrer-policy"] == "no-referrer", answer


def test_no_code_token_or_secret_is_logged(
    ann: Visitor, provider: SignInServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    location, sealed = ann.leave(), dict(ann.web.cookies)["sign-in"]
    query = httpx.URL(location).params
    code = ann.come_back(location)["code"]
    tokens = ann.redeem(code).json()
    ann.redeem(code)
    ann.renew(tokens["refresh_token"])
    ann.come_back(location)
    provider.answers["/token"] = lambda: as_json({"error": "invalid_grant", "error_description": query["code"]}, 400)
    ann.sign_in()
    provider.answers.clear()
    provider.id_token = _by_another
    ann.sign_in()
    # What was logged, before anything is blacked out; but not what the clients and servers of this test say.
    ours = [record for record in caplog.records if record.name.startswith("image_upload")]
    said = "\n".join(f"{record.getMessage()} {getattr(record, 'fields', '')} {record.exc_text}" for record in ours)
    assert "signed in" in said
    assert "it refused the code: invalid_grant" in said
    secrets = [query["code"], query["state"], code, sealed, tokens["access_token"], tokens["refresh_token"], CLIENT]
    assert [
        secret for secret in (*secrets, "our-client-secret", CLIENT_SECRET, "provider-token-", SECRET) if secret in said
    ] == []
    assert str(tokens["user"]["user_id"]) in said


def test_sign_ins_count_against_the_limit_of_their_address(start: Start, provider: SignInServer, sqlite: Place) -> None:
    ann = opened(start, provider, sqlite, RATE_LIMIT_PER_ADDRESS="4/hour")
    for _ in range(4):
        problem(ann.renew("x"), 400, "grant-refused")
    for path in ("/auth/oauth/google", "/auth/oauth/github/callback"):
        problem(ann.get(ann.service + path), 429, "too-many-requests")
