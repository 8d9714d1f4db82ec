"""The library without HTTP, over lines that break and stores that lie."""

import asyncio
import base64
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from image_upload.errors import EmptyFile, InvalidFilename, InvalidKey, ObjectMissing, Problem, StorageUnavailable
from image_upload.library import Library
from image_upload.outbound import retry
from image_upload.s3 import objects
from local.embedded_s3 import EmbeddedS3
from local.service import local_environ
from tests.faults.hostile import Act, Exchange, HostileStore, answering, hostile_store, raw, resetting

ROOT = Path(__file__).resolve().parents[2]
CONTENT = bytes(range(256)) * 40
BEFORE = b"what was there before"


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.02)


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileStore]:
    with hostile_store() as store:
        yield store
        store.end()


@pytest.fixture
def goal(tmp_path: Path) -> Path:
    path = tmp_path / "goal.bin"
    path.write_bytes(BEFORE)
    return path


def described(*headers: str, size: int = len(CONTENT), etag: str = "e1-2") -> Act:
    """HeadObject's answer: a length, and no body."""
    head = [
        "HTTP/1.1 200 OK",
        f"Content-Length: {size}",
        f'ETag: "{etag}"',
        f"Last-Modified: {formatdate(usegmt=True)}",
        "Connection: close",
        *headers,
        "",
        "",
    ]
    return answering("\r\n".join(head).encode())


def cut_after(answer: bytes, count: int) -> Act:
    """Say only so much of an answer, and hang up."""

    def act(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.say(answer[: answer.index(b"\r\n\r\n") + 4 + count])

    return act


def download(store: HostileStore, goal: Path, *acts: Act) -> None:
    store.play(*acts)

    async def down() -> None:
        async with Library.of(local_environ({}, EmbeddedS3(store.endpoint_url).environ)) as library:
            await library.download_file("a", goal)

    asyncio.run(down())


def left_as_it_was(goal: Path) -> None:
    assert goal.read_bytes() == BEFORE
    assert list(goal.parent.iterdir()) == [goal]


def rest(start: int, content: bytes = CONTENT) -> bytes:
    headers = f"Content-Range: bytes {start}-{len(content) - 1}/{len(content)}"
    return raw(206, headers, body=content[start:])


@pytest.fixture
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "READ_BYTES", 1000)


@pytest.mark.usefixtures("_small_pieces")
def test_a_broken_download_goes_on_where_it_broke(hostile: HostileStore, goal: Path) -> None:
    whole = raw(200, body=CONTENT)
    download(
        hostile,
        goal,
        described(),
        cut_after(whole, 2500),
        cut_after(rest(2000), 0),
        resetting(),
        cut_after(rest(2000), 3100),
        answering(rest(5000)),
    )
    assert goal.read_bytes() == CONTENT
    asked = [exchange.headers.get("range") for exchange in hostile.exchanges[1:]]
    assert asked == [None, "bytes=2000-", "bytes=2000-", "bytes=2000-", "bytes=5000-"]
    assert {exchange.headers["if-match"] for exchange in hostile.exchanges[1:]} == {'"e1-2"'}


def test_a_download_that_gets_no_byte_three_times_fails(hostile: HostileStore, goal: Path) -> None:
    with pytest.raises(StorageUnavailable):
        download(hostile, goal, described(), *[cut_after(raw(200, body=CONTENT), 0)] * 3)
    left_as_it_was(goal)


@pytest.mark.usefixtures("_small_pieces")
@pytest.mark.parametrize(
    "answer",
    [
        raw(412, body=b"<Error><Code>PreconditionFailed</Code></Error>"),  # replaced by another object meanwhile
        raw(200, body=CONTENT),  # from the beginning, although only the rest was asked for
        raw(404, body=b"<Error><Code>NoSuchKey</Code></Error>"),
        raw(403, body=b"<Error><Code>AccessDenied</Code></Error>"),
    ],
)
def test_another_object_than_the_one_that_was_begun_is_never_appended(
    hostile: HostileStore, goal: Path, answer: bytes
) -> None:
    with pytest.raises(Problem):
        download(hostile, goal, described(), cut_after(raw(200, body=CONTENT), 2500), answering(answer))
    left_as_it_was(goal)


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def in_header(digest: bytes, count: str = "") -> str:
    return f"x-amz-checksum-sha256: {base64.b64encode(digest).decode()}{count}"


PARTS = [CONTENT[:4096], CONTENT[4096:8192], CONTENT[8192:]]
OF_PARTS = sha256(b"".join(sha256(part) for part in PARTS))


