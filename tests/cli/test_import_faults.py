"""What an import does when S3, the disk, the files or the operator do not do what they should."""

import asyncio
import os
import pty
import signal
import sqlite3
import subprocess
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.importing import MIB, Import, noise
from tests.cli.meddling import Answer, Call, Cut, Meddler, error

pytestmark = pytest.mark.full

END_WITHIN_S = 60


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Back-off without waiting; the pauses that there would have been."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def at_once(seconds: float) -> None:
        if seconds:
            pauses.append(seconds)
        await sleep(0)  # the others go on, and no time passes

    monkeypatch.setattr(asyncio, "sleep", at_once)
    return pauses


@pytest.fixture
def files(move: Import) -> Import:
    """Ten small files and one in three parts."""
    for number in range(10):
        move.write(f"{number}.jpg", noise(number, 1000))
    move.write("large.bin", noise(99, 20 * MIB))
    return move


# --- S3 -------------------------------------------------------------------------------------------


def test_a_throttling_s3_gets_everything_in_the_end(files: Import, meddler: Meddler, no_pauses: list[float]) -> None:
    def every_other_call_is_too_fast(call: Call) -> Answer | None:
        return error(503, "SlowDown") if call.operation != "Head" and len(meddler.calls) % 2 else None

    meddler.meddle = every_other_call_is_too_fast
    done = files.run()
    assert (done.code, done.summary["moved"]) == (0, 11)
    files.everything_once()
    assert no_pauses


@pytest.mark.usefixtures("no_pauses")
def test_a_lost_answer_makes_no_double(files: Import, meddler: Meddler) -> None:
    lost: set[tuple[str, str]] = set()

    def lose_the_first_answer_to_each(call: Call) -> Answer | None:
        each = (call.operation, call.key)
        if call.operation in ("Put", "Complete", "Create", "Part") and each not in lost:
            lost.add(each)
            call.pass_on(call)
            raise Cut
        return None

    meddler.meddle = lose_the_first_answer_to_each
    assert files.run().code == 0
    assert {operation for operation, _ in lost} == {"Put", "Complete", "Create", "Part"}
    assert files.hashes() == files.local()


@pytest.mark.usefixtures("no_pauses")
def test_when_s3_goes_away_the_import_stops_and_the_next_run_goes_on(files: Import, meddler: Meddler) -> None:
    def gone_after_six_calls(_: Call) -> Answer | None:
        if len(meddler.calls) > 6:
            raise Cut
        return None

    meddler.meddle = gone_after_six_calls
    done = files.run("--jobs", "2")
    assert done.code == 1
    assert "stopped: S3 does not take files at the moment. Then repeat the same command" in done.said
    assert 0 < done.summary["failed"] <= 5, "it does not ask for every file"
    assert done.said.count("waiting  S3 answered nothing") == 1
    meddler.meddle = lambda _: None
    assert files.run().code == 0
    files.everything_once()


def test_a_denial_stops_at_once_and_names_the_action(files: Import, meddler: Meddler) -> None:
    meddler.meddle = lambda call: error(403, "AccessDenied") if call.operation == "Put" else None
    done = files.run("--jobs", "1")
    assert done.code == 1
    assert "S3 answered 403 AccessDenied to PutObject" in done.said
    assert "s3:PutObject" in done.said
    assert meddler.count("Put") == 1


@pytest.mark.usefixtures("no_pauses")
def test_fresh_credentials_are_asked_for_when_the_old_ones_have_ended(files: Import, meddler: Meddler) -> None:
    def the_first_ones_end_after_five_calls(call: Call) -> Answer | None:
        if len(meddler.calls) > 5 and "Credential=first" in call.target:
            os.environ["AWS_ACCESS_KEY_ID"] = "second"
            return error(400, "ExpiredToken") if call.method != "HEAD" else Answer(400)
        return None

    meddler.meddle = the_first_ones_end_after_five_calls
    files.environ["AWS_ACCESS_KEY_ID"] = "first"
    done = files.run("--jobs", "4")
    assert (done.code, done.summary) == (0, {"moved": 11})
    files.everything_once()


