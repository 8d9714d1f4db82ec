"""Old paths in the application's own database become keys."""

import asyncio
from pathlib import Path

import pytest

from image_upload.cli.import_files.database import Column
from tests.cli.importing import MIB, Import, noise
from tests.cli.meddling import Answer, Call, Meddler, error
from tests.database.databases import Place, settings_with


@pytest.fixture
def posts(move: Import, unmigrated: Place) -> Place:
    """A table as some application has it, in each kind of database; the import knows the database."""
    move.environ["DATABASE_URL"] = unmigrated.url
    unmigrated.sql(
        'CREATE TABLE "Posts" (id INTEGER PRIMARY KEY, "the image" VARCHAR(200), size INTEGER, narrow VARCHAR(20))'
    )
    return unmigrated


TARGET = ("--update-db", "Posts.the image")


def insert(posts: Place, *paths: str | None) -> None:
    for number, path in enumerate(paths):
        posts.sql('INSERT INTO "Posts" (id, "the image") VALUES (%s, %s)', number, path)


def images(posts: Place) -> list[str | None]:
    return [image for (image,) in posts.sql('SELECT "the image" FROM "Posts" ORDER BY id')]


def test_rows_of_verified_files_hold_keys_and_no_others_are_touched(move: Import, posts: Place) -> None:
    names = ["a.jpg", "sub/고양이.jpg", '\'; DROP TABLE "Posts"; --.jpg', "100%_?.jpg"]
    for name in names:
        move.write(name, name.encode())
    move.write("refused\n.jpg", b"refused")
    others = ["A.jpg", "xa.jpg", "a.jpg ", "refused\n.jpg", "gone.jpg", None, ""]
    insert(posts, *names, "a.jpg", *others)
    done = move.run(*TARGET)
    assert (done.code, done.summary) == (1, {"moved": 4, "refused": 1})
    keys = {content.decode(): key for key, content in move.objects().items()}
    assert images(posts) == [*(keys[name] for name in names), keys["a.jpg"], *others]
    assert "database: 5 rows of Posts.the image changed" in done.said
    assert "database: 0 rows" in move.run(*TARGET).said
    assert images(posts) == [*(keys[name] for name in names), keys["a.jpg"], *others]


def test_the_database_may_know_files_by_other_paths(move: Import, posts: Place) -> None:
    move.write("a.jpg", b"a")
    insert(posts, "a.jpg", str(move.folder / "a.jpg"), "/media/a.jpg")
    for number, option in ((1, ("--db-path-style", "absolute")), (2, ("--db-prefix", "/media/"))):
        move.well(*TARGET, *option)
        (key,) = move.objects()
        assert images(posts)[number] == key
    assert images(posts)[0] == "a.jpg"


def test_more_paths_than_fit_into_one_statement_are_updated_in_batches(posts: Place) -> None:
    paths = [f"{number}.jpg" for number in range(1001)]
    # One statement, whatever the kind of database: its names stand for the numbers.
    posts.sql(
        'INSERT INTO "Posts" (id, "the image") '
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i, i || '.jpg' FROM n"
    )
    column = Column(settings_with(posts.url), "Posts.the image")

    async def update() -> list[int]:
        return [changed async for changed in column.update((path, f"key of {path}") for path in paths)]

    assert asyncio.run(update()) == [500, 500, 1]
    assert images(posts) == [f"key of {path}" for path in paths]
    assert asyncio.run(update()) == [0, 0, 0]


def test_a_rehearsal_counts_and_changes_nothing(move: Import, posts: Place) -> None:
    move.write("a.jpg", b"a")
    insert(posts, "a.jpg", "a.jpg", "b.jpg")
    assert "database: 2 rows of Posts.the image would be changed" in move.well(*TARGET, "--dry-run")
    assert images(posts) == ["a.jpg", "a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("posts.nothing", "There is no table posts. There are: Posts."),
        ("Posts.image", "Posts has no column image. It has: id, the image, size, narrow."),
        ("Posts.size", "size is of type INTEGER, and keys are text."),
        ("Posts", "takes TABLE.COLUMN"),
        ('Posts"; DROP TABLE "Posts.id', "There is no table"),
    ],
)
@pytest.mark.usefixtures("posts")
def test_a_column_that_cannot_be_it_is_named_before_anything_is_done(
    move: Import, meddler: Meddler, target: str, said: str
) -> None:
    move.write("a.jpg", b"a")
    done = move.run("--update-db", target)
    assert (done.code, said in done.said) == (2, True), done.said
    assert {operation for operation, _ in meddler.calls} <= {"Head"}


@pytest.mark.usefixtures("posts")
def test_a_column_that_is_too_narrow_is_told_before_anything_is_sent(move: Import, meddler: Meddler) -> None:
    move.write("a.jpg", b"a")
    done = move.run("--update-db", "Posts.narrow")
    assert (done.code, "narrow takes 20 characters" in done.said) == (1, True), done.said
    assert meddler.count("Put") == 0


def test_a_key_that_is_also_the_old_path_of_another_file_is_not_risked(
    move: Import, meddler: Meddler, posts: Place
) -> None:
    move.write("a.jpg", b"outer")
    move.write("media/a.jpg", b"inner")
    insert(posts, "a.jpg", "media/a.jpg")
    done = move.run(*TARGET, "--prefix", "media")
    assert (done.code, "could not tell them apart" in done.said) == (1, True), done.said
    assert meddler.count("Put") == 0
    other = ("--prefix", "moved", "--journal", str(move.work / "other"))
    move.well(*TARGET, *other)
    assert images(posts) == ["moved/a.jpg", "moved/media/a.jpg"]


def test_files_that_failed_keep_their_paths_until_they_are_there(move: Import, meddler: Meddler, posts: Place) -> None:
    move.write("a.jpg", b"a")
    move.write("large.bin", noise(1, 9 * MIB))
    insert(posts, "a.jpg", "large.bin")

    def refuse(call: Call) -> Answer | None:
        return error(400, "ValidationFailed") if call.operation == "Create" else None

    meddler.meddle = refuse
    assert move.run(*TARGET).code == 1
    assert images(posts)[1] == "large.bin"
    meddler.meddle = lambda _: None
    assert move.run(*TARGET).code == 0
    assert sorted(filter(None, images(posts))) == sorted(move.objects())


def test_a_database_that_fails_removes_no_file(move: Import, posts: Place) -> None:
    file = move.write("a.jpg", b"a")
    insert(posts, "a.jpg", "b.jpg")
    move.well()
    (key,) = move.objects()
    posts.sql('CREATE UNIQUE INDEX once ON "Posts" ("the image")')
    posts.sql('UPDATE "Posts" SET "the image" = %s WHERE id = 1', key)
    done = move.run(*TARGET, "--delete-after")
    assert (done.code, "stopped: The database answered" in done.said) == (1, True), done.said
    assert file.exists()
    assert images(posts) == ["a.jpg", key]


def test_a_database_that_does_not_answer_ends_it_before_it_begins(move: Import, meddler: Meddler) -> None:
    move.write("a.jpg", b"a")
    move.environ["DATABASE_URL"] = "postgresql://owner:very-secret@127.0.0.1:9/nothing"
    done = move.run(*TARGET)
    assert (done.code, "The database answered" in done.said) == (2, True), done.said
    assert "very-secret" not in done.said
    assert meddler.count("Put") == 0
    assert not Path(move.work / "list.csv").exists()
