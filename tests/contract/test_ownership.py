"""The owner of a stored file: no other user reads, lists or deletes it, or learns that it exists."""

import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest

from image_upload import limits
from image_upload.domain import keys
from image_upload.domain.shipped_purposes import PURPOSES
from image_upload.library import listing
from tests.conftest import Start, problem
from tests.contract.conftest import SECRET
from tests.contract.store import Store

FILES = "/api/v1/s3/files"
FILE = "/api/v1/s3/file"
KEYED = [
    ("GET", "/images/{}"),
    ("GET", "/images/{}/metadata"),
    ("GET", FILE + "/{}/url"),
    ("GET", FILE + "/{}/metadata"),
    ("GET", FILE + "/{}/exists"),
    ("DELETE", "/images/{}"),
    ("DELETE", FILE + "/{}"),
]
SPECS: list[dict[str, Any]] = [
    {"purpose": "upload"},
    {"purpose": "scan"},
    {"purpose": "profile"},
    {"purpose": "chat"},
    {"purpose": "audio", "filename": "a.mp3", "contentType": "audio/mpeg", "metadata": {"class_id": "class/1"}},
    {"purpose": "document", "filename": "a.pdf", "contentType": "application/pdf"},
    {"purpose": "file"},
]


@pytest.fixture
def closed(start: Start) -> str:
    """A service that wants a token."""
    return start(AUTH_REQUIRED="true")


@pytest.fixture
def user() -> str:
    """A user of this test alone, with an id that has to be written otherwise in a key."""
    return f"google|{secrets.token_hex(4)}/한"


def as_user(user_id: str, scope: str = "") -> dict[str, str]:
    claims = {"sub": user_id, "exp": int(time.time()) + 600, "scope": scope}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


def kept(web: httpx.Client, service: str, user_id: str, **spec: Any) -> str:
    """Store a file of five bytes as this user; its key."""
    asked = {"filename": "a.jpg", "contentType": "image/jpeg", "size": 5, **spec}
    plan = web.post(f"{service}/uploads", json=asked, headers=as_user(user_id)).json()
    assert web.put(plan["presignedUrl"], content=b"12345", headers=plan["headers"]).status_code == 200
    key: str = plan["objectKey"]
    return key


def kept_in(web: httpx.Client, service: str, user_id: str, folder: str) -> httpx.Response:
    return web.post(
        f"{service}/api/v1/s3/upload",
        headers=as_user(user_id),
        data={"folder": folder},
        files={"file": ("a.jpg", b"12345", "image/jpeg")},
    )


def kept_under_its_name(web: httpx.Client, service: str, user_id: str, filename: str) -> str:
    plan = web.post(f"{service}/files/upload-url", params={"filename": filename}, headers=as_user(user_id)).json()
    assert web.put(plan["presigned_url"], content=b"12345", headers=plan["headers"]).status_code == 200
    key: str = plan["object_key"]
    return key


def everything(web: httpx.Client, service: str, user_id: str) -> list[str]:
    """A file of every purpose, one in a folder, one under its name."""
    made = [kept(web, service, user_id, **spec) for spec in SPECS]
    made += [kept_in(web, service, user_id, folder).json()["key"] for folder in ("", "lectures/2026")]
    return [*made, kept_under_its_name(web, service, user_id, "보고서.pdf")]


def listed(
    web: httpx.Client, service: str, headers: dict[str, str], prefix: str = "", max_keys: int = 1000
) -> list[str]:
    """All keys of all pages; no page is longer than was asked for."""
    found: list[str] = []
    token: str | None = None
    while True:
        given = {"continuation_token": token} if token else {}
        answer = web.get(f"{service}{FILES}", params={"prefix": prefix, "max_keys": max_keys, **given}, headers=headers)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["files"]) <= max_keys
        found += [each["key"] for each in answer.json()["files"]]
        token = answer.json()["next_token"]
        if token is None:
            return found


def without_id(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "request_id"}


def test_a_file_of_any_purpose_is_its_owners_alone(store: Store, closed: str, web: httpx.Client, user: str) -> None:
    for key in everything(web, closed, user):
        path = quote(key)
        absent = quote(key.replace(keys.owner_tag(user), keys.owner_tag(f"not {user}")))
        for method, route in KEYED:
            url = closed + route.format(path)
            theirs = problem(web.request(method, url, headers=as_user("mallory")), 404, "object-missing")
            missing = problem(
                web.request(method, closed + route.format(absent), headers=as_user("mallory")), 404, "object-missing"
            )
            assert without_id(theirs) == without_id(missing)
            problem(web.request(method, url), 401, "token-missing")
            problem(web.request(method, url, headers=as_user(user, "mint")), 403, "scope-missing")
        assert store.head(key) is not None
        read = web.get(f"{closed}/images/{path}", headers=as_user(user)).json()["url"]
        assert web.get(read).content == b"12345"
        assert web.get(f"{closed}{FILE}/{path}/exists", headers=as_user("root", "admin")).json()["exists"] is True
        assert web.delete(f"{closed}/images/{path}", headers=as_user(user)).status_code == 204
        assert store.head(key) is None


@pytest.mark.parametrize("folder", ["users", "users/alice", "users/alice/0f", "/users/", "users//"])
def test_no_user_stores_into_a_folder_that_looks_like_another_users(
    closed: str, web: httpx.Client, folder: str
) -> None:
    # A user id that would pass for an id in a key, with the owner tag of alice.
    plotter = keys.new_id("alice")
    problem(kept_in(web, closed, plotter, folder), 400, "invalid-key")


