"""`python -m image_upload import` into each S3 server: what is there afterwards, by the server's own word."""

import random
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.importing import MIB, Import, noise
from tests.contract.conftest import strict_store
from tests.contract.store import Store, opened

# tests/cli runs it on moto.
pytestmark = strict_store

SIZES = (1, 5 * MIB, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 16 * MIB, 33 * MIB + 7)
KILLS = 5


@pytest.fixture
def move(store: Store, tmp_path: Path) -> Iterator[Import]:
    """A bucket of its own, so that all of it can be compared."""
    bucket = f"import-{secrets.token_hex(6)}"
    with opened(store.name, store.endpoint_url, store.access_key, store.secret_key, bucket) as own:
        folder = tmp_path / "media"
        folder.mkdir()
        yield Import(own, folder, tmp_path, own.endpoint_url)
        for key in move_keys(own):
            own.s3.delete_object(Bucket=bucket, Key=key)


def move_keys(store: Store) -> list[str]:
    pages = store.s3.get_paginator("list_objects_v2").paginate(Bucket=store.bucket)
    return [found["Key"] for page in pages for found in page.get("Contents", ())]


@pytest.mark.full
def test_files_of_every_length_are_stored_once_and_known(move: Import) -> None:
    for number, size in enumerate(SIZES):
        move.write(f"수업/{number}+%20 1교시.mp3", noise(number, size))
    done = move.run("--purpose", "audio", "--class-id", "class-7", "--user", "user-1")
    assert (done.code, done.summary) == (0, {"moved": len(SIZES)}), done.said
    move.everything_once()
    for key in move_keys(move.store):
        assert key.startswith("audio/class-7/")
        metadata = move.store.metadata(
            key, "user_id", "class_id", "content_type", "original_filename", "upload_timestamp"
        )
        assert (metadata["user_id"], metadata["class_id"]) == ("user-1", "class-7")
        assert metadata["original_filename"].endswith("+%20 1교시.mp3")
        head = move.store.head(key)
        assert head is not None
        assert head["ContentType"] == "audio/mpeg"
    assert move.run("--purpose", "audio", "--class-id", "class-7", "--user", "user-1").summary == {
        "already there": len(SIZES)
    }


def test_paths_stay_and_what_was_there_stays_too(move: Import) -> None:
    for number, size in enumerate((10, 9 * MIB)):
        move.write(f"a b/고+~%{number}.bin", noise(number, size))
        move.write(f"taken{number}.bin", noise(10 + number, size))
        move.store.write(f"media/taken{number}.bin", b"another file")
    done = move.run("--prefix", "media")
    assert (done.code, done.summary) == (1, {"moved": 2, "failed": 2}), done.said
    assert move.objects() == {
        "media/a b/고+~%0.bin": noise(0, 10),
        "media/a b/고+~%1.bin": noise(1, 9 * MIB),
        "media/taken0.bin": b"another file",
        "media/taken1.bin": b"another file",
    }
    assert move.unfinished() == []


def test_changed_files_replace_their_objects_and_confirmed_ones_are_removed(move: Import) -> None:
    small, large = move.write("small.jpg", b"before"), move.write("large.bin", noise(1, 9 * MIB))
    move.well()
    before = set(move_keys(move.store))
    small.write_bytes(b"behind")
    large.write_bytes(noise(2, 9 * MIB))
    done = move.run("--delete-after")
    assert (done.code, done.summary) == (0, {"moved": 2, "removed here": 2}), done.said
    assert set(move_keys(move.store)) == before
    assert sorted(move.objects().values()) == sorted([b"behind", noise(2, 9 * MIB)])
    assert list(move.folder.iterdir()) == []


@pytest.mark.full
def test_killed_at_random_moments_every_file_is_there_once(move: Import) -> None:
    seed = random.SystemRandom().randrange(2**32)
    moments = random.Random(seed)  # to be repeated by its seed
    print(f"seed {seed}")  # shown when it fails
    for number in range(100):
        move.write(f"{number}.jpg", noise(number, 50 + number * 50))
    for number in range(3):
        move.write(f"large{number}.bin", noise(1000 + number, 40 * MIB + number))
    for _ in range(KILLS):
        process = move.start("--jobs", "8")
        time.sleep(0.4 + moments.random() * 0.6)  # how far it comes is chance, and meant to be
        process.kill()
        process.communicate(timeout=60)
    done = move.run()
    assert done.code == 0, done.said
    move.everything_once()
