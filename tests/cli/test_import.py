"""From local storage into the bucket: what becomes of each file."""

import csv
import os
import socket
import unicodedata
from email.header import decode_header, make_header
from pathlib import Path

import pytest

from image_upload.cli.import_files.cleanup import write_list
from image_upload.cli.import_files.rules import content_type
from image_upload.cli.import_files.tree import Found, Tree
from image_upload.domain.shipped_purposes import PURPOSES
from tests.cli.importing import MIB, Import, noise
from tests.cli.meddling import Call, Meddler


def journal_of(move: Import) -> Path:
    return move.work / "media.import-journal"


def test_every_file_is_stored_once_with_its_type_and_its_name(move: Import) -> None:
    move.write("고양이.jpg", noise(1, 1000))
    move.write("2026/수업/1교시.mp3", noise(2, 70_000))
    move.write("2026/report.pdf", b"%PDF")
    move.write("large.bin", noise(3, 20 * MIB + 1))
    done = move.run("--user", "user-1", "--class-id", "class-7")
    assert (done.code, done.summary) == (0, {"moved": 4})
    move.everything_once()
    found = {}
    for key in move.objects():
        head = move.store.head(key)
        assert head is not None
        metadata = {name: str(make_header(decode_header(value))) for name, value in head["Metadata"].items()}
        assert metadata.pop("upload_timestamp").startswith("20")
        assert key.startswith("files/user-1/")
        found[metadata.pop("original_filename")] = (key.rpartition(".")[2], head["ContentType"], metadata)
    both = {"user_id": "user-1", "class_id": "class-7"}
    assert found == {
        "고양이.jpg": ("jpg", "image/jpeg", both | {"content_type": "image/jpeg"}),
        "1교시.mp3": ("mp3", "audio/mpeg", both | {"content_type": "audio/mpeg"}),
        "report.pdf": ("pdf", "application/pdf", both | {"content_type": "application/pdf"}),
        "large.bin": ("bin", "application/octet-stream", both | {"content_type": "application/octet-stream"}),
    }


def test_storage_class_and_encryption_are_those_of_the_settings(move: Import) -> None:
    move.write("a.jpg", b"a")
    move.write("large.bin", noise(1, 9 * MIB))
    move.environ |= {"S3_STORAGE_CLASSES": "file:STANDARD_IA", "S3_SSE": "AES256"}
    move.well()
    heads = [move.store.head(key) for key in move.objects()]
    assert [(head["StorageClass"], head["ServerSideEncryption"]) for head in heads if head] == [
        ("STANDARD_IA", "AES256")
    ] * 2


def test_a_second_run_sends_nothing(move: Import, meddler: Meddler) -> None:
    move.write("a.jpg", b"a")
    move.write("b.bin", noise(1, 9 * MIB))
    move.well()
    meddler.calls.clear()
    done = move.run()
    assert (done.code, done.summary) == (0, {"already there": 2})
    assert {operation for operation, _ in meddler.calls} == {"Head"}, "one look at the bucket"
    move.everything_once()


def test_a_new_file_and_a_changed_one_are_sent_by_the_next_run(move: Import) -> None:
    move.write("same.jpg", b"same")
    small, large = move.write("small.jpg", b"before"), move.write("large.bin", noise(1, 9 * MIB))
    move.well()
    keys = set(move.objects())
    small.write_bytes(b"behind")
    large.write_bytes(noise(2, 9 * MIB))
    move.write("new.jpg", b"new")
    assert move.run().summary == {"moved": 3, "already there": 1}
    assert keys < set(move.objects()), "a changed file keeps its key"
    move.everything_once()


def test_a_file_that_was_only_touched_is_not_sent_again(move: Import) -> None:
    for file in (move.write("a.jpg", b"a"), move.write("b.bin", noise(1, 9 * MIB))):
        move.well()
        os.utime(file, (1, 1))
    assert move.run().summary == {"already there": 2}
    assert move.run("--delete-after").summary == {"already there": 2, "removed here": 2}


