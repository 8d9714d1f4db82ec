"""`smoke`: store pictures in a running service in every way, compare the bytes, and print a line for each step.

The test deletes what it stores. `operations.smoke` runs the same steps inside the function, with another `Client`.
"""

import argparse
import functools
import json
import os
import re
import secrets
import struct
import sys
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

TIMEOUT_S = 60.0
# Subject of the token that a smoke test signs for itself. It lasts ten minutes.
SUBJECT = "smoke-test"
TOKEN_LIFE_S = 600


class Failed(Exception):
    """A step failed. The message says what was expected and what was answered."""


def real_png() -> bytes:
    """Return a new picture of random noise, which no cache and no default object can equal.

    https://www.w3.org/TR/png-3/: 64 x 64, 8 bits of red, green and blue, no filter.
    """

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + secrets.token_bytes(64 * 3) for _ in range(64))
    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Sample(NamedTuple):
    """What the test uploads: files of this name and type, for a purpose that takes them up to `max_bytes`."""

    purpose: str
    filename: str
    content_type: str
    max_bytes: int

    def spec(self, size: int) -> dict[str, Any]:
        """Return the request for an upload."""
        return {"filename": self.filename, "contentType": self.content_type, "size": size, "purpose": self.purpose}


def sample_of(client: "Client") -> Sample:
    """Return a sample for one of the purposes of `GET /purposes`: a PNG picture, if one of them takes it."""
    purposes = client.json("GET", "/purposes")["purposes"]
    usable = [each for each in purposes if not each["metadata"]]
    _require(bool(usable), "there is no purpose that the test may use without metadata")
    for each in usable:
        if not {"image/png", "image/*", "*/*"}.isdisjoint(each["types"]):
            return Sample(each["name"], "photo.png", "image/png", each["maxBytes"])
    ext = (usable[0]["extensions"] or ["bin"])[0]
    return Sample(usable[0]["name"], f"photo.{ext}", usable[0]["types"][0].replace("*", "x"), usable[0]["maxBytes"])


def form_of(fields: dict[str, str], file: bytes, sample: Sample, *, file_first: bool) -> tuple[bytes, str]:
    """Return a multipart/form-data body and its Content-Type."""
    boundary = secrets.token_hex(16)
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()
    ]
    head = f'Content-Disposition: form-data; name="file"; filename="{sample.filename}"\r\n'
    head += f"Content-Type: {sample.content_type}\r\n\r\n"
    parts.insert(0 if file_first else len(parts), head.encode() + file + b"\r\n")
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + part for part in parts)
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Answer(NamedTuple):
    """An HTTP answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __str__(self) -> str:
        """Return status and reason. S3's error bodies are left out: they repeat the signature and the token."""
        try:
            problem = json.loads(self.body)
            return f"{self.status} {problem['code']}: {problem['detail']}"
        except (ValueError, KeyError, TypeError):
            words = [re.search(rb"<%b>([^<]*)</%b>" % (name, name), self.body) for name in (b"Code", b"Message")]
            return " ".join([str(self.status), *(found[1].decode("utf-8", "replace") for found in words if found)])


