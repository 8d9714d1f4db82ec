"""The routes that list, describe and delete: what they refuse, and what they make of S3's silence and refusals."""

import base64
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

import httpx
import jwt
import pytest

from image_upload.domain import keys
from image_upload.errors import ValidationFailed
from image_upload.library import pages
from image_upload.outbound import retry
from image_upload.s3 import time_limits
from image_upload.settings import load
from local.embedded_s3 import BUCKET, EmbeddedS3
from local.service import local_environ
from tests.conftest import Mint, problem, serving
from tests.faults.hostile import HostileStore, answering, hostile_store, raw, stalling
from tests.raw import ask

FILES = "/api/v1/s3/files"
FILE = "/api/v1/s3/file"
SECRET = "a-secret-of-more-than-thirty-two-bytes"
# Every route that takes a key in its path: method, and what stands around the key.
KEYED = [
    ("GET", "/images/", ""),
    ("GET", "/images/", "/metadata"),
    ("DELETE", "/images/", ""),
    ("GET", f"{FILE}/", "/url"),
    ("GET", f"{FILE}/", "/metadata"),
    ("GET", f"{FILE}/", "/exists"),
    ("DELETE", f"{FILE}/", ""),
]
SMALL_CALLS = [
    ("GET", f"{FILE}/a/exists"),
    ("GET", f"{FILE}/a/metadata"),
    ("GET", "/images/a/metadata"),
    ("GET", FILES),
    ("DELETE", f"{FILE}/a"),
    ("DELETE", "/images/a"),
]


@pytest.fixture
def stored(mint: Mint, web: httpx.Client, jpeg: bytes) -> str:
    plan = mint()
    assert web.put(plan["presignedUrl"], content=jpeg, headers=plan["headers"]).status_code == 200
    key: str = plan["objectKey"]
    return key


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "before", "after"), KEYED)
@pytest.mark.parametrize(
    "key",
    [
        "a/../b",
        "..",
        "a/..",
        "a/./b",
        "%2e%2e/b",
        "a/%2E%2e/b",
        "a%2f..%2fb",
        "a/%252e%252e/b",
        "a%252f..%252fb",
        "a/%25252e%25252e/b",
        "%2fetc",
        "/etc",
        "%255cserver",
        "a%5cb",
        "a/%00",
        "a%09b",
        "a%0ab",
        "a%0d%0a",
        "%ff",
        "x" * 1025,
    ],
)
def test_a_key_that_climbs_is_refused_however_it_is_written(
    service: str, method: str, before: str, after: str, key: str
) -> None:
    answer = ask(method, service, f"{before}{key}{after}")
    assert (answer.status, answer.code) == (400, "invalid-key")


def test_a_key_is_decoded_exactly_once(service: str) -> None:
    for target, key in (
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("a%25252Fb", "a%252Fb"),
        ("100%25", "100%"),
        ("a+b", "a+b"),
        ("a%2Bb", "a+b"),
        ("a%20b", "a b"),
        ("%EA%B3%A0", "고"),
        ("a//b", "a//b"),
        ("a;b=c", "a;b=c"),
    ):
        answer = ask("GET", service, f"{FILE}/{target}/url")
        assert answer.document["key"] == key
        assert unquote(urlsplit(answer.document["url"]).path) == f"/{BUCKET}/{key}"


def test_a_word_at_the_end_of_a_path_belongs_to_the_route(service: str, web: httpx.Client, jpeg: bytes) -> None:
    minted = web.post(f"{service}/files/upload-url", params={"filename": "metadata"}).json()
    assert web.put(minted["presigned_url"], content=jpeg, headers=minted["headers"]).status_code == 200
    key = minted["object_key"]
    outer = key.removesuffix("/metadata")
    # It describes the folder's name, which is no object …
    problem(web.get(f"{service}/images/{key}"), 404, "object-missing")
    # … and the word is there twice for the object itself.
    assert web.get(f"{service}/images/{key}/metadata").json()["key"] == key
    assert web.get(web.get(f"{service}{FILE}/{key}/url").json()["url"]).content == jpeg
    assert web.get(f"{service}{FILE}/{outer}/exists").json()["exists"] is False
    assert web.delete(f"{service}/images/{key}").status_code == 204
    assert web.get(f"{service}{FILE}/{key}/exists").json()["exists"] is False


