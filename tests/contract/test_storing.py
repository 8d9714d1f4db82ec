"""`POST /api/v1/s3/upload`: a form's file into the service's own bucket, one request or many parts."""

import hashlib
import http.client
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import problem
from tests.contract.plans import content_of
from tests.contract.store import Store

MIB = 1024 * 1024
LARGE = pytest.param(40 * MIB, marks=pytest.mark.full)
PATH = "/api/v1/s3/upload"
BOUNDARY = "b0undary"
GONE_WITHIN_S = 20.0
POLL_S = 0.05


def part(head: str, content: bytes) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"


FILE = 'name="file"; filename="녹음 1.bin"\r\nContent-Type: audio/mpeg'
END = f"--{BOUNDARY}--\r\n".encode()
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def send(web: httpx.Client, service: str, *parts: bytes, chunked: bool = False) -> httpx.Response:
    body = b"".join([*parts, END])

    def pieces() -> Iterator[bytes]:
        yield from (body[start : start + MIB] for start in range(0, len(body), MIB))

    return web.post(service + PATH, content=pieces() if chunked else body, headers=HEADERS)


@pytest.mark.parametrize("folder_first", [True, False])
@pytest.mark.parametrize(
    "size",
    [
        *(1, 8 * MIB, 8 * MIB + 1),
        *(pytest.param(size, marks=pytest.mark.full) for size in (5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 8 * MIB - 1)),
        LARGE,
    ],
)
def test_a_file_of_any_size_is_stored_byte_for_byte(
    store: Store, service: str, web: httpx.Client, size: int, folder_first: bool
) -> None:
    content = content_of(size)
    parts = [part("name=folder", b"lectures/2026"), part(FILE, content)]
    response = send(web, service, *(parts if folder_first else parts[::-1]))
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["key"].startswith("lectures/2026/anonymous/")
    assert answer["key"].endswith(".bin")
    assert (answer["size"], answer["content_type"], answer["cdn_url"]) == (size, "audio/mpeg", None)
    stored = store.head(answer["key"])
    assert stored is not None
    assert stored["ETag"] == answer["etag"]
    back = store.read(answer["key"])
    assert back is not None
    assert hashlib.sha256(back).digest() == hashlib.sha256(content).digest()
    assert store.left("lectures/2026")[1] == []


@pytest.mark.parametrize("size", [1, 20 * MIB])
def test_a_form_without_a_length_is_stored(store: Store, service: str, web: httpx.Client, size: int) -> None:
    content = content_of(size)
    response = send(web, service, part("name=folder", b""), part(FILE, content), chunked=True)
    assert response.json()["key"].startswith("files/anonymous/")
    assert store.read(response.json()["key"]) == content


@pytest.mark.parametrize("size", [1000, 9 * MIB])
def test_a_field_behind_the_file_changes_nothing(store: Store, service: str, web: httpx.Client, size: int) -> None:
    content = content_of(size)
    answer = send(web, service, *fields(folder="note"), part(FILE, content), *fields(note="hello")).json()
    assert store.read(answer["key"]) == content


@pytest.mark.parametrize("size", [5 * MIB, 20 * MIB])
@pytest.mark.parametrize("folder_first", [True, False])
def test_a_form_cut_in_the_file_leaves_nothing(
    store: Store, service: str, web: httpx.Client, size: int, folder_first: bool
) -> None:
    name = "cut" if folder_first else "uploads"
    before = store.left(name)
    folder = part("name=folder", name.encode()) if folder_first else b""
    body = folder + part(FILE, content_of(size))[:-1000]
    problem(web.post(service + PATH, content=body, headers=HEADERS), 400, "malformed-form")
    assert store.left(name) == before


def test_a_form_cut_behind_the_file_leaves_nothing(store: Store, service: str, web: httpx.Client) -> None:
    body = part("name=folder", b"cut-behind") + part(FILE, content_of(9 * MIB)) + END[:-6]
    problem(web.post(service + PATH, content=body, headers=HEADERS), 400, "malformed-form")
    assert store.left("cut-behind") == ([], [])


def test_a_client_that_goes_away_leaves_nothing(store: Store, service: str) -> None:
    body = part("name=folder", b"gone") + part(FILE, content_of(20 * MIB)) + END
    connection = http.client.HTTPConnection(service.removeprefix("http://"))
    connection.putrequest("POST", PATH)
    for name, value in {**HEADERS, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(body[: 18 * MIB])
    connection.close()
    deadline = time.monotonic() + GONE_WITHIN_S
    while store.left("gone")[1]:
        assert time.monotonic() < deadline, "the upload was not aborted"
        time.sleep(POLL_S)  # before S3 is asked again
    assert store.left("gone") == ([], [])


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ([], 422, "validation-failed"),
        ([part("name=folder", b"x")], 422, "validation-failed"),
        ([part("name=folder", b"x"), part(FILE, b"")], 400, "empty-file"),
        ([part(FILE, b"")], 400, "empty-file"),
        ([part("name=folder", b"../x"), part(FILE, b"x")], 400, "invalid-key"),
        ([part("name=folder", b"a\\b"), part(FILE, b"x")], 400, "invalid-key"),
        ([part("name=folder", b"a\x00b"), part(FILE, b"x")], 400, "invalid-key"),
        ([part("name=folder", b"x" * 1020), part(FILE, b"x")], 400, "invalid-key"),
        ([part(FILE.replace("녹음 1.bin", ".."), b"x")], 400, "invalid-filename"),
        ([part(FILE, b"x"), part(FILE, b"y")], 400, "malformed-form"),
        ([part("name=folder", b"two"), part(FILE, b"x"), part(FILE, b"y")], 400, "malformed-form"),
    ],
)
def test_a_bad_form_is_refused_and_leaves_nothing(
    store: Store, service: str, web: httpx.Client, parts: list[bytes], status: int, code: str
) -> None:
    before = [store.left(folder) for folder in ("uploads", "x", "two")]
    problem(send(web, service, *parts), status, code)
    assert [store.left(folder) for folder in ("uploads", "x", "two")] == before