@pytest.mark.usefixtures("no_pauses")
def test_credentials_that_stay_ended_stop_the_import(files: Import, meddler: Meddler) -> None:
    meddler.meddle = lambda call: error(400, "ExpiredToken") if call.operation == "Put" else None
    done = files.run()
    assert done.code == 1
    assert "The AWS credentials have ended, and there are no fresh ones." in done.said
    meddler.meddle = lambda _: None
    assert files.run().code == 0
    files.everything_once()


@pytest.mark.usefixtures("no_pauses")
def test_bytes_that_were_changed_on_the_way_are_sent_again(files: Import, meddler: Meddler) -> None:
    spoilt: set[str] = set()

    def spoil_the_first(call: Call) -> Answer | None:
        if call.operation in ("Put", "Part") and call.target.partition("&X-Amz")[0] not in spoilt:
            spoilt.add(call.target.partition("&X-Amz")[0])
            call.body = bytes([call.body[0] ^ 1]) + call.body[1:]
        return None

    meddler.meddle = spoil_the_first
    assert files.run().code == 0
    files.everything_once()


@pytest.mark.usefixtures("no_pauses")
def test_bytes_that_are_always_changed_are_never_called_stored(files: Import, meddler: Meddler) -> None:
    def spoil(call: Call) -> Answer | None:
        if call.operation in ("Put", "Part"):
            call.body = bytes([call.body[0] ^ 1]) + call.body[1:]
        return None

    meddler.meddle = spoil
    done = files.run("--delete-after", "--jobs", "64")
    assert (done.code, done.summary) == (1, {"failed": 11})
    assert files.objects() == {}
    assert len(files.local()) == 11


@pytest.mark.usefixtures("no_pauses")
def test_an_upload_that_a_lifecycle_rule_aborts_is_begun_anew(move: Import, meddler: Meddler) -> None:
    move.write("large.bin", noise(1, 20 * MIB))
    aborted: list[str] = []

    def abort_the_first(call: Call) -> Answer | None:
        if call.operation == "Part" and not aborted:
            (upload,) = move.unfinished()
            move.store.s3.abort_multipart_upload(
                Bucket=move.store.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )
            aborted.append(upload["UploadId"])
        # moto's own answer to a part of an upload that is gone is a 500
        return error(404, "NoSuchUpload") if call.operation == "Part" and aborted[0] in call.target else None

    meddler.meddle = abort_the_first
    assert move.run().code == 0
    move.everything_once()


@pytest.mark.parametrize(("status", "said"), [(404, "no such bucket"), (403, "s3:ListBucket"), (500, "error")])
def test_a_bucket_that_cannot_be_used_ends_it_before_it_begins(
    files: Import, meddler: Meddler, status: int, said: str
) -> None:
    meddler.meddle = lambda _: Answer(status)
    done = files.run()
    assert done.code == 2
    assert said in done.said


def test_without_an_s3_it_does_not_begin(files: Import) -> None:
    files.endpoint_url = "http://127.0.0.1:9"
    done = files.run()
    assert (done.code, "S3 did not answer" in done.said) == (2, True)


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_pauses")
def test_a_file_that_is_written_to_while_it_is_read_is_stored_as_it_is_at_the_end(
    move: Import, meddler: Meddler
) -> None:
    file = move.write("large.bin", noise(1, 20 * MIB))

    def append_once(call: Call) -> Answer | None:
        if call.operation == "Part" and file.stat().st_size == 20 * MIB:
            with file.open("ab") as out:
                out.write(b"more")
        return None

    meddler.meddle = append_once
    assert move.run().code == 0
    move.everything_once()


