"""The connection is lost after the last byte, before any answer: is the file stored or not?"""

import http.client
import secrets
import time
from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config

from local.embedded_s3 import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, EmbeddedS3
from tests.faults.hostile import Act, Exchange, HostileStore, resetting
from tests.faults.sending import THEIRS, WAYS, Answer, Way, post, signed
from tests.faults.watching import eventually

CONTENT = secrets.token_bytes((1 << 20) + 7)
OLDER = CONTENT[::-1]
every_plain_way = pytest.mark.parametrize("way", [way for way in WAYS if not way.retrying], ids=str)


class Objects:
    """What is really in the bucket behind the relay."""

    def __init__(self, endpoint_url: str) -> None:
        self._s3 = boto3.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )

    def close(self) -> None:
        self._s3.close()

    def write(self, key: str, content: bytes) -> None:
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=content)

    def read(self, key: str) -> bytes | None:
        try:
            content: bytes = self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        except self._s3.exceptions.NoSuchKey:
            return None
        return content


@pytest.fixture
def objects(s3: EmbeddedS3) -> Iterator[Objects]:
    found = Objects(s3.endpoint_url)
    yield found
    found.close()


@pytest.fixture
def key() -> str:
    return f"uploads/{secrets.token_hex(8)}.jpg"


def _forwarded(exchange: Exchange, s3: EmbeddedS3) -> bytes:
    """Hand the request to the S3 behind; its answer, raw enough."""
    exchange.keeps = True
    if not exchange.line:
        exchange.read_head()
    if "content-length" in exchange.headers:
        exchange.read_body()
    method, target, _ = exchange.line.split(" ")
    connection = http.client.HTTPConnection(s3.endpoint_url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, target, bytes(exchange.body) or None, {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        body = response.read()
        head = [f"HTTP/1.1 {response.status} {response.reason}", "Connection: close"]
        head += [f"{name}: {value}" for name, value in response.getheaders() if name.lower() != "connection"]
        return "\r\n".join([*head, "", ""]).encode("latin-1") + body
    finally:
        connection.close()


def relaying(s3: EmbeddedS3) -> Act:
    return lambda exchange: exchange.say(_forwarded(exchange, s3))


def swallowing(s3: EmbeddedS3) -> Act:
    """The S3 behind stores the file, and its answer is lost."""

    def act(exchange: Exchange) -> None:
        assert b" 200 " in _forwarded(exchange, s3)
        exchange.reset()

    return act


def behind(s3: EmbeddedS3, *puts: Act) -> list[Act]:
    """The n-th PUT meets the n-th act; whatever else the service asks, and when, it is answered."""
    left = list(puts)

    def act(exchange: Exchange) -> None:
        exchange.read_head()
        (left.pop(0) if exchange.line.startswith("PUT") else relaying(s3))(exchange)

    return [act] * 20


def puts(store: HostileStore) -> int:
    return sum(exchange.line.startswith("PUT") for exchange in store.exchanges)


def upload(store: HostileStore, service: str, way: Way, key: str, bucket: str = BUCKET) -> Answer:
    return post(service, way.path, way.parts(signed(store.endpoint_url, bucket, key), CONTENT))


@every_plain_way
def test_our_bucket_is_asked_and_has_it(
    s3: EmbeddedS3, store: HostileStore, check_target: str, objects: Objects, key: str, way: Way
) -> None:
    store.play(*behind(s3, swallowing(s3), relaying(s3)))
    answer = upload(store, check_target, way, key)
    assert (answer.status, answer.document.get("file_size")) == (200, len(CONTENT)), answer.document
    assert puts(store) == 1
    assert objects.read(key) == CONTENT


@every_plain_way
def test_our_bucket_is_asked_and_has_it_not(
    s3: EmbeddedS3, store: HostileStore, check_target: str, objects: Objects, key: str, way: Way
) -> None:
    store.play(*behind(s3, resetting(), relaying(s3)))
    answer = upload(store, check_target, way, key)
    assert (answer.status, answer.code, answer.attempts) == (502, "outcome-unknown", 1)
    assert puts(store) == 1
    assert objects.read(key) is None


@every_plain_way
@pytest.mark.parametrize("older", [OLDER, OLDER[1:]], ids=["same length", "another length"])
def test_an_object_that_was_there_before_is_not_taken_for_the_file(
    s3: EmbeddedS3, store: HostileStore, check_target: str, objects: Objects, key: str, older: bytes, way: Way
) -> None:
    objects.write(key, older)
    # S3's times are in whole seconds: so close together, a file without a copy cannot be told from an earlier one.
    written = int(time.time())
    eventually(lambda: int(time.time()) > written + 1, "the clock stands still")
    store.play(*behind(s3, resetting(), relaying(s3)))
    answer = upload(store, check_target, way, key)
    assert objects.read(key) == older
    assert (answer.status, answer.code) == (502, "outcome-unknown"), answer.document


@every_plain_way
def test_our_bucket_is_asked_and_does_not_say(store: HostileStore, check_target: str, key: str, way: Way) -> None:
    store.play(*[resetting()] * 10)
    answer = upload(store, check_target, way, key)
    assert (answer.status, answer.code, answer.attempts) == (502, "outcome-unknown", 1)
    assert puts(store) == 1


@every_plain_way
def test_a_bucket_of_others_is_not_looked_into(store: HostileStore, check_target: str, key: str, way: Way) -> None:
    store.play(resetting())
    answer = upload(store, check_target, way, key, bucket=THEIRS)
    assert (answer.status, answer.code, answer.attempts) == (502, "outcome-unknown", 1)
    assert len(store.exchanges) == 1


@pytest.mark.parametrize("way", [way for way in WAYS if way.retrying], ids=str)
def test_with_retry_the_file_is_there_in_the_end(
    s3: EmbeddedS3, store: HostileStore, check_target: str, objects: Objects, key: str, way: Way
) -> None:
    store.play(*behind(s3, swallowing(s3), relaying(s3)))
    answer = upload(store, check_target, way, key)
    assert answer.status == 200, answer.document
    # Asked, or sent again: both are well.
    assert answer.attempts == puts(store) <= 2
    assert objects.read(key) == CONTENT