def test_a_name_or_folder_that_looks_like_another_users_id_does_not_change_the_owner(
    closed: str, web: httpx.Client, user: str
) -> None:
    looks = keys.new_id("alice")
    for key in (
        kept_under_its_name(web, closed, user, looks),
        kept_in(web, closed, user, f"lectures/alice/{looks}").json()["key"],
        kept(web, closed, looks, purpose="profile"),
        kept(web, closed, looks, purpose="audio", filename="a.mp3", contentType="audio/mpeg",
             metadata={"class_id": looks}),
    ):  # fmt: skip
        problem(web.get(f"{closed}/images/{quote(key)}", headers=as_user("alice")), 404, "object-missing")


def test_an_object_stored_past_the_service_belongs_to_the_user_of_its_owner_tag(
    store: Store, closed: str, web: httpx.Client
) -> None:
    folder = f"imported-{secrets.token_hex(4)}"
    store.write(f"{folder}/ownerless.jpg", b"x")
    store.s3.put_object(
        Bucket=store.bucket, Key=f"{folder}/seven.jpg", Body=b"x", Metadata={"owner-mark": keys.owner_tag("7")}
    )
    # Another program's users have the same numbers and are not ours.
    store.s3.put_object(Bucket=store.bucket, Key=f"{folder}/foreign.jpg", Body=b"x", Metadata={"user_id": "7"})
    for who, name, status in (
        (as_user("7"), "seven.jpg", 200),
        (as_user("8"), "seven.jpg", 404),
        (as_user(folder), "ownerless.jpg", 404),
        (as_user("7"), "missing.jpg", 404),
        (as_user("7"), "foreign.jpg", 404),
        (as_user("root", "admin"), "ownerless.jpg", 200),
    ):
        for path in (f"/images/{folder}/{name}", f"{FILE}/{folder}/{name}/url", f"{FILE}/{folder}/{name}/exists"):
            assert web.get(closed + path, headers=who).status_code == status, (path, who)
    problem(web.delete(f"{closed}/images/{folder}/seven.jpg", headers=as_user("8")), 404, "object-missing")
    assert web.delete(f"{closed}/images/{folder}/seven.jpg", headers=as_user("7")).status_code == 204


@pytest.mark.full
def test_a_listing_shows_a_user_what_is_theirs_and_an_administrator_everything(
    store: Store, closed: str, web: httpx.Client, user: str
) -> None:
    mine, others = everything(web, closed, user), everything(web, closed, f"{user}2")
    folder = next(key for key in mine if key.startswith("lectures/"))
    store.write(f"audio/{secrets.token_hex(4)}.mp3", b"another user's")
    for max_keys in (1, 3, 1000):
        assert listed(web, closed, as_user(user), max_keys=max_keys) == sorted({*mine} - {folder})
    assert listed(web, closed, as_user(user), "lectures/") == [folder]
    assert listed(web, closed, as_user(user), "lect", 1) == [folder]
    for key in {*mine} - {folder}:
        for cut in (len(key), len(key) - 1, len(key) - 40, key.index("/") + 1):
            assert key in listed(web, closed, as_user(user), key[:cut])
    assert listed(web, closed, as_user(user), others[2]) == []
    assert {*mine, *others} <= {*listed(web, closed, as_user("root", "admin"))}
    problem(web.get(f"{closed}{FILES}", headers=as_user(user, "mint")), 403, "scope-missing")


def test_a_page_among_others_files_ends_early_and_goes_on(
    store: Store, closed: str, web: httpx.Client, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = f"shared-{secrets.token_hex(4)}"
    mine = []
    for number in range(12):
        who = user if number % 4 == 3 else "another"
        key = f"{folder}/{number:02}/{keys.new_id(who)}"
        store.write(key, b"x")
        mine += [key] if who == user else []
    monkeypatch.setattr(listing, "LIST_CALLS_MAX", 1)
    monkeypatch.setattr(listing, "LIST_MAX_KEYS", 2)
    first = web.get(f"{closed}{FILES}", params={"prefix": folder}, headers=as_user(user)).json()
    assert first["files"] == []
    assert first["next_token"]
    assert listed(web, closed, as_user(user), folder) == mine
    assert listed(web, closed, as_user(user), folder, 1) == mine


def test_without_sign_in_locally_all_but_users_files_are_visible_to_every_user(
    store: Store, service: str, web: httpx.Client, user: str
) -> None:
    folder = f"open-{secrets.token_hex(4)}"
    free = f"{folder}/free.jpg"
    store.write(free, b"x")
    own = kept_in(web, service, user, folder).json()["key"]
    assert web.get(f"{service}{FILE}/{free}/exists").json()["exists"] is True
    assert listed(web, service, {}, folder) == [free]
    assert listed(web, service, as_user(user), folder) == sorted([free, own])
    for method, route in KEYED:
        problem(web.request(method, service + route.format(quote(own))), 404, "object-missing")


def test_the_prefixes_of_a_user_are_disjoint_and_hold_every_key_that_can_be_made() -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    prefixes = listing.prefixes_of("7", "", now, PURPOSES)
    assert [each.prefix for each in prefixes] == sorted(each.prefix for each in prefixes)
    assert len(prefixes) <= limits.LIST_CALLS_MAX
    for one in prefixes:
        assert [other for other in prefixes if other is not one and other.prefix.startswith(one.prefix)] == []
    for purpose in PURPOSES.named.values():
        for back in (0, purpose.kept_days or 0):
            made = keys.make(purpose, user_id="7", ext="bin", class_id="c", now=now - timedelta(days=back))
            assert any(made.startswith(each.prefix) for each in prefixes), made
