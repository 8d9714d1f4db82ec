"""`put`: what is stored, what is said, and what becomes of a service, a store or a file that fails."""

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import secrets
import stat
import termios
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest

from image_upload.outbound import retry
from local.embedded_s3 import ACCESS_KEY, SECRET_KEY, EmbeddedS3
from local.ports import claim_port
from tests.cli.altered import Alter, Asked, altered
from tests.cli.altered import Answer as ServiceAnswer
from tests.cli.importing import MIB, noise
from tests.cli.meddling import Answer, Call, Cut, Meddler, error, meddling
from tests.cli.putting import BY_APPENDS, IN_PARTS, Put
from tests.cli.test_commands import SECRET
from tests.conftest import serving, settings_for
from tests.contract.store import opened

HTML = ServiceAnswer(200, [("Content-Type", "text/html")], b"<!doctype html><title>Welcome</title>")


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.01)
    monkeypatch.setattr(retry, "BACKOFF_MAX_S", 0.02)


@pytest.fixture(scope="module")
def store(s3: EmbeddedS3) -> Iterator[Meddler]:
    """What is between `put` and S3."""
    with meddling(s3.endpoint_url) as meddler:
        yield meddler


@pytest.fixture(scope="module")
def environ(s3: EmbeddedS3, store: Meddler) -> Iterator[dict[str, str]]:
    """A bucket of its own, which clients find behind the meddler."""
    name = f"put-{secrets.token_hex(6)}"
    with opened("moto", s3.endpoint_url, ACCESS_KEY, SECRET_KEY, name) as bucket:
        yield bucket.environ | {"S3_PUBLIC_ENDPOINT_URL": store.endpoint_url}


@pytest.fixture(scope="module")
def verifying(s3: EmbeddedS3, environ: dict[str, str]) -> Iterator[str]:
    """A service that verifies what arrives."""
    with serving(settings_for(s3, **environ, VERIFY="publish")) as url:
        yield url


@pytest.fixture
def put(verifying: str, store: Meddler, tmp_path: Path) -> Iterator[Put]:
    store.calls.clear()
    yield Put(verifying, tmp_path / "state")
    store.meddle = lambda _: None