@pytest.mark.parametrize(
    ("head", "parts"),
    [
        (described(in_header(sha256(CONTENT)), etag="0" * 32), []),
        (described(in_header(OF_PARTS, "-3"), etag="e1-3"), [described(size=4096)]),
        (described(in_header(OF_PARTS), etag="e1-3"), [described(size=4096)]),
        (described(etag=hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()), []),
        (described("x-amz-server-side-encryption: aws:kms", etag="0" * 32), []),  # no MD5 under KMS
        (described(in_header(bytes(32), "-7"), etag="e1-7"), [described(size=4096)]),  # parts of several lengths
    ],
)
def test_right_bytes_are_taken(hostile: HostileStore, goal: Path, head: Act, parts: list[Act]) -> None:
    download(hostile, goal, head, *parts, answering(raw(200, body=CONTENT)))
    assert goal.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("head", "parts"),
    [
        (described(in_header(bytes(32)), etag="0" * 32), []),
        (described(in_header(bytes(32), "-3"), etag="e1-3"), [described(size=4096)]),
        (described(etag="0" * 32), []),
        (described("x-amz-server-side-encryption: AES256", etag="0" * 32), []),
    ],
)
def test_other_bytes_than_s3_was_given_are_not_kept(
    hostile: HostileStore, goal: Path, head: Act, parts: list[Act]
) -> None:
    with pytest.raises(StorageUnavailable, match="not those that S3 was given"):
        download(hostile, goal, head, *parts, answering(raw(200, body=CONTENT)))
    left_as_it_was(goal)


def test_an_empty_object_becomes_an_empty_file(hostile: HostileStore, goal: Path) -> None:
    download(hostile, goal, described(size=0, etag=hashlib.md5(b"", usedforsecurity=False).hexdigest()))
    assert goal.read_bytes() == b""


def test_a_missing_object_leaves_the_file_as_it_was(hostile: HostileStore, goal: Path) -> None:
    with pytest.raises(ObjectMissing):
        download(hostile, goal, answering(raw(404)), answering(raw(200)))
    left_as_it_was(goal)


def test_a_downloaded_file_has_the_permissions_of_any_new_file(hostile: HostileStore, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    download(hostile, tmp_path / "new", described(), answering(raw(200, body=CONTENT)))
    assert (tmp_path / "new").stat().st_mode == other.stat().st_mode


def test_what_cannot_be_stored_is_refused_before_anything_is_sent(s3: EmbeddedS3, tmp_path: Path) -> None:
    empty, file = tmp_path / "empty", tmp_path / "file"
    empty.touch()
    file.write_bytes(b"x")

    async def try_them() -> None:
        async with Library.of(local_environ({}, s3.environ)) as library:
            with pytest.raises(EmptyFile):
                await library.upload_file(empty, "refused/a")
            with pytest.raises(InvalidKey):
                await library.upload_file(file, "refused/../a")
            with pytest.raises(FileNotFoundError):
                await library.upload_file(tmp_path / "nothing", "refused/a")
            with pytest.raises(InvalidFilename):
                await library.get_file_url("refused/a", filename="../a")
            assert (await library.list_files("refused")).files == []

    asyncio.run(try_them())


@pytest.mark.full
def test_a_large_file_goes_up_and_down_in_constant_memory(s3: EmbeddedS3, tmp_path: Path) -> None:
    """In a process of its own, which may not take more than 96 MiB beyond what it has when it begins."""
    source = tmp_path / "large.bin"
    with source.open("wb") as file:
        file.truncate(300 * 1024 * 1024)
    code = f"""
import asyncio, os, resource
from image_upload.library import Library
async def main():
    async with Library.of({local_environ({}, s3.environ)!r}) as library:
        await library.upload_file({str(tmp_path / "small.bin")!r}, "memory/small")
        await library.download_file("memory/small", {str(tmp_path / "small.back")!r})
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await library.upload_file({str(source)!r}, "memory/large")
        await library.download_file("memory/large", {str(tmp_path / "large.back")!r})
        await library.delete_file("memory/large")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
asyncio.run(main())
"""
    (tmp_path / "small.bin").write_bytes(b"x")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    unit = 1024 if sys.platform != "darwin" else 1
    assert int(done.stdout) * unit < 96 * 1024 * 1024, done.stdout
    with source.open("rb") as sent, (tmp_path / "large.back").open("rb") as back:
        assert hashlib.file_digest(back, "sha256").digest() == hashlib.file_digest(sent, "sha256").digest()


def test_importing_the_package_costs_nothing() -> None:
    code = (
        "import sys, image_upload.library as l; "
        "assert 'image_upload.library.objects' not in sys.modules and 'pydantic' not in sys.modules; "
        "assert l.Library.__name__ == 'Library'; "
        "assert not {'boto3', 'botocore', 'fastapi', 'httpx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_the_package_has_nothing_else() -> None:
    import image_upload.library as package

    with pytest.raises(AttributeError, match="Librarian"):
        _ = package.Librarian


def test_the_library_needs_no_secret_of_the_service() -> None:
    async def sign() -> str:
        given = {"S3_BUCKET_NAME": "photos", "AWS_REGION": "eu-north-1"}  # production, as nothing else is said
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        async with Library.of(given | keys) as library:
            return (await library.get_file_url("uploads/a.jpg")).url

    assert asyncio.run(sign()).startswith("https://photos.s3.eu-north-1.amazonaws.com/uploads/a.jpg?")
