"""Clients of the form routes that may misbehave, and the four ways that a file can go."""

import http.client
import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

import pytest

from image_upload.aws.endpoints import locate
from image_upload.aws.sigv4 import Credentials, Signer
from local.embedded_s3 import ACCESS_KEY, REGION, SECRET_KEY

PLAIN = "/upload-with-presigned"
RETRY = "/upload-with-presigned-retry"
# A bucket that the service may send to but not look into.
THEIRS = "theirs"
KEY = "uploads/a.jpg"
CLIENT_TIMEOUT_S = 20.0

FILE = 'name="file"; filename="cat.jpg"\r\nContent-Type: image/jpeg'
URL = 'name="uploadUrl"'
MAX_RETRIES = 'name="max_retries"'


def signed(endpoint_url: str, bucket: str = THEIRS, key: str = KEY) -> str:
    """A presigned PUT."""
    signer = Signer(locate(bucket, REGION, endpoint_url), Credentials(ACCESS_KEY, SECRET_KEY))
    return signer.presign("PUT", key, now=datetime.now(UTC), expires_s=300, headers={"Content-Type": "image/jpeg"})


@dataclass(frozen=True)
class Way:
    """One of the ways that a file goes to S3."""

    streamed: bool
    retrying: bool

    def __str__(self) -> str:
        return f"{'streamed' if self.streamed else 'spooled'}-{'retry' if self.retrying else 'plain'}"

    @property
    def path(self) -> str:
        return RETRY if self.retrying else PLAIN

    def parts(self, url: str, content: bytes, max_retries: int | None = None) -> list[tuple[str, bytes]]:
        """A form that goes this way, given a file of a mebibyte or more."""
        tries = [] if max_retries is None else [(MAX_RETRIES, str(max_retries).encode())]
        parts = [(URL, url.encode()), (FILE, content)]
        return [*tries, *(parts if self.streamed else parts[::-1])]


WAYS = tuple(Way(streamed, retrying) for streamed in (True, False) for retrying in (False, True))
# In the first tier two of them, which have each of the properties once.
every_way = pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.full if way.streamed is way.retrying else ()) for way in WAYS], ids=str
)


def form(parts: list[tuple[str, bytes]], boundary: str | None = None) -> tuple[bytes, str]:
    """A form's body and its Content-Type."""
    boundary = boundary or secrets.token_hex(8)
    body = b"".join(
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (boundary.encode(), head.encode(), content)
        for head, content in parts
    )
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


@dataclass
class Answer:
    """What the service said, and how long it took from the request's first byte."""

    status: int
    headers: dict[str, str]
    document: dict[str, Any]
    elapsed_s: float

    @property
    def code(self) -> str | None:
        """The problem's, None for a success."""
        code: str | None = self.document.get("code")
        return code

    @property
    def attempts(self) -> int | None:
        return self.document.get("attempts")


@dataclass
class Client:
    """One connection to the service, written to piece by piece."""

    service: str
    timeout_s: float = CLIENT_TIMEOUT_S
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection(self.service.removeprefix("http://"), timeout=self.timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, path: str, content_type: str, **headers: str) -> None:
        """Send the head. Underscores in names stand for hyphens."""
        self._connection.putrequest("POST", path)
        self._connection.putheader("Content-Type", content_type)
        for name, value in headers.items():
            self._connection.putheader(name.replace("_", "-"), value)
        self._connection.endheaders()

    def send(self, data: bytes) -> None:
        self._connection.send(data)

    def answer(self) -> Answer:
        response = self._connection.getresponse()
        document = json.loads(response.read())
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, document, time.monotonic() - self.started)

    def close(self) -> None:
        self._connection.close()


def post(service: str, path: str, parts: list[tuple[str, bytes]], **headers: str) -> Answer:
    """Send a whole form as a decent client does."""
    body, content_type = form(parts)
    with Client(service) as client:
        client.begin(path, content_type, Content_Length=str(len(body)), **headers)
        client.send(body)
        return client.answer()


class Outcome(NamedTuple):
    """What a fault must lead to. `attempts` is what the answer says, where it says anything."""

    status: int
    code: str | None
    attempts: int | None
    connections: int
    stored: int