class Client:
    """A small HTTP client for one service. It sends `token` as a bearer token."""

    def __init__(self, base_url: str, token: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self._authorization = {"Authorization": f"Bearer {token}"} if token else {}
        # The minted keys, for the clean-up.
        self.keys: list[str] = []
        # True from the clean-up on, which has a time reserve of its own.
        self.cleaning_up = False

    @functools.cached_property
    def sample(self) -> Sample:
        """What the test uploads to this service."""
        return sample_of(self)

    def call(self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """Send a request; return the answer. A path goes to the service with the token, a full URL is used as it is."""
        own = url.startswith("/")
        return self.send(method, url, body, {**(self._authorization if own else {}), **(headers or {})})

    def send(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """Send one request. Raises `Failed` if there is no answer."""
        own = url.startswith("/")
        request = urllib.request.Request(self.base_url + url if own else url, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self.left_s()) as response:
                return _answer(response.status, response)
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error)
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise Failed(f"no answer from {self.base_url if own else 'S3'}: {reason}. Is it running?") from None

    def left_s(self) -> float:
        """Return the seconds that a request may take. Raises `Failed` if there are none."""
        return TIMEOUT_S

    def json(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Return the decoded answer of a route, which must have this status."""
        raw = None if body is None else json.dumps(body).encode()
        answer = self.call(method, path, raw, {"Content-Type": "application/json"} if raw else None)
        expect(answer, status, f"{method} {path}")
        return json.loads(answer.body)


def _answer(status: int, response: Any) -> Answer:
    return Answer(status, {name.lower(): value for name, value in response.headers.items()}, response.read())


def expect(answer: Answer, status: int, what: str) -> None:
    """Raise `Failed` if the answer has another status."""
    _require(answer.status == status, f"{what}: expected {status}, got {answer}")


def _require(right: bool, otherwise: str) -> None:  # noqa: FBT001  a condition, as in assert
    if not right:
        raise Failed(otherwise)


def _mint(client: Client, picture: bytes) -> Any:
    plan = client.json("POST", "/uploads", client.sample.spec(len(picture)))
    client.keys.append(plan["objectKey"])
    return plan


def compare(client: Client, key: str, picture: bytes) -> None:
    """Raise `Failed` if the object under this key is not the picture, once it is verified."""
    path = f"/images/{urllib.parse.quote(key)}"
    client.json("POST", f"{path}/complete?wait=20")
    answer = client.call("GET", client.json("GET", path)["url"])
    expect(answer, 200, f"reading {key} back")
    _require(
        answer.body == picture, f"{key}: {len(answer.body)} bytes came back, not the {len(picture)} that were sent"
    )


# The states of the bucket in GET /, and their remedies.
_REMEDIES = {
    "missing": "there is none of this name. Correct S3_BUCKET_NAME or AWS_REGION, or make it",
    "denied": "S3 refuses. Give the service's role its rights on this bucket, or correct S3_BUCKET_NAME",
    "unreachable": "S3 does not answer. Look at the network: in a VPC the subnets need a gateway endpoint for S3",
    "no-credentials": "there are no credentials. Give the service a role or a key pair",
}


def _health(client: Client) -> str:
    health = client.json("GET", "/")
    state = health["bucket"]
    _require(state == "ok", f"the bucket is {state}: {_REMEDIES.get(state, 'S3 answers with an error')}")
    return f"version {health['version']}, {health['environment']}, bucket ok"


def _presigned_put(client: Client) -> str:
    picture = real_png()
    plan = _mint(client, picture)
    expect(client.call("PUT", plan["presignedUrl"], picture, plan["headers"]), 200, "the PUT to S3")
    compare(client, plan["objectKey"], picture)
    return f"{len(picture)} bytes, back identical"


def _proxied(path: str, *, file_first: bool) -> Callable[[Client], str]:
    def step(client: Client) -> str:
        picture = real_png()
        plan = _mint(client, picture)
        body, content_type = form_of({"uploadUrl": plan["presignedUrl"]}, picture, client.sample, file_first=file_first)
        answer = client.call("POST", path, body, {"Content-Type": content_type})
        expect(answer, 200, path)
        said = json.loads(answer.body)
        _require(said["success"] is True and said["file_size"] == len(picture), f"{path} said {said}")
        compare(client, plan["objectKey"], picture)
        return f"{len(picture)} bytes, back identical"

    return step


def _download(client: Client) -> str:
    picture = real_png()
    plan = _mint(client, picture)
    expect(client.call("PUT", plan["presignedUrl"], picture, plan["headers"]), 200, "the PUT to S3")
    compare(client, plan["objectKey"], picture)
    name = urllib.parse.quote("고양이.jpg")
    made = client.json("GET", f"/images/{plan['objectKey']}?as_download=true&filename={name}")
    _require(made["download"] is True, f"download is {made['download']}")
    answer = client.call("GET", made["url"])
    expect(answer, 200, "the download")
    disposition = answer.headers.get("content-disposition", "")
    _require(disposition.startswith("attachment") and name in disposition, f"Content-Disposition is {disposition!r}")
    return "Content-Disposition names 고양이.jpg"


def _refusals(client: Client) -> str:
    big = client.sample.spec(client.sample.max_bytes + 1)
    _require(client.json("POST", "/uploads", big, status=400)["code"] == "file-too-large", "no file-too-large")
    wrong = {**client.sample.spec(1), "contentType": "not a type"}
    answer = client.json("POST", "/uploads", wrong, status=400)
    _require(answer["code"] == "unsupported-file-type", "no unsupported-file-type")
    foreign = {"uploadUrl": "http://169.254.169.254/x?y=z"}
    body, content_type = form_of(foreign, real_png(), client.sample, file_first=True)
    refused = client.call("POST", "/upload-with-presigned", body, {"Content-Type": content_type})
    expect(refused, 403, "a foreign upload target")
    return "too large, wrong type, foreign target"


def _clean_up(client: Client) -> str:
    _require(bool(client.keys), "nothing was stored, so deleting was not tried")
    client.cleaning_up = True
    left: dict[str, str] = {}
    for key in client.keys:
        path = urllib.parse.quote(key)
        try:
            expect(client.call("DELETE", f"/images/{path}"), 204, "DELETE")
            there = client.json("GET", f"/api/v1/s3/file/{path}/exists")["exists"]
            _require(there is False, "it is still there after it was deleted")
        except Failed as error:
            left[key] = str(error)
    # Usually all have the same reason.
    _require(not left, f"not deleted: {', '.join(left)}: {'; '.join(dict.fromkeys(left.values()))}")
    return f"{len(client.keys)} pictures deleted, none left"


Step = tuple[str, Callable[[Client], str]]

STEPS: tuple[Step, ...] = (
    ("health", _health),
    ("presigned PUT", _presigned_put),
    ("form proxy, file first", _proxied("/upload-with-presigned", file_first=True)),
    ("form proxy, uploadUrl first", _proxied("/upload-with-presigned", file_first=False)),
    ("form proxy with retry", _proxied("/upload-with-presigned-retry", file_first=True)),
    ("download under a name", _download),
    ("refusals", _refusals),
    ("clean up", _clean_up),
)


def smoke(client: Client, say: Callable[[str], None] = print, steps: Sequence[Step] = STEPS) -> bool:
    """Run all steps and report a line for each; return whether all passed."""
    say(f"Smoke test of {client.base_url}")
    failures = 0
    for name, step in steps:
        try:
            say(f"  ok      {name}: {step(client)}")
        except Exception as error:  # noqa: BLE001  an answer can be wrong in any way, and the other steps still count
            failures += 1
            say(f"  FAILED  {name}: {error if isinstance(error, Failed) else f'{type(error).__name__}: {error}'}")
            if name == steps[0][0]:
                # The service is unreachable, and each further step might wait a minute.
                failures = len(steps)
                break
    say(f"{len(steps) - failures} of {len(steps)} steps passed.")
    return failures == 0


def _token() -> str | None:
    """Return SMOKE_TOKEN, or a short-lived one signed with JWT_SECRET; None without either. Raises `ValueError`."""
    if (given := os.environ.get("SMOKE_TOKEN")) is not None or not os.environ.get("JWT_SECRET"):
        return given
    # Needed only for a service that requires tokens.
    from image_upload.auth.token_issuer import READ, bearer_token
    from image_upload.settings import SettingsError, load_section
    from image_upload.settings.auth import AuthSettings

    # In `test` any length of the secret passes: the service checks it when it starts.
    read = {name: os.environ[name] for name in READ if name in os.environ} | {"ENVIRONMENT": "test"}
    try:
        settings = load_section(AuthSettings, read, serving=False)
    except SettingsError as error:
        raise ValueError(str(error)) from None
    return bearer_token(settings, SUBJECT, TOKEN_LIFE_S)


def run(arguments: Sequence[str]) -> int:
    """Run `smoke URL`. Return 0 if all steps passed."""
    parser = argparse.ArgumentParser(
        prog="python -m image_upload smoke",
        description="Store pictures in a running service in every way, compare the bytes, and delete them again.",
        epilog="The token of a service that requires one is read from SMOKE_TOKEN, or made with JWT_SECRET "
        "(and JWT_ALGORITHM, JWT_AUDIENCE, JWT_ISSUER): command lines can be read by others on the same machine.",
    )
    parser.add_argument("url", help="base URL of the service, such as its Function URL")
    url = parser.parse_args(arguments).url
    try:
        token = _token()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if smoke(Client(url, token)) else 1
