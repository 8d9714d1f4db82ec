"""Requests as an attacker forms them, against a real server: no fault of ours, and no acknowledged byte is lost."""

import contextlib
import http.client
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.resumable.speaking import PARTIAL, Tus, digest, stored

pytestmark = pytest.mark.full

LENGTH = 64
# In place of it stands the upload's real offset, or its length.
OFFSET, WHOLE = "{offset}", "{length}"
FIELDS: dict[str, tuple[str, ...]] = {
    "Tus-Resumable": ("1.0.0",),
    "Upload-Draft-Interop-Version": ("8", "6"),
    "Content-Type": ("application/offset+octet-stream", "application/partial-upload", "image/png"),
    "Upload-Offset": (OFFSET, OFFSET, OFFSET, "0", "65"),
    "Upload-Length": (WHOLE, "63", "0"),
    "Upload-Complete": ("?0", "?1"),
    "Upload-Defer-Length": ("1",),
    "Upload-Metadata": ("filename YS5iaW4=,purpose ZmlsZQ==", "filename"),
    "Upload-Concat": ("partial", "final;/resumable/a", "final;" + "/resumable/a " * 200),
    "Upload-Checksum": ("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "crc32 AAAAAA=="),
    "Content-Digest": (digest(b""), "sha-256=:AAAA:"),
    "Repr-Digest": (digest(b""),),
    "Content-Disposition": ('inline; filename="a.bin"', "inline; filename=../a"),
    "Content-Encoding": ("gzip", "identity"),
    "X-HTTP-Method-Override": ("PATCH", "DELETE", "PUT", "\xff"),
    "Expect": ("100-continue",),
}
JUNK = (
    "", " ", "-1", "+1", "1e3", "0x1", "1, 1", "9" * 5_000, "1" * 19, "\xb2", "?2", "?1;a=b", "(", "=,;", '"', "a=:",
    "%00", "\x7f",
)  # fmt: skip
ANY_TEXT = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=12)


class Hostile(NamedTuple):
    """A request to the upload; `is_begin`: one to where uploads begin."""

    method: str
    is_begin: bool
    headers: dict[str, str]
    body: bytes


def values(name: str) -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(FIELDS[name]), st.sampled_from(FIELDS[name]), st.sampled_from(JUNK), ANY_TEXT)


APPENDING = st.sampled_from(
    [
        {"Tus-Resumable": "1.0.0", "Content-Type": FIELDS["Content-Type"][0], "Upload-Offset": OFFSET},
        {"Upload-Complete": "?0", **PARTIAL, "Upload-Offset": OFFSET},
        {},
    ]
)
CHANGED = st.lists(st.sampled_from(sorted(FIELDS)), max_size=3).flatmap(
    lambda names: st.fixed_dictionaries({name: values(name) for name in names})
)
REQUESTS = st.builds(
    Hostile,
    st.sampled_from(["PATCH", "PATCH", "PATCH", "POST", "HEAD", "GET", "DELETE", "PUT", "OPTIONS"]),
    st.sampled_from([False, False, False, True]),
    st.builds(lambda usual, changed: usual | changed, APPENDING, CHANGED),
    st.binary(max_size=LENGTH + 2),
)


class Upload:
    """One upload, with the bytes that were acknowledged."""

    def __init__(self, tus: Tus) -> None:
        self.tus = tus
        self.path = tus.begin(LENGTH)
        self.acknowledged = b""
        self.is_open = True

    def suffer(self, hostile: Hostile) -> None:
        """Send a request, and check what it did."""
        places = {OFFSET: str(len(self.acknowledged)), WHOLE: str(LENGTH)}
        headers = {name: places.get(value, value) for name, value in hostile.headers.items()}
        status, said = self._answer(hostile, headers)
        assert 200 <= status < 500, (status, hostile)
        method = headers.get("X-HTTP-Method-Override", hostile.method)
        if hostile.is_begin:
            return
        if status == 410 or (method == "DELETE" and status == 204):
            self.is_open = False
        elif method == "PATCH" and status in (200, 204):
            offset = int(said["upload-offset"])
            self.acknowledged += hostile.body[: offset - len(self.acknowledged)]
            assert offset == len(self.acknowledged), hostile
        known = self.tus.ask("HEAD", self.path)
        if known.status_code == 410:
            # Only who cancels, or sends more bytes than the length by the IETF's protocol, ends an upload.
            assert not self.is_open or (method == "PATCH" and status == 400), (status, hostile)
            self.is_open = False
        else:
            assert known.status_code == 200, (known.status_code, hostile)
            assert int(known.headers["upload-offset"]) == len(self.acknowledged), hostile

    def _answer(self, hostile: Hostile, headers: dict[str, str]) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(urlsplit(self.tus.url).netloc, timeout=60)
        with contextlib.closing(connection):
            path = "/resumable" if hostile.is_begin else self.path
            connection.putrequest(hostile.method, path, skip_accept_encoding=True)
            for name, value in {"Content-Length": str(len(hostile.body)), **headers}.items():
                connection.putheader(name, value.encode("latin-1"))
            connection.endheaders(hostile.body)
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.headers


@pytest.fixture(scope="module")
def tus(service: str) -> Iterator[Tus]:
    with httpx.Client(timeout=60) as web:
        yield Tus(web, service)


@settings(max_examples=50, deadline=None)
@given(requests=st.lists(REQUESTS, min_size=1, max_size=10))
def test_no_request_is_a_fault_of_ours_or_costs_a_byte(tus: Tus, requests: list[Hostile]) -> None:
    upload = Upload(tus)
    for hostile in requests:
        upload.suffer(hostile)
    if upload.is_open:
        at = len(upload.acknowledged)
        if at < LENGTH:
            assert tus.append(upload.path, at, bytes(LENGTH - at)).status_code == 204
        assert stored(tus, upload.path) == upload.acknowledged + bytes(LENGTH - at)
