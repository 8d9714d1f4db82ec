"""Requests of both protocols to a service, written out: what a client library hides."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import httpx

TUS = {"Tus-Resumable": "1.0.0"}
IETF = {"Upload-Draft-Interop-Version": "8"}
BYTES = {"Content-Type": "application/offset+octet-stream"}
PARTIAL = {"Content-Type": "application/partial-upload"}


def metadata(**pairs: str) -> dict[str, str]:
    """The field `Upload-Metadata`."""
    value = ",".join(f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in pairs.items())
    return {"Upload-Metadata": value}


def digest(content: bytes) -> str:
    """A member of `Content-Digest` or `Repr-Digest`."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


class Tus:
    """A client of tus."""

    def __init__(self, web: httpx.Client, url: str, headers: Mapping[str, str] = TUS) -> None:
        self.web = web
        self.url = url
        self.headers = dict(headers)

    def ask(
        self, method: str, location: str = "/resumable", content: Any = None, **headers: str | int
    ) -> httpx.Response:
        """Send a request. `Upload_Offset=5` becomes the header `Upload-Offset: 5`."""
        named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        return self.web.request(method, self.url + location, content=content, headers=self.headers | named)

    def begin(self, length: int | None = None, **headers: str | int) -> str:
        """The location of a new upload for the purpose `file`."""
        size = {"Upload_Defer_Length": 1} if length is None else {"Upload_Length": length}
        made = self.ask("POST", "/resumable", None, **{**metadata(filename="a.bin", purpose="file"), **size, **headers})
        assert made.status_code == 201, made.text
        return made.headers["location"]

    def append(self, location: str, offset: int | str, content: Any = b"", **headers: str | int) -> httpx.Response:
        """The answer to an append."""
        return self.ask("PATCH", location, content, **{**BYTES, "Upload-Offset": offset, **headers})

    def offset(self, location: str) -> int:
        """Where the upload is to go on."""
        return int(self.ask("HEAD", location).headers["upload-offset"])


class Ietf(Tus):
    """A client of the IETF's protocol."""

    def __init__(self, web: httpx.Client, url: str, headers: Mapping[str, str] = IETF) -> None:
        super().__init__(web, url, headers)

    def begin(self, length: int | None = None, **headers: str | int) -> str:
        """See `Tus`."""
        size = {} if length is None else {"Upload_Length": length}
        made = self.ask("POST", "/resumable?purpose=file", None, **{"Upload-Complete": "?0", **size, **headers})
        assert made.status_code == 201, made.text
        return made.headers["location"]

    def append(self, location: str, offset: int | str, content: Any = b"", **headers: str | int) -> httpx.Response:
        """See `Tus`. Without `Upload_Complete` more bytes follow."""
        return self.ask(
            "PATCH", location, content, **{**PARTIAL, "Upload-Offset": offset, "Upload-Complete": "?0", **headers}
        )


def stored(client: Tus, location: str) -> bytes:
    """The file that an upload became."""
    known = client.ask("GET", location).json()
    assert known["completed"], known
    url = client.web.get(f"{client.url}/images/{known['objectKey']}", headers=auth(client)).json()["url"]
    return client.web.get(url).content


def auth(client: Tus) -> dict[str, str]:
    """The client's own token."""
    return {name: value for name, value in client.headers.items() if name == "Authorization"}