@pytest.mark.parametrize(
    ("path", "takes"), [(f"{FILE}/a", "DELETE"), ("/images/a", "DELETE, GET"), ("/images/a/metadata", "DELETE, GET")]
)
def test_a_path_says_which_methods_it_takes(service: str, web: httpx.Client, path: str, takes: str) -> None:
    response = web.put(service + path)
    assert problem(response, 405, "method-not-allowed")["detail"].endswith(f"takes: {takes}.")
    assert response.headers["allow"] == takes


# --- what is asked --------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["0", "604801", "-1", "x", "1.5", ""])
def test_a_life_time_that_s3_would_refuse_is_refused(service: str, web: httpx.Client, value: str) -> None:
    told = problem(web.get(f"{service}{FILE}/a/url", params={"expires_in": value}), 422, "validation-failed")
    assert told["errors"][0]["field"] == "expires_in"


@pytest.mark.parametrize("value", ["1", "604800"])
def test_a_url_lives_as_long_as_was_asked_for(service: str, web: httpx.Client, value: str) -> None:
    answer = web.get(f"{service}{FILE}/a/url", params={"expires_in": value}).json()
    assert answer["expires_in"] == int(value)
    assert f"X-Amz-Expires={value}&" in answer["url"]


def test_a_url_lives_an_hour_if_nothing_is_asked(service: str, web: httpx.Client) -> None:
    assert web.get(f"{service}{FILE}/a/url").json()["expires_in"] == 3600


@pytest.mark.parametrize("name", ["../cat.jpg", "a\x00b", "a\r\nb", "c" * 256, "", "..%2Fa"])
def test_a_download_name_that_is_none_is_refused(service: str, web: httpx.Client, name: str) -> None:
    problem(web.get(f"{service}{FILE}/a/url", params={"filename": name}), 400, "invalid-filename")


@pytest.mark.parametrize("value", ["0", "1001", "-1", "x"])
def test_a_page_has_one_to_a_thousand_objects(service: str, web: httpx.Client, value: str) -> None:
    problem(web.get(service + FILES, params={"max_keys": value}), 422, "validation-failed")


@pytest.mark.parametrize("prefix", ["/etc", "a/../b", "a\\b", "a\x00", "x" * 1025, "%2e%2e/"])
def test_a_prefix_that_is_none_is_refused(service: str, web: httpx.Client, prefix: str) -> None:
    problem(web.get(service + FILES, params={"prefix": prefix}), 400, "invalid-key")


def pages_of(s3: EmbeddedS3, **environ: str) -> pages.PageTokens:
    return pages.PageTokens(load(local_environ({}, s3.environ) | environ).auth)


def test_a_token_shows_nothing_of_the_key_in_it(s3: EmbeddedS3) -> None:
    tokens = pages_of(s3, JWT_SECRET=SECRET)
    made = [tokens.issue(key, "7", "f/") for key in ("f/a", "f/a", "f/of-somebody-else")]
    assert len(set(made)) == 3, "not even that two of them are alike"
    assert len({len(each) for each in made}) == 1, "nor how long it is"
    for each in made:
        text = each.partition(".")[2]
        assert b"f/" not in base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("key", ["f/a", "f/" + "한" * 340, "f/\x00\ufffd", "f/" + "a" * 126])
def test_a_token_leads_back_to_its_key_in_every_process_with_the_secret(s3: EmbeddedS3, key: str) -> None:
    token = pages_of(s3, JWT_SECRET=SECRET).issue(key, "7", "f/")
    assert pages_of(s3, JWT_SECRET=SECRET).read(token, "7", "f/") == key
    assert pages_of(s3, JWT_SECRET="n" * 32, JWT_PREVIOUS_SECRET=SECRET).read(token, "7", "f/") == key


def test_a_token_is_of_no_use_to_another_user_for_another_prefix_or_changed(s3: EmbeddedS3) -> None:
    tokens = pages_of(s3, JWT_SECRET=SECRET)
    token = tokens.issue("f/a", "7", "f/")
    last = "A" if token[-1] != "A" else "Q"
    tries = [
        (token, "8", "f/"),
        (token, "", "f/"),
        (token, "7", ""),
        (token, "7", "f/a"),
        (token[:-1] + last, "7", "f/"),
    ]
    tries += [(token + "A", "7", "f/"), (token[:-4], "7", "f/"), (token.removeprefix("upk1."), "7", "f/")]
    for text, user, prefix in tries:
        with pytest.raises(ValidationFailed):
            tokens.read(text, user, prefix)
    with pytest.raises(ValidationFailed):
        pages_of(s3, JWT_SECRET="n" * 32).read(token, "7", "f/")


