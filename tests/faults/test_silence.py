"""An S3 that accepts connections and says nothing: every call without a file ends within one limit.

The limits are shorter here, and the same for all: what a client waits for is counted in them.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from image_upload.database.migration import migrate
from image_upload.limits import S3_ANSWER_TIMEOUT_S, S3_ATTEMPT_TIMEOUT_S, S3_LOOK_TIMEOUT_S
from image_upload.outbound import retry
from image_upload.s3 import multipart, time_limits
from image_upload.settings import load
from image_upload.uploads import multipart as uploads
from local.embedded_s3 import EmbeddedS3
from local.service import local_environ
from tests.conftest import problem, serving
from tests.faults.hostile import Exchange, HostileStore, PeerGone, answering, hostile_store, raw, stalling

# Each waits for a deadline.
pytestmark = pytest.mark.full

IDLE_S, HEAD_S, LOOK_S = 0.2, 0.6, 0.3
# Far less than one of the waits that it is not: 60 s for an answer. The machine may be busy.
WITHIN_S = 8.0

BEGUN = b"<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>"
DONE = b"<CompleteMultipartUploadResult><Key>k</Key></CompleteMultipartUploadResult>"
SIZE = 6_000_000
SPEC = {"filename": "a.bin", "contentType": "application/x-any", "size": SIZE, "purpose": "file"}
PART = {"parts": [{"partNumber": 1, "etag": "e"}]}


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.02)
    control = time_limits.TimeLimit(connect_s=IDLE_S, idle_s=IDLE_S, head_s=HEAD_S)
    monkeypatch.setattr(time_limits, "CONTROL", control)
    monkeypatch.setattr(time_limits, "COMPLETE", control._replace(idle_s=2 * HEAD_S, whole_s=4 * HEAD_S))
    for module in (uploads, multipart):
        monkeypatch.setattr(module, "S3_LOOK_TIMEOUT_S", LOOK_S)


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileStore]:
    with hostile_store() as store:
        yield store


@pytest.fixture(scope="module")
def service(hostile: HostileStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    database = f"sqlite:///{Path(tmp_path_factory.mktemp('silence')) / 'records.db'}"
    settings = load(local_environ({}, EmbeddedS3(hostile.endpoint_url).environ) | {"DATABASE_URL": database})
    migrate(settings.database)
    with serving(settings) as url:
        yield url


def begin(hostile: HostileStore, service: str, web: httpx.Client) -> str:
    """The ticket of an upload that was begun; from then on S3 is silent."""
    hostile.play(answering(raw(200, body=BEGUN)), *[stalling] * 20)
    response = web.post(f"{service}/uploads", json={**SPEC, "accepts": ["multipart"]})
    assert response.status_code == 200, response.text
    return str(response.json()["ticket"])


CALLS: list[tuple[str, str, Any]] = [
    ("POST", "/uploads", {**SPEC, "accepts": ["multipart"]}),
    ("POST", "/posts", {**SPEC, "accepts": ["multipart"]}),
    ("POST", "/s3/multipart", {"filename": "a.bin", "type": "application/x-any", "metadata": {"purpose": "file"}}),
    ("GET", "/uploads/{ticket}", None),
    ("POST", "/uploads/{ticket}/complete", None),
    ("POST", "/uploads/{ticket}/complete", PART),
    ("DELETE", "/uploads/{ticket}", None),
    ("GET", "/s3/multipart/{ticket}", None),
    ("POST", "/s3/multipart/{ticket}/complete", {"parts": [{"PartNumber": 1, "ETag": "e"}]}),
    ("DELETE", "/s3/multipart/{ticket}", None),
    ("GET", "/posts/{post}", None),
    ("POST", "/posts/{post}/complete", None),
    ("GET", "/files/{file}/download-url", None),
    ("POST", "/files/{file}/complete", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_a_silent_s3_is_a_504_in_time(
    hostile: HostileStore, service: str, web: httpx.Client, method: str, path: str, body: Any
) -> None:
    post = web.post(f"{service}/posts", json={**SPEC, "accepts": ["put"]}).json()["id"]
    file = web.post(f"{service}/files/upload-url", params={"filename": "a.bin"}).json()["file_id"]
    ticket = begin(hostile, service, web)
    began = time.monotonic()
    told = web.request(method, service + path.format(ticket=ticket, post=post, file=file), json=body)
    took_s = time.monotonic() - began
    problem(told, 504, "storage-timed-out")
    assert took_s < WITHIN_S
    hostile.end()


def test_all_attempts_and_the_look_afterwards_are_15_seconds() -> None:
    assert S3_ANSWER_TIMEOUT_S + S3_LOOK_TIMEOUT_S <= 15
    assert 2 * S3_ATTEMPT_TIMEOUT_S < S3_ANSWER_TIMEOUT_S, "a second attempt fits"


def test_a_connection_that_was_swallowed_while_it_was_kept_costs_one_attempt(
    hostile: HostileStore, service: str, web: httpx.Client
) -> None:
    def answering_once(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BEGUN), BEGUN))
        exchange.stall()

    hostile.play(answering_once, answering(raw(200, body=BEGUN)), *[answering(raw(200, body=b"<A/>"))] * 3)
    for _ in range(2):
        began = time.monotonic()
        assert web.post(f"{service}/uploads", json={**SPEC, "accepts": ["multipart"]}).status_code == 200
        assert time.monotonic() - began < WITHIN_S
    assert len(hostile.exchanges) == 3, "the first was used twice, then another one; the last looks for what was lost"
    hostile.end()


# --- CompleteMultipartUpload ----------------------------------------------------------------------


def working(spaces: int, then: bytes = b"") -> Any:
    """As AWS does it: the head at once, white space while it works, then the document."""

    def act(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _ in range(spaces):
            if exchange.over.wait(HEAD_S / 3):
                raise PeerGone
            exchange.say(b" ")
        if then:
            exchange.say(then)
        else:
            exchange.stall()

    return act


def complete(service: str, web: httpx.Client, ticket: str) -> httpx.Response:
    return web.post(f"{service}/uploads/{ticket}/complete", json=PART)


def test_a_completion_is_waited_for_while_s3_says_that_it_works(
    hostile: HostileStore, service: str, web: httpx.Client
) -> None:
    ticket = begin(hostile, service, web)
    head = b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: "e"\r\nLast-Modified: %s\r\nConnection: close\r\n\r\n' % (
        SIZE,
        b"Mon, 23 Nov 2026 00:00:00 GMT",
    )
    hostile.play(working(6, DONE), answering(head))
    began = time.monotonic()
    told = complete(service, web, ticket)
    assert (told.status_code, told.json()["size"]) == (200, SIZE)
    assert time.monotonic() - began > 1.5 * HEAD_S, "longer than a silent S3 is waited for"
    hostile.end()


@pytest.mark.parametrize("spaces", [1, 1000], ids=["falls silent", "never ends"])
def test_a_completion_that_does_not_end_is_bounded(
    hostile: HostileStore, service: str, web: httpx.Client, spaces: int
) -> None:
    ticket = begin(hostile, service, web)
    hostile.play(working(spaces), *[stalling] * 5)
    began = time.monotonic()
    problem(complete(service, web, ticket), 504, "storage-timed-out")
    assert time.monotonic() - began < WITHIN_S
    hostile.end()