def test_what_does_not_fit_the_purpose_is_refused_and_not_sent(move: Import, meddler: Meddler) -> None:
    move.write("good.jpg", b"x")
    move.write("program.exe")
    move.write("noext")
    move.write("large.png", b"\0" * (10 * MIB + 1))
    move.write("line\nbreak.jpg")
    move.write("empty.jpg", b"")
    Path(os.fsdecode(os.fsencode(move.folder) + b"/euckr\xb0\xed.jpg")).write_bytes(b"x")
    done = move.run("--purpose", "upload")
    assert (done.code, done.summary) == (1, {"moved": 1, "refused": 6})
    assert "refused  empty.jpg: The file is empty (0 bytes); nothing was stored." in done.said
    assert r"refused  line\nbreak.jpg: The file name holds control characters." in done.said
    assert r"refused  euckr\xb0\xed.jpg: The name is no UTF-8." in done.said
    assert "refused  large.png: The file has 10.1 MiB; the purpose upload takes at most 10 MiB" in done.said
    assert [operation for operation, _ in meddler.calls if operation != "Head"] == ["Put"]
    assert [key.partition("/")[0] for key in move.objects()] == ["uploads"]


def test_with_verify_only_what_is_what_it_says_is_sent(move: Import, jpeg: bytes) -> None:
    move.write("good.jpg", jpeg)
    move.write("other.png", jpeg)
    move.write("page.jpg", b"<html><script>alert(1)</script></html>")
    move.write("cut off.jpg", jpeg[:-10])
    options = ("--purpose", "upload", "--verify")
    rehearsed = move.run(*options, "--dry-run")
    assert (rehearsed.code, rehearsed.summary) == (1, {"would move": 2, "refused": 2})
    assert move.objects() == {}
    done = move.run(*options)
    assert (done.code, done.summary) == (1, {"moved": 2, "refused": 2})
    assert "refused  page.jpg: The file was sent as image/jpeg, but it is text/html." in done.said
    assert "refused  cut off.jpg: The picture cannot be read" in done.said
    heads = [move.store.head(key) for key in move.objects()]
    assert [head["ContentType"] for head in heads if head is not None] == ["image/jpeg"] * 2


def test_with_a_prefix_the_relative_path_stays(move: Import) -> None:
    decomposed = unicodedata.normalize("NFD", "고양이.jpg")
    move.write(f"a b/{decomposed}", b"cat")
    move.write("50%+1~.txt", b"percent")
    move.well("--prefix", "/media/old/")
    assert move.objects() == {"media/old/a b/고양이.jpg": b"cat", "media/old/50%+1~.txt": b"percent"}


def test_two_names_for_one_key_are_not_mixed_up(move: Import) -> None:
    move.write(unicodedata.normalize("NFC", "고.jpg"), b"composed")
    move.write(unicodedata.normalize("NFD", "고.jpg"), b"decomposed")
    done = move.run("--prefix", "media")
    assert (done.code, done.summary) == (1, {"moved": 1, "refused": 1})
    assert "another file of this folder gets the same key" in done.said
    move = Import(move.store, move.folder, move.work, move.endpoint_url)
    assert move.run("--journal", str(move.work / "other")).summary == {"moved": 2}


@pytest.mark.parametrize("size", [10, 9 * MIB])
def test_another_object_under_the_same_key_is_never_overwritten(move: Import, size: int) -> None:
    move.write("a.bin", noise(1, size))
    move.store.write("media/a.bin", b"another file")
    done = move.run("--prefix", "media")
    assert (done.code, done.summary) == (1, {"failed": 1})
    assert "another object is already there under media/a.bin" in done.said
    assert move.objects() == {"media/a.bin": b"another file"}
    assert move.unfinished() == []


@pytest.mark.parametrize("size", [10, 9 * MIB])
def test_the_same_bytes_under_the_same_key_are_already_there(move: Import, size: int) -> None:
    move.write("a.bin", noise(1, size))
    move.well("--prefix", "media")
    done = move.run("--prefix", "media", "--journal", str(move.work / "other"))
    assert (done.code, done.summary) == (0, {"already there": 1})