def test_without_a_secret_a_token_is_good_in_its_own_process(s3: EmbeddedS3) -> None:
    tokens = pages_of(s3, JWT_SECRET="")
    token = tokens.issue("f/a", "7", "f/")
    assert tokens.read(token, "7", "f/") == "f/a"
    with pytest.raises(ValidationFailed):
        pages_of(s3, JWT_SECRET="").read(token, "7", "f/")


@pytest.mark.parametrize(
    "token", ["", "x", "upk1.", "upk1.!!!", "upk1." + "A" * 20, "upk1." + "A" * 1400, "A" * 9000, "고"]
)
def test_a_token_that_is_none_of_ours_is_refused(service: str, web: httpx.Client, token: str) -> None:
    response = web.get(service + FILES, params={"prefix": "f/", "continuation_token": token})
    assert problem(response, 422, "validation-failed")["errors"][0]["field"] == "continuation_token"


def test_a_token_ends_where_the_objects_do(service: str, web: httpx.Client, stored: str) -> None:
    answer = web.get(service + FILES, params={"prefix": stored, "max_keys": 1}).json()
    assert [each["key"] for each in answer["files"]] == [stored]
    assert answer["next_token"] is None


# --- who may --------------------------------------------------------------------------------------


def production(s3: EmbeddedS3, **environ: str) -> Iterator[str]:
    """A service as in production, but for TLS to its S3."""
    wanted = {**local_environ({}, s3.environ), "JWT_SECRET": SECRET, **environ, "ENVIRONMENT": "production"}
    settings = load({name: value for name, value in wanted.items() if not name.startswith("AWS_S3_")})
    with serving(settings.replaced(s3_endpoint_url=s3.endpoint_url)) as url:
        yield url


@pytest.fixture(scope="module")
def open_to_all(s3: EmbeddedS3) -> Iterator[str]:
    yield from production(s3, AUTH_REQUIRED="false")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/images/KEY", 200),
        ("GET", f"{FILE}/KEY/url", 200),
        ("GET", f"{FILE}/KEY/exists", 200),
        ("GET", FILES, 401),
        ("DELETE", "/images/KEY", 401),
        ("DELETE", f"{FILE}/KEY", 401),
    ],
)
def test_in_production_strangers_neither_list_nor_delete_even_where_no_token_is_required(
    open_to_all: str, web: httpx.Client, method: str, path: str, status: int
) -> None:
    strangers, users = (path.replace("KEY", f"uploads/{keys.new_id(name)}.jpg") for name in ("anonymous", "7"))
    assert web.request(method, open_to_all + strangers).status_code == status
    claims = {"sub": "7", "exp": datetime.now(UTC) + timedelta(minutes=1)}
    token = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}
    assert web.request(method, open_to_all + users, headers=token).status_code in (200, 204)


# --- S3 that does not answer well -----------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileStore]:
    with hostile_store() as store:
        yield store


@pytest.fixture(scope="module")
def before_hostile(hostile: HostileStore) -> Iterator[str]:
    with serving(load(local_environ({}, EmbeddedS3(hostile.endpoint_url).environ))) as url:
        yield url


@pytest.fixture
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.02)


