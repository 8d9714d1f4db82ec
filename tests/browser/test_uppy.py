"""Uppy 5 and 6, the packages as they are published, against this service and a strict S3."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from image_upload.domain.shipped_purposes import PURPOSES
from tests.browser.conftest import Stored, token_of
from tests.browser.driving import Outcome, Sent, Uppy
from tests.browser.storage import Storage

pytestmark = pytest.mark.needs("chromium", "node", "localstack")

MIB = 1024 * 1024
# What only the service decides, or the failure that the test puts in the place of an answer, need not be asked twice.
on_localstack = pytest.mark.parametrize("storage", ["localstack"], indirect=True, scope="session")
SMALL = {"size": 1_000_000, "multipart": False}
PARTS = {"size": 30 * MIB, "multipart": True}
THREE_PARTS = {"size": 15 * MIB, "multipart": True}
LARGEST = PURPOSES.named["profile"].max_bytes
# Halfway through the third of six parts. Without a limit Uppy 5 has all six under way at once, and none is done yet.
MIDDLE = {**PARTS, "actAtBytes": 12.5 * MIB, "bytesPerSecond": 20 * MIB, "plugin": {"limit": 2}}


@pytest.fixture(autouse=True)
def nothing_left(storage: Storage) -> Iterator[None]:
    """A test that fails leaves no open upload to the next."""
    yield
    storage.abort_all()


def query(sent: Sent) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(sent.url).query).items()}


def part_numbers(sent: list[Sent]) -> list[int]:
    return sorted(int(query(put)["partNumber"]) for put in sent)


def signed_headers(outcome: Outcome) -> set[str]:
    return {query(put)["X-Amz-SignedHeaders"] for put in outcome.puts()}


def shown(uppy: Uppy, refusal: Sent, code: str) -> str:
    """What Uppy shows of a refusal by the service; version 6 nothing of what the service says."""
    problem = json.loads(refusal.response or "")
    assert problem["code"] == code
    detail: str = problem["detail"]
    return detail if uppy.major == 5 else "Companion request failed: Bad Request"


# --- the five scenarios ---------------------------------------------------------------------------


def test_a_small_file_goes_as_a_form(uppy: Uppy, storage: Storage, stored: Stored, user: str) -> None:
    if uppy.major == 5 and storage.name == "ceph":
        pytest.skip("Uppy 5 waits for ever for the ETag header that Ceph 16 does not put into its answer to a form")
    outcome = uppy.upload(token_of(user), **SMALL)
    key = stored(outcome)
    assert outcome.success["key"] == key
    assert outcome.success["uploadURL"].endswith(f"/{key}")
    assert storage.content_type(key) == "application/octet-stream"
    assert [(sent.method, sent.status) for sent in outcome.to_service] == [("GET", 200)]
    assert [(sent.method, sent.status) for sent in outcome.to_s3] == [("POST", 201)]


def test_a_large_file_goes_in_parts_of_signed_length(uppy: Uppy, storage: Storage, stored: Stored, user: str) -> None:
    outcome = uppy.upload(token_of(user), **PARTS)
    key = stored(outcome)
    assert outcome.success["key"] == key
    assert outcome.success["uploadURL"].endswith(f"/{key}")
    assert storage.content_type(key) == "application/octet-stream"
    assert part_numbers(outcome.puts()) == [1, 2, 3, 4, 5, 6]
    assert signed_headers(outcome) == {"content-length;host"}
    assert {put.headers["content-length"] for put in outcome.puts()} == {str(5 * MIB)}
    assert len(outcome.to("POST /s3/multipart")) == len(outcome.to("POST /s3/multipart/*/complete")) == 1
    assert len(outcome.to("GET /s3/multipart/*/*")) == 6


@on_localstack
def test_the_token_goes_where_the_version_can_put_it_and_never_to_s3(uppy: Uppy, stored: Stored, user: str) -> None:
    token = token_of(user)
    outcome = uppy.upload(token, **THREE_PARTS)
    stored(outcome)
    sent = {(call.headers.get("authorization"), f"/u/{token}/s3/" in call.url) for call in outcome.to_service}
    assert sent == {(f"Bearer {token}", False) if uppy.major == 5 else (None, True)}
    assert [call for call in outcome.to_s3 if "authorization" in call.headers or token in call.url] == []


def test_a_paused_upload_goes_on_where_it_was(uppy: Uppy, stored: Stored, user: str) -> None:
    outcome = uppy.upload(token_of(user), **MIDDLE, action="pause")
    stored(outcome)
    assert outcome.success
    (listing,) = outcome.to("GET /s3/multipart/*")
    kept = {part["PartNumber"] for part in json.loads(listing.response or "")}
    assert kept, "nothing had arrived before the pause"
    before, after = outcome.sent[: outcome.sent.index(listing)], outcome.sent[outcome.sent.index(listing) :]
    assert [sent for sent in before if sent.method == "PUT" and sent.status is None], "nothing was under way"
    assert set(part_numbers([sent for sent in after if sent.method == "PUT"])) == {1, 2, 3, 4, 5, 6} - kept


@pytest.mark.parametrize("action", ["cancel", "remove"])
def test_a_cancelled_upload_is_gone(uppy: Uppy, storage: Storage, user: str, action: str) -> None:
    outcome = uppy.upload(token_of(user), **MIDDLE, action=action, deletes=True)
    assert [call.status for call in outcome.to("DELETE /s3/multipart/*")] == [200]
    assert outcome.puts(), "nothing had arrived before"
    assert outcome.to("POST /s3/multipart/*/complete") == []
    assert storage.open_uploads() == []
    assert storage.keys(f"files/{user}/") == []


@on_localstack
@pytest.mark.parametrize("how", [500, "reset"])
def test_a_part_that_fails_is_sent_again(uppy: Uppy, stored: Stored, user: str, how: Any) -> None:
    fail = {"match": "partNumber=2", "method": "PUT", "how": how, "times": 1}
    outcome = uppy.upload(token_of(user), **THREE_PARTS, fail=fail)
    stored(outcome)
    assert outcome.success
    tries = [sent for sent in outcome.to_s3 if sent.method == "PUT" and query(sent)["partNumber"] == "2"]
    assert [sent.status for sent in tries] == [None if how == "reset" else 500, 200]
    # Version 5 has it signed once more, version 6 uses the same URL.
    assert len(outcome.to("GET /s3/multipart/*/2")) == (2 if uppy.major == 5 else 1)


@on_localstack
def test_a_part_that_is_refused_ends_the_upload_and_retrying_saves_it(uppy: Uppy, stored: Stored, user: str) -> None:
    fail = {"match": "partNumber=2", "method": "PUT", "how": 403, "times": 1}
    outcome = uppy.upload(token_of(user), **THREE_PARTS, fail=fail, retry=True, deletes=uppy.major == 5)
    assert outcome.error
    stored(outcome)
    assert outcome.success
    # Version 5 gives the upload up and starts another one, version 6 asks what S3 has and goes on.
    creates, lists = outcome.to("POST /s3/multipart"), outcome.to("GET /s3/multipart/*")
    assert (len(creates), len(lists)) == ((2, 0) if uppy.major == 5 else (1, 1))
    assert [call.status for call in outcome.to("DELETE /s3/multipart/*")] == ([200] if uppy.major == 5 else [])


# --- what the file's metadata says ----------------------------------------------------------------


@on_localstack
def test_parts_of_another_length_are_signed_too(uppy: Uppy, stored: Stored, user: str) -> None:
    outcome = uppy.upload(token_of(user), **THREE_PARTS, chunkSize=7_000_000, meta={"chunkSize": 7_000_000})
    stored(outcome)
    assert signed_headers(outcome) == {"content-length;host"}
    assert sorted(int(put.headers["content-length"]) for put in outcome.puts()) == [1_728_640, 7_000_000, 7_000_000]


@on_localstack
def test_parts_of_a_length_that_was_not_told_are_refused_by_s3(uppy: Uppy, storage: Storage, user: str) -> None:
    outcome = uppy.upload(token_of(user), **THREE_PARTS, chunkSize=7_000_000, deletes=uppy.major == 5)
    assert outcome.error
    assert outcome.puts() == []
    assert storage.keys(f"files/{user}/") == []


@on_localstack
def test_without_a_size_no_length_is_signed(uppy: Uppy, stored: Stored, user: str) -> None:
    outcome = uppy.upload(token_of(user), **THREE_PARTS, plugin={"allowedMetaFields": ["name", "type", "purpose"]})
    stored(outcome)
    assert signed_headers(outcome) == {"host"}


@on_localstack
@pytest.mark.parametrize("multipart", [False, True])
def test_a_file_of_untold_size_above_the_limit_does_not_stay(
    uppy: Uppy, storage: Storage, user: str, multipart: bool
) -> None:
    outcome = uppy.upload(
        token_of(user),
        size=LARGEST + 1,
        name="me.jpg",
        type="image/jpeg",
        multipart=multipart,
        meta={"purpose": "profile", "size": None},
    )
    if multipart:
        (refusal,) = outcome.to("POST /s3/multipart/*/complete")
        assert outcome.error == shown(uppy, refusal, "file-too-large")
    else:
        assert {sent.status for sent in outcome.to_s3} == {400}
        assert outcome.error
    assert storage.keys(f"profiles/{user}/") == []
    assert storage.open_uploads() == []


@on_localstack
def test_metadata_that_a_file_does_not_have_is_no_obstacle(uppy: Uppy, stored: Stored, user: str) -> None:
    allowed = {"allowedMetaFields": ["size", "purpose", "chunkSize", "class_id", "caption"]}
    stored(uppy.upload(token_of(user), **SMALL, plugin=allowed, meta={"caption": None}))


@on_localstack
def test_a_form_with_more_or_fewer_bytes_than_told_is_refused_by_s3(uppy: Uppy, storage: Storage, user: str) -> None:
    for told in (SMALL["size"] - 1, SMALL["size"] + 1):
        outcome = uppy.upload(token_of(user), **SMALL, meta={"size": told})
        assert outcome.error
        assert {sent.status for sent in outcome.to_s3} == {400}
        assert storage.keys(f"files/{user}/") == []


@on_localstack
@pytest.mark.parametrize("multipart", [False, True])
def test_a_purpose_with_a_class_and_a_name_in_hangul(
    uppy: Uppy, storage: Storage, stored: Stored, user: str, multipart: bool
) -> None:
    outcome = uppy.upload(
        token_of(user),
        size=1_000_000,
        multipart=multipart,
        name="수업 녹음 & 1+1.m4a",
        type="audio/mp4",
        meta={"purpose": "audio", "class_id": user},
    )
    key = stored(outcome, f"audio/{user}/")
    assert key.endswith(".m4a")
    assert storage.content_type(key) == "audio/mp4"


# --- what is refused before a byte is sent --------------------------------------------------------


TOO_LARGE = (LARGEST + 1, "me.jpg", "image/jpeg", "file-too-large")
WRONG_TYPE = (1_000, "me.pdf", "application/pdf", "unsupported-file-type")
WRONG_NAME = (1_000, "me.png", "image/jpeg", "unsupported-file-type")


@on_localstack
@pytest.mark.parametrize(
    ("multipart", "case"),
    [(False, TOO_LARGE), (True, TOO_LARGE), (False, WRONG_NAME), (True, WRONG_TYPE)],
    ids=["too-large", "too-large-parts", "wrong-name", "wrong-type-parts"],
)
def test_what_the_purpose_does_not_take_is_refused_before_a_byte_is_sent(
    uppy: Uppy, user: str, multipart: bool, case: tuple[int, str, str, str]
) -> None:
    size, name, content_type, code = case
    outcome = uppy.upload(
        token_of(user), size=size, name=name, type=content_type, multipart=multipart, meta={"purpose": "profile"}
    )
    (refusal,) = outcome.sent
    assert refusal.status == 400
    assert outcome.error == shown(uppy, refusal, code)


@on_localstack
@pytest.mark.parametrize(("case", "file"), [("expired", SMALL), ("foreign", THREE_PARTS), ("missing", SMALL)])
def test_without_a_valid_token_nothing_is_sent_and_uppy_says_so(
    uppy: Uppy, user: str, case: str, file: dict[str, Any]
) -> None:
    token = {
        "expired": token_of(user, lives_s=-60),
        "foreign": token_of(user, secret="somebody-else's-secret-of-some-length"),
        "missing": None,
    }[case]
    outcome = uppy.upload(token, **file)
    (refusal,) = outcome.sent
    assert refusal.status == 401
    assert ("Authorization required" if uppy.major == 5 else "Companion request failed: Unauthorized") in outcome.error


# --- CORS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("uppy", [6], indirect=True)
def test_the_bucket_s_cors_rules_are_what_lets_the_browser_through(
    uppy: Uppy, storage: Storage, cors_rules: list[dict[str, Any]], user: str
) -> None:
    """Otherwise the rules of docs/uppy.md would prove nothing here. Uppy 5 waits for ever for a hidden ETag."""
    (rule,) = cors_rules
    try:
        storage.allow([rule | {"ExposeHeaders": ["Location"]}])
        assert "Missing ETag" in uppy.upload(token_of(user), **THREE_PARTS).error
        storage.allow([rule | {"AllowedOrigins": ["https://elsewhere.example"]}])
        outcome = uppy.upload(token_of(user), **SMALL)
        assert outcome.error
        assert {sent.status for sent in outcome.to_s3} == {None}
    finally:
        storage.allow(cors_rules)