def test_what_was_sent_is_known_afterwards(store: Store, service: str, web: httpx.Client) -> None:
    answer = send(web, service, part("name=folder", "수업/1교시".encode()), part(FILE, b"12345")).json()
    assert answer["key"].startswith("수업/1교시/anonymous/")
    stored = store.head(answer["key"])
    assert stored is not None
    metadata = {name.replace("-", "_"): value for name, value in stored["Metadata"].items()}
    assert metadata["user_id"] == "anonymous"
    assert metadata["content_type"] == "audio/mpeg"
    assert stored["ContentType"] == "audio/mpeg"
    assert "original_filename" in metadata


def fields(**given: str) -> list[bytes]:
    return [part(f"name={name}", value.encode()) for name, value in given.items()]


RECORDING = 'name="file"; filename="녹음 1.mp3"\r\nContent-Type: audio/mpeg'


@pytest.mark.parametrize("first", [True, False])
def test_a_recording_goes_into_its_class(store: Store, service: str, web: httpx.Client, first: bool) -> None:
    parts = [*fields(purpose="audio", class_id="3학년 2반"), part(RECORDING, b"ID3")]
    response = send(web, service, *(parts if first else parts[::-1]))
    assert response.status_code == 200, response.text
    key = response.json()["key"]
    assert key.startswith("audio/3~ED~95~99~EB~85~84~202~EB~B0~98/")
    assert key.endswith(".mp3")
    assert store.read(key) == b"ID3"
    told = web.get(f"{service}/images/{key}/metadata").json()
    assert told["content_type"] == "audio/mpeg"
    assert {name: told["metadata"][name] for name in ("class_id", "user_id", "original_filename")} == {
        "class_id": "3학년 2반",
        "user_id": "anonymous",
        "original_filename": "녹음 1.mp3",
    }


def test_a_class_is_kept_with_a_file_of_any_folder(service: str, web: httpx.Client) -> None:
    kept = send(web, service, *fields(class_id="3-2", folder="lectures"), part(FILE, b"x")).json()
    told = web.get(f"{service}/images/{kept['key']}/metadata").json()
    assert told["metadata"]["class_id"] == "3-2"


@pytest.mark.parametrize(
    ("given", "file", "status", "code"),
    [
        ({"purpose": "music"}, RECORDING, 422, "validation-failed"),
        ({"purpose": "audio", "folder": "a"}, RECORDING, 422, "validation-failed"),
        ({"purpose": "audio"}, RECORDING, 400, "invalid-metadata"),
        ({"purpose": "upload"}, RECORDING, 400, "unsupported-file-type"),
        ({"purpose": "audio", "class_id": "1"}, RECORDING.replace(".mp3", ".exe"), 400, "unsupported-file-type"),
        ({"class_id": "a\tb"}, RECORDING, 400, "invalid-metadata"),
    ],
)
def test_what_a_purpose_does_not_take_is_refused(
    store: Store, service: str, web: httpx.Client, given: dict[str, str], file: str, status: int, code: str
) -> None:
    before = [store.left(folder) for folder in ("uploads", "audio")]
    for parts in ([*fields(**given), part(file, b"x")], [part(file, b"x"), *fields(**given)]):
        problem(send(web, service, *parts), status, code)
    assert [store.left(folder) for folder in ("uploads", "audio")] == before


def test_a_public_folder_holds_its_purposes_types_and_nothing_that_reads_like_anothers(
    service: str, web: httpx.Client
) -> None:
    page = 'name="file"; filename="page.html"\r\nContent-Type: text/html'
    picture = 'name="file"; filename="cat.jpg"\r\nContent-Type: image/jpeg'
    named = send(web, service, *fields(folder="profiles"), part(page, b"<script>"))
    problem(named, 400, "unsupported-file-type")
    problem(send(web, service, *fields(folder="profiles/alice"), part(picture, b"x")), 400, "invalid-key")
    for folder, prefix in (("profiles", "profiles/anonymous/"), ("", "uploads/anonymous/")):
        kept = send(web, service, *fields(folder=folder), part(picture, b"x")).json()
        assert kept["key"].startswith(prefix)
    # Without a folder it goes where any type may be, and no CDN serves.
    assert send(web, service, part(page, b"<script>")).json()["key"].startswith("files/anonymous/")


@pytest.mark.parametrize("first", [True, False])
def test_a_file_above_its_purposes_limit_leaves_nothing(
    store: Store, service: str, web: httpx.Client, first: bool
) -> None:
    before = store.left("profiles")
    picture = 'name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg'
    parts = [*fields(purpose="profile"), part(picture, content_of(10 * MIB + 1))]
    told = problem(send(web, service, *(parts if first else parts[::-1])), 400, "file-too-large")
    assert told["max_bytes"] == 10 * MIB
    assert store.left("profiles") == before


def test_what_decides_the_key_may_not_come_behind_a_file_that_is_under_way(
    store: Store, service: str, web: httpx.Client
) -> None:
    parts = [*fields(folder="late"), part(FILE, b"x"), *fields(class_id="1")]
    assert "class_id in front" in problem(send(web, service, *parts), 400, "malformed-form")["detail"]
    assert store.left("late") == ([], [])
