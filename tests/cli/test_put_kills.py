"""`put` that is killed in the middle of a large file, on a store that checks signatures and lengths, and repeated."""

import hashlib
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from image_upload.settings import load
from local.service import WIRED, local_environ
from local.stores import opened_stores
from tests.cli.altered import Answer as ServiceAnswer
from tests.cli.altered import Asked, altered
from tests.cli.importing import MIB, noise
from tests.cli.meddling import Answer, Call, Cut, Meddler, meddling
from tests.cli.putting import BY_APPENDS, IN_PARTS, Put
from tests.conftest import serving

pytestmark = pytest.mark.full

SIZE = 150 * MIB
PARTS = 19  # of 8 MiB, the last one of 6
END_WITHIN_S = 120
LARGE = ("--purpose", "file", "--json")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Meddler, dict[str, str]]]:
    """SeaweedFS, where there is a wheel of it, behind a meddler."""
    with (
        opened_stores("auto", {}, tmp_path_factory.mktemp("store")) as stores,
        meddling(stores.environ["AWS_S3_ENDPOINT_URL"]) as meddler,
    ):
        yield meddler, stores.environ


@pytest.fixture(scope="module")
def url(store: tuple[Meddler, dict[str, str]]) -> Iterator[str]:
    meddler, environ = store
    with serving(load(WIRED | local_environ({}, environ) | {"S3_PUBLIC_ENDPOINT_URL": meddler.endpoint_url})) as url:
        yield url


@pytest.fixture
def meddler(store: tuple[Meddler, dict[str, str]]) -> Iterator[Meddler]:
    store[0].calls.clear()
    yield store[0]
    store[0].meddle = lambda _: None


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.bin"
    path.write_bytes(noise(7, SIZE))
    return path


@pytest.fixture
def put(url: str, tmp_path: Path) -> Put:
    return Put(url, tmp_path / "state")