@pytest.fixture
def photo(tmp_path: Path, jpeg: bytes) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg)
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two parts, and the second is short."""
    path = tmp_path / "video.bin"
    path.write_bytes(noise(17, 8 * MIB + 1000))
    return path


def fails(times: int, operation: str, answer: Answer | None) -> Callable[[Call], Answer | None]:
    """Meddle with the first calls of an operation. None: hang up."""
    left = [times]

    def meddle(call: Call) -> Answer | None:
        if call.operation != operation or left[0] == 0:
            return None
        left[0] -= 1
        if answer is None:
            raise Cut
        return answer

    return meddle


# --- what is stored -------------------------------------------------------------------------------


def test_a_picture_is_stored_and_its_line_says_what_is_known_of_it(put: Put, photo: Path, jpeg: bytes) -> None:
    line = put.json(photo)
    assert line["state"] == "stored"
    assert line["file"] == str(photo)
    assert (line["size"], line["sha256"]) == (len(jpeg), hashlib.sha256(jpeg).hexdigest())
    assert (line["facts"]["width"], line["facts"]["height"]) == (64, 64)
    assert "code" not in line
    assert put.read(line) == jpeg
    assert put.kept() == []


def test_without_json_a_line_for_a_person_names_the_key(put: Put, photo: Path) -> None:
    done = put.run(photo)
    assert (done.code, done.err) == (0, "1 of 1 files stored.\n")
    assert done.out.startswith(f"stored   {photo}: uploads/")
    assert put.run(photo, "--quiet") == (0, "", "")


def test_on_a_terminal_a_bar_counts_bytes_and_files(put: Put, photo: Path) -> None:
    terminal, end = os.openpty()
    termios.tcsetwinsize(end, (24, 100))
    with put.started(photo, photo, "--parallel", 1, stderr=end) as process:
        os.close(end)
        shown = b""
        with contextlib.suppress(OSError):  # EIO, once the process has ended
            while chunk := os.read(terminal, 1 << 16):
                shown += chunk
        os.close(terminal)
        process.communicate(timeout=60)
    assert process.returncode == 0
    last = shown.decode().split("\r")[-3]
    assert last.startswith("100%")
    assert last.endswith("2/2 files")


@pytest.mark.parametrize("strategy", ["put", "post", "multipart", "resumable", "proxy"])
def test_every_strategy_stores_the_same_bytes(put: Put, photo: Path, video: Path, strategy: str) -> None:
    file = video if strategy in ("multipart", "resumable") else photo
    line = put.json(file, "--purpose", "file", "--accepts", strategy)
    assert line["state"] == "stored", line
    assert put.read(line) == file.read_bytes()
    assert (line["sha256"] is not None) == (strategy in ("put", "post"))


def patches(broken: Callable[[int, Asked, Callable[[], ServiceAnswer]], ServiceAnswer]) -> Alter:
    """Answer the appends of an upload so, each with its number from 0; let the service answer the rest."""
    numbers = itertools.count()

    def alter(asked: Asked, service: Callable[[], ServiceAnswer]) -> ServiceAnswer:
        return broken(next(numbers), asked, service) if asked.method == "PATCH" else service()

    return alter


@pytest.mark.full
def test_after_a_lost_answer_an_upload_by_appends_goes_on_where_the_service_is(put: Put, video: Path) -> None:
    lengths: list[int] = []

    def broken(number: int, asked: Asked, service: Callable[[], ServiceAnswer]) -> ServiceAnswer:
        lengths.append(len(asked.body))
        answer = service()
        return HTML._replace(status=502) if number == 1 else answer

    with between(put, patches(broken)) as through:
        line = through.json(video, *BY_APPENDS)
    assert line["state"] == "stored", line
    assert lengths == [4 * MIB, 4 * MIB, 4 * MIB, 1000], "the second append twice, and the rest once"
    assert put.read(line) == video.read_bytes()


@pytest.mark.full
def test_a_service_that_loses_bytes_of_an_upload_by_appends_is_not_asked_for_ever(put: Put, video: Path) -> None:
    mismatch = ServiceAnswer(409, [], b'{"code": "offset-mismatch", "detail": "It ends elsewhere."}')
    with between(put, patches(lambda *_: mismatch)) as through:
        line = through.json(video, *BY_APPENDS)
    assert (line["state"], line["code"]) == ("failed", "offset-mismatch")


def test_all_files_of_a_folder_are_stored_and_links_are_named(put: Put, tmp_path: Path, jpeg: bytes) -> None:
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    for name in ("a.jpg", "below/b.jpg", "below/c.jpg"):
        (folder / name).write_bytes(jpeg)
    (folder / "link.jpg").symlink_to(folder / "a.jpg")
    done = put.run("--json", "-r", folder)
    assert done.code == 0
    assert sorted(line["file"] for line in done.lines) == [
        str(folder / n) for n in ("a.jpg", "below/b.jpg", "below/c.jpg")
    ]
    assert f"skipped  {folder}/link.jpg: a symbolic link" in done.err


def test_standard_input_is_stored_under_the_name_that_it_is_given(put: Put) -> None:
    dump = "create table pictures;\n" * 10_000
    with put.started("-", "--name", "dump.sql", "--purpose", "file", "--json") as process:
        out, err = process.communicate(dump, timeout=60)
    assert process.returncode == 0, err
    assert '"size": 230000' in out
    assert put.read(json.loads(out)) == dump.encode()


def test_the_metadata_of_a_purpose_is_sent(put: Put) -> None:
    recording = Path("examples/recording.wav").absolute()
    assert put.json(recording, "--purpose", "audio")["code"] == "invalid-metadata"
    line = put.json(recording, "--purpose", "audio", "--metadata", "class_id=7")
    assert (line["state"], line["key"].split("/")[:2]) == ("stored", ["audio", "7"])


@pytest.mark.parametrize(
    "name",
    [
        "고양이 사진.jpg",
        unicodedata.normalize("NFD", "고양이.jpg"),
        "🐈‍⬛📸.jpg",
        f"{'n' * 251}.jpg",
        "-o.jpg",
        'a\'b "c" $(d) {e}.jpg',
    ],
)
def test_a_file_of_any_name_is_stored_under_it(put: Put, tmp_path: Path, jpeg: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(jpeg)
    line = put.json(tmp_path / name)
    assert line["state"] == "stored", line
    assert put.read(line) == jpeg


@pytest.mark.parametrize("name", ["a\nb.jpg", os.fsdecode(b"\xff\xfe.jpg")])
def test_a_name_that_is_no_text_is_refused_in_one_line(put: Put, tmp_path: Path, jpeg: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(jpeg)
    done = put.run(tmp_path / name)
    assert done.code == 1
    assert done.err.startswith(f"failed   {tmp_path}/")
    assert len(done.err.splitlines()) == 2


def test_a_name_of_300_characters_is_refused_or_stored_never_cut(put: Put, photo: Path) -> None:
    line = put.json(photo, "--name", f"{'n' * 296}.jpg")
    assert (line["state"], line.get("code")) in (("failed", "invalid-filename"), ("stored", None))


def test_nothing_is_overtaken_by_an_empty_file_a_folder_a_missing_file_or_a_refused_type(
    put: Put, tmp_path: Path, photo: Path, store: Meddler
) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "page.html").write_text("<p>")
    os.mkfifo(tmp_path / "pipe.jpg")
    named = [tmp_path / name for name in ("empty.jpg", "page.html", "pipe.jpg", "none.jpg")] + [tmp_path, photo]
    done = put.run("--json", "--parallel", 1, *named)
    assert done.code == 1
    codes = ["empty-file", "unsupported-file-type", "unreadable", "unreadable", "unreadable", None]
    assert [line.get("code") for line in done.lines] == codes
    assert "Add --recursive" in done.lines[4]["detail"]
    assert store.count("Put") == 1, "what is refused is refused before a byte is sent"


def test_what_verification_rejects_is_said_in_the_services_sentence(put: Put, tmp_path: Path) -> None:
    page = tmp_path / "page.jpg"
    page.write_text("<!doctype html><script>alert(1)</script>")
    line = put.json(page)
    assert (line["state"], line["code"], line["fault"]) == ("rejected", "upload-rejected", "disguised")
    assert "it is text/html" in line["detail"]
    done = put.run(page)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"rejected {page}: upload-rejected: The file was sent as image/jpeg")


def test_what_is_not_verified_in_time_is_asked_for_by_the_same_command_and_not_sent_again(
    put: Put, photo: Path, store: Meddler
) -> None:
    def alter(asked: Asked, service: Callable[[], ServiceAnswer]) -> ServiceAnswer:
        checking = "/complete?wait=" in asked.target
        return ServiceAnswer(202, [], b'{"state": "checking"}') if checking else service()

    with between(put, alter) as through:
        done = through.run("--json", "--wait", 0, photo)
        assert (done.code, done.line["state"], done.line["code"]) == (1, "checking", "still-checking")
        (kept,) = put.kept()
        assert json.loads(kept.read_bytes())["key"] == done.line["key"]
        again = through.run("--json", "--wait", 0, photo)
    assert again.line["key"] == done.line["key"]
    assert store.count("Put") == 1


# --- S3 that fails --------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize(
    "answer", [None, error(500, "InternalError"), error(503, "SlowDown"), error(400, "RequestTimeout")]
)
@pytest.mark.parametrize("operation", ["Put", "Part"])
def test_a_store_that_resets_or_fails_for_a_while_is_tried_again(
    put: Put, store: Meddler, video: Path, answer: Answer | None, operation: str
) -> None:
    store.meddle = fails(3, operation, answer)
    line = put.json(video, *(IN_PARTS if operation == "Part" else ("--purpose", "file")))
    assert line["state"] == "stored", line
    assert store.count(operation) == 3 + (2 if operation == "Part" else 1)
    assert put.read(line) == video.read_bytes()


@pytest.mark.full
def test_a_store_that_stays_down_is_named_and_the_same_command_goes_on(put: Put, store: Meddler, video: Path) -> None:
    store.meddle = lambda call: error(500, "InternalError") if call.operation == "Part" else None
    line = put.json(video, *IN_PARTS)
    assert (line["state"], line["code"]) == ("failed", "store-unavailable")
    assert "500 InternalError" in line["detail"]
    assert len(put.kept()) == 1
    store.meddle = lambda _: None
    store.calls.clear()
    assert put.json(video, *IN_PARTS)["state"] == "stored"
    assert store.count("Create") == 0, "the upload went on"


@pytest.mark.parametrize("operation", ["Put", "Part"])
def test_a_url_that_has_expired_is_signed_again(put: Put, store: Meddler, video: Path, operation: str) -> None:
    store.meddle = fails(1, operation, error(403, "AccessDenied"))
    line = put.json(video, *(IN_PARTS if operation == "Part" else ("--purpose", "file")))
    assert line["state"] == "stored", line
    assert store.count(operation) == 1 + (2 if operation == "Part" else 1), "that part alone is sent again"


@pytest.mark.full
@pytest.mark.parametrize("operation", ["Put", "Part"])
def test_a_store_that_denies_a_fresh_url_too_is_named(put: Put, store: Meddler, video: Path, operation: str) -> None:
    store.meddle = lambda call: error(403, "AccessDenied") if call.operation == operation else None
    line = put.json(video, "--parallel", 1, *(IN_PARTS if operation == "Part" else ("--purpose", "file")))
    assert (line["code"], "403 AccessDenied" in line["detail"]) == ("store-denied", True)
    assert store.count(operation) == 2


def test_what_the_store_refuses_for_good_is_not_tried_again(put: Put, store: Meddler, photo: Path) -> None:
    store.meddle = fails(9, "Put", error(400, "BadDigest"))
    assert put.json(photo)["code"] == "store-refused"
    assert store.count("Put") == 1
    assert put.kept() == []


# --- a file that changes --------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize("operation", ["Put", "Part"])
@pytest.mark.parametrize("change", ["grown", "cut", "touched"])
def test_a_file_that_changes_while_it_is_sent_fails_and_nothing_is_stored(
    put: Put, store: Meddler, video: Path, operation: str, change: str
) -> None:
    def meddle(call: Call) -> Answer | None:
        if call.operation != operation:
            return None
        if change == "touched":
            os.utime(video)
        else:
            os.truncate(video, 9 * MIB if change == "grown" else MIB)
        return error(503, "SlowDown")

    store.meddle = meddle
    line = put.json(video, "--parallel", 1, *(IN_PARTS if operation == "Part" else ("--purpose", "file")))
    assert (line["state"], line["code"]) == ("failed", "changed")
    assert put.kept() == []
    if operation == "Part":
        assert store.count("Complete") == 0


# --- a service that fails -------------------------------------------------------------------------


@contextlib.contextmanager
def between(put: Put, alter: Alter) -> Iterator[Put]:
    with altered(put.url, alter) as url:
        yield Put(url, put.state, put.environ)


def busy(status: int, times: int, **headers: str) -> Alter:
    """Answer the first requests so, and let the service answer the others."""
    left = [times]

    def alter(_: Asked, service: Callable[[], ServiceAnswer]) -> ServiceAnswer:
        if left[0] == 0:
            return service()
        left[0] -= 1
        problem = b'{"code": "too-many-requests", "detail": "Too many requests."}'
        return ServiceAnswer(status, [(n.replace("_", "-"), v) for n, v in headers.items()], problem)

    return alter


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_after_the_pause_that_it_asks_for(put: Put, photo: Path, status: int) -> None:
    with between(put, busy(status, 1, Retry_After="1")) as through:
        began = time.monotonic()
        assert through.json(photo)["state"] == "stored"
        assert time.monotonic() - began >= 1


def test_a_pause_that_is_too_long_is_said_and_not_waited_for(put: Put, photo: Path) -> None:
    with between(put, busy(429, 9, Retry_After="3600")) as through:
        line = through.json(photo)
    assert (line["code"], "in 3600 seconds" in line["detail"]) == ("too-many-requests", True)


def test_a_server_that_is_not_this_service_is_named_once_for_all_files(put: Put, photo: Path, store: Meddler) -> None:
    asked: list[Asked] = []

    def alter(each: Asked, _: Callable[[], ServiceAnswer]) -> ServiceAnswer:
        asked.append(each)
        return HTML

    with between(put, alter) as through:
        done = through.run("--json", "--parallel", 1, photo, photo, photo)
    assert (done.code, [line["code"] for line in done.lines]) == (1, ["not-this-service"] * 3)
    assert len(asked) == 1
    assert store.calls == []


@pytest.mark.parametrize(
    "plan",
    [
        b"[]",
        b'"text"',
        b"{}",
        b'{"objectKey": 1}',
        b'{"objectKey": "k", "strategy": "carrier-pigeon"}',
        b'{"objectKey": "k", "strategy": "put", "presignedUrl": "file:///etc/passwd", "headers": {}}',
        b'{"objectKey": "k", "strategy": "put", "presignedUrl": "http://[", "headers": {}}',
        b'{"objectKey": "k", "strategy": "put", "presignedUrl": "http://127.0.0.1:1", "headers": {"a": "\xc3\xa9"}}',
        b'{"objectKey": "k", "strategy": "multipart", "ticket": "t", "size": 1, "partSize": 0, "partCount": 1}',
        b'{"objectKey": "k", "strategy": "multipart", "ticket": "t", "partSize": 1, "partCount": 99999999999999}',
    ],
)
def test_a_plan_that_makes_no_sense_is_no_plan(put: Put, photo: Path, plan: bytes) -> None:
    with between(put, lambda *_: ServiceAnswer(200, [], plan)) as through:
        assert through.json(photo)["code"] == "not-this-service"


def test_a_service_that_is_down_is_named_after_some_attempts(put: Put, photo: Path) -> None:
    with claim_port("127.0.0.1", 0, "PORT") as listening:
        port = listening.getsockname()[1]
    done = Put(f"http://127.0.0.1:{port}", put.state).run("--json", "--parallel", 1, photo, photo)
    assert (done.code, [line["code"] for line in done.lines]) == (1, ["service-unreachable"] * 2)
    assert f"127.0.0.1:{port} does not answer" in done.lines[0]["detail"]
    assert "It is tried again." in done.err


def test_a_gateway_that_answers_html_for_a_moment_is_tried_again(put: Put, photo: Path) -> None:
    left = [2]

    def alter(_: Asked, service: Callable[[], ServiceAnswer]) -> ServiceAnswer:
        left[0] -= 1
        return HTML._replace(status=502) if left[0] >= 0 else service()

    with between(put, alter) as through:
        assert through.json(photo)["state"] == "stored"


def test_a_store_that_compares_no_digest_gets_none(
    s3: EmbeddedS3, environ: dict[str, str], photo: Path, tmp_path: Path
) -> None:
    with serving(settings_for(s3, **environ, S3_CHECKSUMS="md5")) as url:
        assert Put(url, tmp_path / "state").json(photo)["state"] == "stored"


# --- tokens ---------------------------------------------------------------------------------------


def token() -> str:
    return jwt.encode({"sub": "user-1", "exp": int(time.time()) + 600}, SECRET, "HS256")


@pytest.fixture(scope="module")
def guarded(s3: EmbeddedS3, environ: dict[str, str]) -> Iterator[str]:
    """A service that requires a token."""
    with serving(settings_for(s3, **environ, AUTH_REQUIRED="true", JWT_SECRET=SECRET)) as url:
        yield url


def test_the_token_comes_from_the_environment_a_file_or_an_option(guarded: str, photo: Path, tmp_path: Path) -> None:
    put, file = Put(guarded, tmp_path / "state"), tmp_path / "token"
    assert put.json(photo)["code"] == "token-missing"
    file.write_text(f"{token()}\n")
    assert put.json(photo, "--token-file", file)["state"] == "stored"
    assert put.json(photo, "--token", token())["state"] == "stored"
    put.environ["IMAGE_UPLOAD_TOKEN"] = token()
    assert put.json(photo)["state"] == "stored"


@pytest.mark.full
def test_a_token_that_ends_in_the_middle_is_named_and_with_a_new_one_the_upload_goes_on(
    guarded: str, store: Meddler, video: Path, tmp_path: Path
) -> None:
    put = Put(guarded, tmp_path / "state", {"IMAGE_UPLOAD_TOKEN": token()})

    def alter(asked: Asked, service: Callable[[], ServiceAnswer]) -> ServiceAnswer:
        if asked.target.endswith("/complete"):
            return ServiceAnswer(401, [], b'{"code": "token-invalid", "detail": "The token has expired."}')
        return service()

    store.calls.clear()
    with altered(guarded, alter) as url:
        ended = Put(url, put.state, put.environ)
        done = ended.run("--json", video, *IN_PARTS)
        assert (done.code, done.line["code"]) == (1, "token-invalid")
        assert "repeat the command" in done.line["detail"]
        assert len(ended.kept()) == 1
        assert store.count("Part") == 2


def test_a_token_file_that_was_renewed_meanwhile_is_read_again(guarded: str, photo: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("stale")

    def alter(asked: Asked, service: Callable[[], ServiceAnswer]) -> ServiceAnswer:
        answer = service()
        if asked.headers["authorization"] == "Bearer stale":
            file.write_text(token())
        return answer

    with altered(guarded, alter) as url:
        assert Put(url, tmp_path / "state").json(photo, "--token-file", file)["state"] == "stored"


@pytest.mark.full
def test_a_token_that_ends_between_two_appends_is_read_again(guarded: str, video: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(token())
    renewed: list[str] = []

    def broken(number: int, asked: Asked, service: Callable[[], ServiceAnswer]) -> ServiceAnswer:
        if number == 1:
            renewed.append(jwt.encode({"sub": "user-1", "exp": int(time.time()) + 900}, SECRET, "HS256"))
            file.write_text(renewed[0])
        if number >= 1 and asked.headers["authorization"] != f"Bearer {renewed[0]}":
            return ServiceAnswer(401, [], b'{"code": "token-invalid", "detail": "The token has expired."}')
        return service()

    with altered(guarded, patches(broken)) as url:
        line = Put(url, tmp_path / "state").json(video, "--token-file", file, *BY_APPENDS)
    assert (line["state"], line["size"]) == ("stored", 8 * MIB + 1000), line


@pytest.mark.full
def test_the_token_is_sent_to_the_service_alone(guarded: str, store: Meddler, video: Path, tmp_path: Path) -> None:
    seen: list[Call] = []
    store.meddle = seen.append  # None lets S3 answer
    try:
        line = Put(guarded, tmp_path / "state", {"IMAGE_UPLOAD_TOKEN": token()}).json(video, *IN_PARTS)
    finally:
        store.meddle = lambda _: None
    assert line["state"] == "stored"
    assert [call.operation for call in seen] == ["Part"] * 2
    assert not any(name.lower() == "authorization" for call in seen for name in call.headers)


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("a.jpg", "--service", "ftp://example.com"),
        ("a.jpg", "--service", "http://user:secret@example.com"),
        ("a.jpg", "--service", "http://[::1"),
        ("a.jpg", "--service", "http://localhost:port"),
        ("-",),
        ("a.jpg", "b.jpg", "--name", "c.jpg"),
        ("a.jpg", "--parallel", "0"),
        ("a.jpg", "--parallel", "65"),
        ("a.jpg", "--wait", "nan"),
        ("a.jpg", "--accepts", "pigeon"),
        ("a.jpg", "--metadata", "class_id"),
        ("a.jpg", "--token", "two words"),
        ("a.jpg", "--token-file", "/nonexistent"),
    ],
)
def test_options_that_cannot_be_used_end_with_2_before_anything_is_asked(put: Put, arguments: tuple[str, ...]) -> None:
    done = put.run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "secret" not in done.err
    assert "two words" not in done.err


def test_without_a_service_the_option_and_the_variable_are_named(put: Put, photo: Path) -> None:
    put.environ["IMAGE_UPLOAD_SERVICE"] = ""
    done = put.run(photo)
    assert done.code == 2
    assert "--service URL, or IMAGE_UPLOAD_SERVICE" in done.err


# --- state ----------------------------------------------------------------------------------------


def stopped(put: Put, store: Meddler, video: Path) -> None:
    """Run until the store has the first of two parts and refuses the second."""
    store.meddle = lambda call: error(500, "InternalError") if "partNumber=2" in call.target else None
    assert put.json(video, "--parallel", 1, *IN_PARTS)["code"] == "store-unavailable"
    store.meddle = lambda _: None
    store.calls.clear()


def test_a_second_run_sends_the_missing_part_alone(put: Put, store: Meddler, video: Path) -> None:
    stopped(put, store, video)
    (kept,) = put.kept()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    line = put.json(video, *IN_PARTS)
    assert line["state"] == "stored"
    assert store.count("Part") == 1
    assert put.read(line) == video.read_bytes()
    assert put.kept() == []


@pytest.mark.full
def test_a_file_that_has_changed_since_begins_anew(put: Put, store: Meddler, video: Path) -> None:
    stopped(put, store, video)
    video.write_bytes(noise(18, 8 * MIB + 1000))
    line = put.json(video, *IN_PARTS)
    assert put.read(line) == video.read_bytes()
    assert store.count("Part") == 2


@pytest.mark.full
def test_another_purpose_or_service_is_another_upload(put: Put, store: Meddler, video: Path) -> None:
    stopped(put, store, video)
    assert put.json(video, *IN_PARTS, "--type", "video/mp4")["state"] == "stored"
    assert store.count("Part") == 2
    assert len(put.kept()) == 1


@pytest.mark.full
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"size_bytes": 1}', b"\xff"])
def test_a_state_that_a_kill_cut_off_begins_anew(put: Put, store: Meddler, video: Path, content: bytes) -> None:
    stopped(put, store, video)
    put.kept()[0].write_bytes(content)
    assert put.json(video, *IN_PARTS)["state"] == "stored"
    assert store.count("Part") == 2


@pytest.mark.full
def test_a_ticket_that_works_no_more_begins_anew(put: Put, store: Meddler, video: Path) -> None:
    stopped(put, store, video)
    (kept,) = put.kept()
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"ticket": "of-another-secret"}))
    assert put.json(video, *IN_PARTS)["state"] == "stored"
    assert store.count("Part") == 2


def test_without_resume_nothing_is_kept_and_what_failed_is_aborted(put: Put, store: Meddler, video: Path) -> None:
    store.meddle = lambda call: error(400, "InvalidRequest") if call.operation == "Part" else None
    assert put.json(video, "--no-resume", *IN_PARTS)["code"] == "store-refused"
    assert put.kept() == []


def test_where_nothing_can_be_kept_the_file_is_stored_all_the_same(put: Put, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    done = put.run(photo)
    assert done.code == 0
    assert "Nothing can be kept" in done.err


def test_what_is_older_than_its_ticket_is_removed_unless_it_is_being_sent(put: Put, photo: Path) -> None:
    folder = put.state / "image-upload"
    folder.mkdir(parents=True)
    young, old, sent = (folder / f"{name}.json" for name in ("young", "old", "sent"))
    for each in (young, old, sent):
        each.write_text("{}")
    days_ago = time.time() - 3 * 86_400
    for each in (old, sent):
        os.utime(each, (days_ago, days_ago))
    with sent.open() as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        assert put.json(photo)["state"] == "stored"
    assert put.kept() == [sent, young]
