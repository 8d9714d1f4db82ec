"""S3 does what it is asked, and its answer is lost: nothing may be left that no client was told of."""

import secrets
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from image_upload.outbound import retry
from tests.contract.conftest import service_on
from tests.contract.store import Store
from tests.contract.test_storing import FILE, MIB, part, send
from tests.faults.hostile import PATIENCE_S, Exchange, hostile_store

SHORT = secrets.token_bytes(1000)
LONG = secrets.token_bytes(9 * MIB)
CONNECTIONS_MOST = 200


@dataclass
class Relay:
    """Hands each request to the S3 behind, and loses the first answers to the operations of `lost`."""

    store: Store
    lost: Counter[str] = field(default_factory=Counter)
    """Operation → answers that are still to be lost."""
    seen: Counter[str] = field(default_factory=Counter)

    def act(self, exchange: Exchange) -> None:
        exchange.keeps = True
        exchange.read_body()
        operation = operation_of(exchange.line)
        self.seen[operation] += 1
        answer = self._forwarded(exchange)
        if self.lost[operation] > 0:
            self.lost[operation] -= 1
            exchange.reset()
        else:
            exchange.say(answer)

    def _forwarded(self, exchange: Exchange) -> bytes:
        """The answer of the S3 behind; the signed Host stays."""
        headers = {**exchange.headers, "connection": "close"}
        head = "".join([f"{exchange.line}\r\n", *(f"{name}: {value}\r\n" for name, value in headers.items()), "\r\n"])
        host, _, port = self.store.endpoint_url.removeprefix("http://").partition(":")
        answer = bytearray()
        with socket.create_connection((host, int(port)), PATIENCE_S) as behind:
            behind.sendall(head.encode() + exchange.body)
            while data := behind.recv(65536):
                answer += data
        return bytes(answer)


def operation_of(line: str) -> str:
    method, target, _ = line.split(" ")
    query = parse_qs(urlsplit(target).query, keep_blank_values=True)
    named = {
        ("POST", "uploads"): "Create",
        ("PUT", "partNumber"): "Part",
        ("POST", "uploadId"): "Complete",
        ("GET", "uploads"): "List",
    }
    for (of, parameter), name in named.items():
        if method == of and parameter in query:
            return name
    return {"PUT": "Put", "HEAD": "Head", "DELETE": "Delete"}.get(method, method)


@pytest.fixture(scope="module")
def relay(store: Store) -> Iterator[tuple[Relay, str]]:
    """The relay, and a service that takes it for S3."""
    relay = Relay(store)
    with hostile_store() as hostile:
        hostile.play(*[relay.act] * CONNECTIONS_MOST)
        with service_on(replace(store, endpoint_url=hostile.endpoint_url)) as service:
            yield relay, service


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    ("operation", "content"),
    [
        ("Put", SHORT),
        ("Head", SHORT),
        ("Create", LONG),
        ("Part", LONG),
        ("Complete", LONG),
        ("Head", LONG),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)}",
)
def test_a_lost_answer_leaves_the_object_or_nothing(
    relay: tuple[Relay, str],
    web: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    content: bytes,
    times: int,
) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.02)
    behind, service = relay
    folder = f"lost-{operation}-{len(content)}-{times}"
    behind.lost[operation] = times
    behind.seen.clear()
    response = send(web, service, part("name=folder", folder.encode()), part(FILE, content))
    assert behind.lost[operation] == 0, "it was not asked so often"
    objects, uploads = behind.store.left(folder)
    assert uploads == []
    if response.status_code == 200:
        assert objects == [response.json()["key"]]
        assert behind.store.read(objects[0]) == content
    else:
        assert objects == []
    # Two parts at once share the losses. An upload that cannot begin cannot end well; everything else can.
    if operation != "Part":
        assert (response.status_code == 200) == (operation != "Create" or times == 1), response.text


@pytest.mark.parametrize("times", [1, 3])
def test_a_lost_answer_leaves_no_upload_beside_that_of_the_plan(
    relay: tuple[Relay, str], web: httpx.Client, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.02)
    behind, service = relay
    behind.lost["Create"] = times
    spec = {"filename": "a.bin", "contentType": "a/b", "size": len(LONG), "purpose": "file", "accepts": ["multipart"]}
    _, others = behind.store.left("files")
    response = web.post(f"{service}/uploads", json=spec)
    assert behind.lost["Create"] == 0, "it was not asked so often"
    assert response.status_code == (200 if times == 1 else 502), response.text
    _, uploads = behind.store.left("files")
    if times == 1:
        assert len(set(uploads) - set(others)) == 1
        assert web.delete(f"{service}/uploads/{response.json()['ticket']}").status_code == 204
        _, uploads = behind.store.left("files")
    assert set(uploads) <= set(others)