@pytest.mark.parametrize("change", ["append", "truncate", "overwrite"])
@pytest.mark.usefixtures("no_pauses")
def test_a_file_that_never_stops_changing_is_reported_and_nothing_of_it_stays(
    move: Import, meddler: Meddler, change: str
) -> None:
    file = move.write("large.bin", noise(1, 80 * MIB))
    counter = iter(range(10**6))

    def meddle(call: Call) -> Answer | None:
        if call.operation == "Part":
            size = file.stat().st_size
            if change == "append":
                os.truncate(file, size + 1)
            elif change == "truncate":
                os.truncate(file, max(16 * MIB, size // 2))
            with file.open("r+b") as out:
                out.write(str(next(counter)).encode())
        return None

    meddler.meddle = meddle
    done = move.run("--delete-after")
    assert (done.code, done.summary) == (1, {"failed": 1})
    assert "it changes while it is read" in done.said
    assert (move.objects(), move.unfinished()) == ({}, [])
    assert file.exists()


def test_a_file_that_vanishes_is_reported(files: Import, meddler: Meddler) -> None:
    def remove_all(_: Call) -> Answer | None:
        for file in files.folder.iterdir():
            file.unlink()
        return None

    meddler.meddle = lambda call: remove_all(call) if call.operation == "Put" else None
    for number in range(100, 300):
        files.write(f"{number}.jpg", noise(number, 10))
    done = files.run("--jobs", "1")
    assert done.code == 1
    assert done.summary["moved"] + done.summary["failed"] == 211
    assert done.said.count(": it is gone") == done.summary["failed"]
    assert files.run().summary == {"failed": done.summary["failed"]}, "said once more: S3 never confirmed them"
    assert files.run().summary == {}


def test_a_file_that_grows_beyond_its_purpose_is_refused(move: Import, meddler: Meddler) -> None:
    move.write("a.jpg", b"a")
    grown = move.write("b.jpg", b"b")

    def grow(call: Call) -> Answer | None:
        if call.operation == "Put" and not grown.stat().st_size > 1:
            os.truncate(grown, 11 * MIB)
        return None

    meddler.meddle = grow
    for number in range(30):
        move.write(f"{number}.jpg", noise(number, 5))
    done = move.run("--purpose", "upload", "--jobs", "1")
    if done.summary["moved"] == 32:  # it was sent before it grew
        assert move.run("--purpose", "upload").summary["refused"] == 1
    else:
        assert (done.code, done.summary) == (1, {"moved": 31, "refused": 1})
    assert move.unfinished() == []


# --- the journal ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [("--prefix", "other"), ("--user", "other"), ("--purpose", "document")])
def test_the_journal_of_another_import_is_refused(move: Import, meddler: Meddler, options: tuple[str, str]) -> None:
    move.write("a.txt", b"a")
    move.well()
    meddler.calls.clear()
    done = move.run(*options)
    assert done.code == 2
    assert f"belongs to another import: {options[0][2:]} was" in done.said
    assert meddler.calls == []


def test_the_journal_of_another_folder_or_bucket_is_refused(move: Import) -> None:
    move.write("a.txt", b"a")
    journal = ("--journal", str(move.work / "journal"))
    move.well(*journal)
    other = Import(move.store, move.work / "elsewhere", move.work, move.endpoint_url)
    other.write("a.txt", b"a")
    assert "folder was" in other.run(*journal).said
    move.environ["S3_BUCKET_NAME"] = "another-bucket"
    done = move.run(*journal)
    assert (done.code, "bucket was" in done.said) == (2, True), done.said


def test_a_file_that_is_no_journal_is_refused_and_left_alone(move: Import) -> None:
    move.write("a.txt", b"a")
    text, database = move.work / "text", move.work / "database"
    text.write_text("not a database, and long enough to be told from one" * 100)
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    for file in (text, database):
        before = file.read_bytes()
        done = move.run("--journal", str(file))
        assert (done.code, "is no journal of this command" in done.said) == (2, True), done.said
        assert file.read_bytes()[100:] == before[100:]


def test_two_imports_do_not_share_a_journal(files: Import, meddler: Meddler) -> None:
    second: list[tuple[str, str, int]] = []

    def start_another(call: Call) -> Answer | None:
        if call.operation == "Put" and not second:
            process = files.start()
            out, err = process.communicate(timeout=END_WITHIN_S)
            second.append((out, err, process.returncode))
        return None

    meddler.meddle = start_another
    assert files.run().code == 0
    assert second[0][2] == 2
    assert "Another import is using the journal" in second[0][1]
    files.everything_once()


def test_a_full_disk_stops_the_import_and_the_next_run_goes_on(move: Import) -> None:
    for number in range(300):
        move.write(f"{'long' * 20}{number}", noise(number, 10))
    # Files of this process cannot grow above 40 KiB: to SQLite that is a full disk.
    process = move.start("--jobs", "4", before=["sh", "-c", 'ulimit -f 40; exec "$@"', "sh"])
    out, err = process.communicate(timeout=END_WITHIN_S)
    assert process.returncode in (1, 2), out + err
    assert "The journal" in err, out + err
    assert "Make room" in err
    assert "Traceback" not in err
    assert move.run().code == 0
    move.everything_once()


# --- the operator ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_import_says_how_to_go_on(files: Import, meddler: Meddler, number: signal.Signals) -> None:
    processes: list[subprocess.Popen[str]] = []
    known, ended = threading.Event(), threading.Event()

    def interrupt(call: Call) -> Answer | None:
        # The first part may come before the process is known here. None is answered: it must not come to its end.
        if call.operation == "Part" and not ended.is_set() and known.wait(END_WITHIN_S):
            if processes:
                processes.pop().send_signal(number)
            ended.wait(END_WITHIN_S)
            raise Cut
        return None

    meddler.meddle = interrupt
    process = files.start()
    processes.append(process)
    known.set()
    try:
        out, err = process.communicate(timeout=END_WITHIN_S)
    finally:
        ended.set()
    assert process.returncode == 130, out + err
    assert "stopped. Repeat the same command: it goes on where it was." in err
    assert "Traceback" not in err
    assert "moved" in out
    assert files.run().code == 0
    files.everything_once()


def test_on_a_terminal_there_is_a_bar_and_elsewhere_none(files: Import) -> None:
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    process = subprocess.Popen(
        files.start_line, cwd=files.work, env=files.surroundings, stdout=subprocess.PIPE, stderr=terminal, text=True
    )
    os.close(terminal)
    shown = b"".join(_until_closed(controller)).decode()
    out, _ = process.communicate(timeout=END_WITHIN_S)
    assert process.returncode == 0
    assert "11/11 files" in shown
    assert "100%" in shown
    assert "left" in shown
    assert "B/s" in shown
    assert "moved" in out
    (files.work / "media.import-journal").unlink()
    assert "%" not in files.run("--prefix", "again").said


def _until_closed(fd: int) -> Iterator[bytes]:
    with open(fd, "rb", buffering=0) as terminal:
        while True:
            try:
                data = terminal.read(4096)
            except OSError:  # what Linux says when the other end is closed
                return
            if not data:
                return
            yield data


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--purpose", "audio"), "needs --class-id"),
        (("--purpose", "nothing"), "There is no purpose nothing"),
        (("--jobs", "0"), "invalid"),
        (("--jobs", "65"), "invalid"),
        (("--prefix", "a/../b"), "must not start with"),
        (("--user", ""), "--user or --prefix"),
        (("--update-db", "posts.image"), "DATABASE_URL"),
        (("--rewrite-list", "/nowhere/list.csv"), "There is no folder"),
        (("--db-prefix", "/x", "--db-path-style", "absolute"), "not allowed with"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_done(
    files: Import, meddler: Meddler, options: tuple[str, ...], said: str
) -> None:
    done = files.run(*options)
    assert (done.code, said in done.said) == (2, True), done.said
    assert meddler.calls == []
    assert [file.name for file in files.work.iterdir()] == ["media"]


def test_a_folder_that_is_not_there_is_named(move: Import) -> None:
    move.folder = Path("/nowhere/at all")
    done = move.run()
    assert (done.code, "/nowhere/at all cannot be opened: No such file or directory." in done.said) == (2, True)


def test_nothing_secret_is_shown(files: Import, meddler: Meddler) -> None:
    meddler.meddle = lambda call: error(403, "AccessDenied") if call.operation == "Put" else None
    files.environ |= {"AWS_SECRET_ACCESS_KEY": "very-secret-key", "AWS_SESSION_TOKEN": "very-secret-token"}
    said = files.run().said
    assert "very-secret" not in said
    assert "X-Amz-Signature" not in said
    assert b"very-secret" not in (files.work / "media.import-journal").read_bytes()