def test_links_sockets_and_pipes_are_skipped_and_named(move: Import, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_bytes(b"secret")
    move.write("a.jpg", b"a")
    (move.folder / "link.txt").symlink_to(outside / "secret.txt")
    (move.folder / "linked").symlink_to(outside)
    (move.folder / "dangling").symlink_to(outside / "nothing")
    os.mkfifo(move.folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(move.folder / "socket"))
    done = move.run()
    assert (done.code, done.summary) == (0, {"moved": 1, "skipped": 5})
    for line in ("link.txt: a symbolic link", "pipe: a pipe", "socket: a socket"):
        assert f"skipped  {line}" in done.said
    assert list(move.objects().values()) == [b"a"]


def test_links_are_followed_when_asked_and_loops_end(move: Import, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.txt").write_bytes(b"b")
    move.write("a.txt", b"a")
    (move.folder / "linked").symlink_to(outside)
    (move.folder / "loop").symlink_to(move.folder)
    (move.folder / "self").symlink_to("self")
    done = move.run("--follow-symlinks")
    assert sorted(move.objects().values()) == [b"a", b"b"]
    assert (done.code, done.summary) == (1, {"moved": 2, "failed": 1})
    assert move.run("--follow-symlinks", "--delete-after").code == 2


def test_a_folder_that_becomes_a_link_is_not_entered(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_bytes(b"secret")
    folder = tmp_path / "media"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/a.txt").write_bytes(b"a")
    tree = Tree(str(folder))
    (found,) = tree.walk()
    assert isinstance(found, Found)
    (folder / "sub").rename(tmp_path / "gone")
    (folder / "sub").symlink_to(outside)
    with pytest.raises(NotADirectoryError):
        tree.open(found.path)
    with pytest.raises(NotADirectoryError):
        tree.remove(found.path, found.stat)
    tree.close()


def test_what_is_excluded_is_left_out(move: Import) -> None:
    for path in ("a.jpg", ".DS_Store", "cache/b.jpg", "sub/cache/c.jpg", "sub/d.tmp"):
        move.write(path, path.encode())
    move.well("--exclude", ".DS_Store", "--exclude", "*.tmp", "--exclude", "sub/cache")
    assert sorted(move.objects().values()) == [b"a.jpg", b"cache/b.jpg"]


def test_a_rehearsal_says_what_would_be_done_and_writes_nothing(move: Import, meddler: Meddler) -> None:
    move.write("a.jpg", b"a")
    move.write("large.bin", noise(1, 9 * MIB))
    move.write("line\nbreak")
    before = sorted(move.work.rglob("*"))
    done = move.run("--dry-run", "--delete-after", "--rewrite-list", str(move.work / "list.csv"))
    assert (done.code, done.summary) == (1, {"would move": 2, "refused": 1})
    assert {operation for operation, _ in meddler.calls} == {"Head"}
    assert sorted(move.work.rglob("*")) == before


def test_a_rehearsal_in_the_middle_knows_what_is_done(move: Import) -> None:
    move.write("a.jpg", b"a")
    move.well()
    move.write("b.jpg", b"b")
    before = journal_of(move).read_bytes()
    assert move.run("--dry-run").summary == {"would move": 1, "already there": 1}
    assert journal_of(move).read_bytes() == before
    assert move.run().summary == {"moved": 1, "already there": 1}


def test_the_list_names_every_file_that_s3_has(move: Import) -> None:
    move.write('=1+1,"a"\'.csv', b"formula")
    move.write("고/양.jpg", b"cat")
    move.well()
    move.write("refused\n")
    move.write("new.bin", noise(1, 9 * MIB))
    target = move.work / "list.csv"
    target.write_text("of an earlier time")
    assert move.run("--rewrite-list", str(target)).code == 1
    with target.open(encoding="utf-8", newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {'=1+1,"a"\'.csv', "고/양.jpg", "new.bin"}
    objects = move.objects()
    assert {row["key"] for row in rows.values()} == objects.keys()
    assert {path: int(row["bytes"]) for path, row in rows.items()} == {
        path: len(objects[row["key"]]) for path, row in rows.items()
    }
    assert [file.name for file in move.work.iterdir() if "list" in file.name] == ["list.csv"]


def test_the_list_outlives_a_crash_by_its_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, synced = tmp_path / "list.csv", []
    fsync = os.fsync

    def noting(fd: int) -> None:
        synced.append((os.path.samestat(os.fstat(fd), tmp_path.stat()), target.exists()))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    write_list(str(target), iter(()))
    assert synced[-1] == (True, True), "the folder, after the list has its name"


def test_journal_and_list_inside_the_folder_are_not_moved(move: Import) -> None:
    move.write("a.jpg", b"a")
    inside = ("--journal", str(move.folder / "journal"), "--rewrite-list", str(move.folder / "list.csv"))
    assert move.run(*inside).summary == {"moved": 1}
    assert move.run(*inside).summary == {"already there": 1}


def test_only_files_that_s3_confirms_are_removed(move: Import) -> None:
    kept = [
        move.write("lost.jpg", b"lost"),
        move.write("other.jpg", b"other"),
        move.write("large.bin", noise(1, 9 * MIB)),
    ]
    gone = [move.write("sub/a.jpg", b"a"), move.write("b.bin", noise(2, 9 * MIB))]
    move.well()
    keys = {content: key for key, content in move.objects().items()}
    move.store.s3.delete_object(Bucket=move.store.bucket, Key=keys[b"lost"])
    move.store.write(keys[b"other"], b"OTHER")
    move.store.write(keys[noise(1, 9 * MIB)], noise(3, 9 * MIB))
    kept.append(move.write("refused\n"))
    done = move.run("--delete-after")
    assert (done.code, done.summary) == (1, {"already there": 5, "refused": 1, "failed": 3, "removed here": 2})
    assert "kept here: S3 has no longer what was stored" in done.said
    assert [file.exists() for file in kept] == [True] * 4
    assert [file.exists() for file in gone] == [False] * 2
    assert (move.folder / "sub").is_dir(), "empty folders stay"


def test_a_file_that_changes_after_it_was_sent_is_not_removed(move: Import, meddler: Meddler) -> None:
    file = move.write("a.jpg", b"before")

    def change_it_when_s3_is_asked_once_more(_: Call) -> None:
        if meddler.calls[-1] == ("Head", next(iter(move.objects()), None)):
            file.write_bytes(b"behind")

    meddler.meddle = change_it_when_s3_is_asked_once_more
    done = move.run("--delete-after")
    assert (done.code, done.summary) == (1, {"moved": 1, "failed": 1})
    assert "kept here: it has changed since it was sent" in done.said
    assert file.read_bytes() == b"behind"
    meddler.meddle = lambda _: None
    assert move.run("--delete-after").summary == {"moved": 1, "removed here": 1}
    assert list(move.objects().values()) == [b"behind"]


def test_a_removed_file_is_not_missed_by_the_next_run(move: Import) -> None:
    move.write("a.jpg", b"a")
    move.well("--delete-after")
    target = move.work / "list.csv"
    assert move.run("--rewrite-list", str(target)).summary == {}
    assert "a.jpg" in target.read_text()


@pytest.mark.parametrize("name", sorted(PURPOSES.with_gif().named))
def test_every_extension_of_a_purpose_gives_a_type_that_the_purpose_takes(name: str) -> None:
    purpose = PURPOSES.with_gif().named[name]
    for extensions in purpose.types.values():
        for ext in extensions:
            assert ext in (purpose.extensions_of(content_type(purpose, ext)) or ()), ext


@pytest.mark.parametrize(
    ("ext", "media_type"),
    [
        ("jpg", "image/jpeg"),
        ("gif", "image/gif"),
        ("webm", "video/webm"),
        ("mp3", "audio/mpeg"),
        ("m4a", "audio/mp4"),
        ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("hwp", "application/x-hwp"),
        ("gz", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("nothing", "application/octet-stream"),
    ],
)
def test_the_type_of_any_file_follows_its_extension(ext: str, media_type: str) -> None:
    assert content_type(PURPOSES.named["file"], ext) == media_type