@pytest.fixture
def hasty(soon_again: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a store that says nothing. One that answers may take longer than this on a busy machine."""
    monkeypatch.setattr(time_limits, "CONTROL", time_limits.CONTROL._replace(head_s=0.3))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(("method", "path"), SMALL_CALLS)
def test_silence_is_no_absence_but_a_504(
    hostile: HostileStore, before_hostile: str, web: httpx.Client, method: str, path: str
) -> None:
    hostile.play(stalling, stalling, stalling)
    began = time.monotonic()
    problem(web.request(method, before_hostile + path), 504, "storage-timed-out")
    assert time.monotonic() - began < 5
    hostile.end()


@pytest.mark.usefixtures("soon_again")
@pytest.mark.parametrize(("method", "path"), SMALL_CALLS)
@pytest.mark.parametrize(("answer", "code"), [(raw(503), "storage-unavailable"), (raw(403), "storage-denied")])
def test_a_failure_is_no_absence(
    hostile: HostileStore, before_hostile: str, web: httpx.Client, method: str, path: str, answer: bytes, code: str
) -> None:
    hostile.play(*[answering(answer)] * 3)
    problem(web.request(method, before_hostile + path), 502, code)
    hostile.end()


@pytest.mark.parametrize(
    ("off_s", "code", "is_clock"),
    [
        (-1200, "SignatureDoesNotMatch", True),
        (-120, "AccessDenied", True),  # the URL of the call has ended for S3
        (-30, "AccessDenied", False),
        (0, "RequestTimeTooSkewed", True),
        (600, "AccessDenied", False),
        (1200, "AccessDenied", True),
    ],
)
def test_a_clock_that_is_wrong_is_told_as_such_and_not_as_a_missing_right(
    hostile: HostileStore, before_hostile: str, web: httpx.Client, off_s: int, code: str, is_clock: bool
) -> None:
    date = formatdate(time.time() - off_s, usegmt=True)
    said = f"<Error><Code>{code}</Code><Message>Access Denied</Message></Error>".encode()
    hostile.play(answering(raw(403, f"Date: {date}", body=said)))
    told = problem(web.get(before_hostile + FILES), 502, "storage-denied")
    assert told["upstream_code"] == code
    assert ("clock" in told["detail"], "action" in told) == (is_clock, not is_clock)
    assert not is_clock or abs(told["clock_off_s"] - off_s) < 30
    hostile.end()


def test_the_action_that_s3_itself_names_is_the_one_that_is_told(
    hostile: HostileStore, before_hostile: str, web: httpx.Client
) -> None:
    said = (
        "<Error><Code>AccessDenied</Code><Message>User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: "
        "kms:Decrypt on resource: arn:aws:kms:eu-north-1:1:key/0 because …</Message></Error>"
    ).encode()
    hostile.play(answering(raw(403, body=said)))
    told = problem(web.get(before_hostile + FILES), 502, "storage-denied")
    assert (told["action"], told["upstream_code"]) == ("kms:Decrypt", "AccessDenied")
    assert "kms:Decrypt" in told["detail"]
    assert not re.search("assumed-role|arn:", str(told)), "whose role it is, is the operator's affair"
    hostile.end()


@pytest.mark.parametrize("body", [b"", b"no XML", b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", b"<a><b></a>"])
def test_an_answer_that_is_no_listing_is_no_empty_listing(
    hostile: HostileStore, before_hostile: str, web: httpx.Client, body: bytes
) -> None:
    hostile.play(*[answering(raw(200, body=body))] * 2)
    problem(web.get(before_hostile + FILES), 502, "storage-unavailable")
    hostile.end()


def test_a_store_that_says_404_to_a_delete_has_done_it(
    hostile: HostileStore, before_hostile: str, web: httpx.Client
) -> None:
    hostile.play(answering(raw(404, body=b"<Error><Code>NoSuchKey</Code></Error>")))
    assert web.delete(f"{before_hostile}/images/a").status_code == 204
    hostile.play(answering(raw(404, body=b"<Error><Code>NoSuchBucket</Code></Error>")))
    problem(web.delete(f"{before_hostile}/images/a"), 502, "storage-unavailable")
    hostile.end()


@pytest.mark.parametrize("size", ["9" * 5000, "-1", "x", "", "٣"])
def test_a_listing_whose_numbers_are_none_is_no_listing(
    hostile: HostileStore, before_hostile: str, web: httpx.Client, size: str
) -> None:
    said = f"<ListBucketResult><Contents><Key>uploads/a</Key><Size>{size}</Size></Contents></ListBucketResult>"
    hostile.play(*[answering(raw(200, body=said.encode()))] * 2)
    problem(web.get(before_hostile + FILES), 502, "storage-unavailable")
    hostile.end()


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: " + "9" * 5000,),
        ("Content-Length: 5", "Last-Modified: Wed, 21 Oct 99999999999999999999 07:28:00 GMT"),
        ("Content-Length: 5", "Last-Modified: Wed, 21 Oct 2026 07:28:00 +99999999999999999999"),
    ],
)
def test_an_object_whose_numbers_are_none_is_a_fault_of_the_store(
    hostile: HostileStore, before_hostile: str, web: httpx.Client, headers: tuple[str, ...]
) -> None:
    said = "\r\n".join(["HTTP/1.1 200 OK", *headers, "Connection: close", "", ""]).encode()
    hostile.play(*[answering(said)] * 3)
    problem(web.get(f"{before_hostile}{FILE}/a/metadata"), 502, "storage-unavailable")