class Sent:
    """Counts the bytes of parts that the store has confirmed, and signals the client at the part of this number."""

    def __init__(self, at: int, end: signal.Signals, operation: str = "Part", *, behind: bool = False) -> None:
        self.bytes = 0
        self.process: subprocess.Popen[str]
        self._armed = threading.Event()
        self._lock = threading.Lock()
        self._at, self._end, self._operation, self._behind = at, end, operation, behind
        self._seen = 0

    def start(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._armed.set()

    def __call__(self, call: Call) -> Answer | None:
        with self._lock:
            self._seen += call.operation == self._operation
            strikes = call.operation == self._operation and self._seen == self._at
        if strikes:
            answer = call.pass_on(call) if self._behind else None
            self.bytes += len(call.body) if answer is not None and call.operation == "Part" else 0
            assert self._armed.wait(END_WITHIN_S)
            self.process.send_signal(self._end)
            self.process.wait(END_WITHIN_S)
            raise Cut
        answer = call.pass_on(call)
        if call.operation == "Part" and answer.status == 200:
            with self._lock:
                self.bytes += len(call.body)
        return answer


def sha256_of(line: dict[str, Any], url: str) -> str:
    digest = hashlib.sha256()
    with httpx.stream("GET", httpx.get(f"{url}/images/{line['key']}").json()["url"]) as response:
        for chunk in response.iter_bytes():
            digest.update(chunk)
    return digest.hexdigest()


def unfinished(environ: dict[str, str]) -> list[Any]:
    s3 = boto3.client(
        "s3",
        endpoint_url=environ["AWS_S3_ENDPOINT_URL"],
        region_name=environ["AWS_REGION"],
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
    )
    try:
        listed: list[Any] = s3.list_multipart_uploads(Bucket=environ["S3_BUCKET_NAME"]).get("Uploads", [])
        return listed
    finally:
        s3.close()


@pytest.mark.parametrize(
    ("end", "code", "at", "operation", "behind"),
    [
        (signal.SIGKILL, -signal.SIGKILL, 1, "Part", False),
        (signal.SIGKILL, -signal.SIGKILL, 10, "Part", False),
        (signal.SIGKILL, -signal.SIGKILL, 10, "Part", True),
        (signal.SIGINT, 130, 10, "Part", False),
        (signal.SIGTERM, 130, 10, "Part", True),
    ],
)
def test_killed_in_the_middle_it_sends_what_is_missing_and_the_bytes_are_the_same(
    put: Put,
    meddler: Meddler,
    store: tuple[Meddler, dict[str, str]],
    film: Path,
    end: signal.Signals,
    code: int,
    at: int,
    operation: str,
    behind: bool,
) -> None:
    before = len(unfinished(store[1]))
    meddler.meddle = first = Sent(at, end, operation, behind=behind)
    with put.started(film, *LARGE) as process:
        first.start(process)
        _, err = process.communicate(timeout=END_WITHIN_S)
    assert process.returncode == code, err
    assert len(put.kept()) == 1
    meddler.meddle = second = Sent(0, end)
    meddler.calls.clear()
    done = put.run(film, *LARGE)
    assert (done.code, done.line["state"]) == (0, "stored"), done
    assert meddler.count("Create") == 0
    # A part that S3 confirmed is not sent again; what it got of a part whose client was gone by then may be.
    twice_bytes = first.bytes + second.bytes - SIZE
    assert 0 <= twice_bytes <= 4 * 8 * MIB, "more than the parts that were under way were sent twice"
    assert second.bytes <= SIZE - (at - 4) * 8 * MIB
    assert sha256_of(done.line, put.url) == hashlib.sha256(film.read_bytes()).hexdigest()
    assert put.kept() == []
    assert len(unfinished(store[1])) == before


@pytest.mark.parametrize("at", [0, 2, 4], ids=["first", "middle", "last"])
@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
def test_killed_at_an_append_it_goes_on_where_the_service_is(
    put: Put, store: tuple[Meddler, dict[str, str]], tmp_path: Path, at: int, behind: bool
) -> None:
    before = len(unfinished(store[1]))
    film = tmp_path / "film.bin"
    film.write_bytes(noise(11, 17 * MIB))  # four appends of 4 MiB, and one of 1 MiB
    armed, lengths = threading.Event(), list[int]()

    def kill(asked: Asked, service: Callable[[], ServiceAnswer]) -> ServiceAnswer:
        if asked.method != "PATCH":
            return service()
        lengths.append(len(asked.body))
        if len(lengths) != at + 1:
            return service()
        answer = service() if behind else ServiceAnswer(503, [], b"")
        assert armed.wait(END_WITHIN_S)
        process.kill()
        process.wait(END_WITHIN_S)
        return answer

    with altered(put.url, kill) as url:
        through = Put(url, put.state)
        with through.started(film, "--json", *BY_APPENDS) as process:
            armed.set()
            process.communicate(timeout=END_WITHIN_S)
        assert process.returncode == -signal.SIGKILL
        assert len(put.kept()) == 1
        done = through.run(film, "--json", *BY_APPENDS)
    assert (done.code, done.line["state"]) == (0, "stored"), done
    assert sum(lengths) == 17 * MIB + (0 if behind else lengths[at]), "what was acknowledged is not sent again"
    assert sha256_of(done.line, put.url) == hashlib.sha256(film.read_bytes()).hexdigest()
    assert put.kept() == []
    assert len(unfinished(store[1])) == before


def test_killed_before_the_service_is_told_of_a_whole_put_it_sends_nothing_again(
    put: Put, meddler: Meddler, tmp_path: Path, jpeg: bytes
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg)
    meddler.meddle = sent = Sent(1, signal.SIGKILL, "Put", behind=True)
    with put.started(photo, "--json") as process:
        sent.start(process)
        process.communicate(timeout=END_WITHIN_S)
    assert process.returncode == -signal.SIGKILL
    meddler.meddle = lambda _: None
    meddler.calls.clear()
    line = put.json(photo)
    assert (line["state"], line["sha256"]) == ("stored", hashlib.sha256(jpeg).hexdigest())
    assert meddler.count("Put") == 0


def test_interrupted_without_resume_nothing_stays_in_the_store(
    put: Put, meddler: Meddler, store: tuple[Meddler, dict[str, str]], film: Path
) -> None:
    before = len(unfinished(store[1]))
    meddler.meddle = sent = Sent(5, signal.SIGINT)
    with put.started(film, "--no-resume", *LARGE) as process:
        sent.start(process)
        process.communicate(timeout=END_WITHIN_S)
    assert process.returncode == 130
    assert put.kept() == []
    assert len(unfinished(store[1])) == before


def test_of_two_processes_that_send_the_same_file_one_is_told_so(put: Put, meddler: Meddler, film: Path) -> None:
    sending, go_on = threading.Event(), threading.Event()

    def hold(call: Call) -> Answer | None:
        if call.operation == "Part":
            sending.set()
            assert go_on.wait(END_WITHIN_S)
        return None

    meddler.meddle = hold
    with put.started(film, *LARGE) as process:
        assert sending.wait(END_WITHIN_S)
        other = put.json(film, *LARGE)
        go_on.set()
        process.communicate(timeout=END_WITHIN_S)
    assert (other["state"], other["code"]) == ("failed", "being-sent")
    assert process.returncode == 0
    assert meddler.count("Part") == PARTS


# Prints the most memory that the command had. What getrusage says counts that of the process that started it.
MEASURED = """
import re, sys
from image_upload.__main__ import main
code = main()
with open("/proc/self/status") as status:
    print(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says there what a process has had")
def test_a_gibibyte_takes_no_more_memory_than_a_small_file(url: str, tmp_path: Path) -> None:
    peaks_kib = []
    for size in (9 * MIB, 1024 * MIB):
        film = tmp_path / "zeros.bin"
        with film.open("wb") as file:
            file.truncate(size)
        with Put(url, tmp_path / "state").started(film, *IN_PARTS, program=("-c", MEASURED, "put")) as process:
            out, err = process.communicate(timeout=600)
        assert process.returncode == 0, out + err
        peaks_kib.append(int(err.split()[-1]))
    small, large = peaks_kib
    print(f"{small} KiB for 9 MiB, {large} KiB for 1 GiB")  # shown when it fails
    assert large - small < 16 * 1024
