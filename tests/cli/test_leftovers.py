"""`sweep --multiparts` and `--unrecorded`: what is left of interrupted processes is listed, and removed when asked."""

import asyncio
import io
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from image_upload.cli import sweep
from image_upload.cli.doctor import rules
from image_upload.completion import leftovers
from image_upload.completion.context import CompletionContext
from image_upload.domain import keys
from image_upload.s3 import multipart, objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.multipart import OpenUpload
from image_upload.settings import load
from image_upload.telemetry import logs
from local.embedded_s3 import EmbeddedS3
from local.service import local_environ
from tests.completion.stores import do, expected_object, put
from tests.conftest import settings_for
from tests.database.databases import Place
from tests.faults.hostile import Exchange, HostileStore, hostile_store, raw

NOW = datetime.now(UTC)
OURS = f"uploads/{keys.new_id('user-1')}.jpg"
FOREIGN = "somebody/elses.zip"


def listing(*uploads: OpenUpload, following: str = "") -> bytes:
    """A page of ListMultipartUploads; a further one comes behind the key `following`."""
    entries = "".join(
        f"<Upload><Key>{each.key}</Key><UploadId>{each.upload_id}</UploadId>"
        f"<Initiated>{each.began_at:%Y-%m-%dT%H:%M:%S.000Z}</Initiated></Upload>"
        for each in uploads
    )
    more = f"<NextKeyMarker>{following}</NextKeyMarker><NextUploadIdMarker>m</NextUploadIdMarker>" if following else ""
    truncated = str(bool(following)).lower()
    return (
        f"<ListMultipartUploadsResult>{more}<IsTruncated>{truncated}</IsTruncated>{entries}</ListMultipartUploadsResult>"
    ).encode()


def old(key: str, upload_id: str, hours: float) -> OpenUpload:
    return OpenUpload(key, upload_id, NOW - timedelta(hours=hours))


def listed(**keys_and_hours: float) -> bytes:
    """A page of ListObjectsV2: chunks of resumable uploads, and their ages."""
    entries = "".join(
        f"<Contents><Key>resumable/{name}</Key><Size>1</Size>"
        f"<LastModified>{NOW - timedelta(hours=hours):%Y-%m-%dT%H:%M:%S.000Z}</LastModified></Contents>"
        for name, hours in keys_and_hours.items()
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()


@pytest.fixture
def store() -> Iterator[HostileStore]:
    """A store with four open uploads on two pages, and chunks of two resumable ones, which notes what is removed."""

    def act(exchange: Exchange) -> None:
        exchange.read_body()
        if "list-type=2" in exchange.line:
            exchange.say(raw(200, body=listed(old=26, young=24.5)))
        elif exchange.line.startswith("POST"):
            exchange.say(raw(200, body=b"<DeleteResult/>"))
        elif exchange.line.startswith("DELETE"):
            exchange.say(raw(204))
        elif "key-marker=next" in exchange.line:
            exchange.say(raw(200, body=listing(old(OURS, "second", 100))))
        else:
            page = [old(OURS, "first", 26), old(OURS, "young", 24.5), old(FOREIGN, "foreign", 100)]
            exchange.say(raw(200, body=listing(*page, following="next")))

    with hostile_store() as server:
        server.play(*[act] * 20)
        yield server


def aborted(store: HostileStore) -> list[str]:
    lines = [exchange.line for exchange in store.exchanges if exchange.line.startswith("DELETE")]
    return [line.partition("uploadId=")[2].partition("&")[0].partition(" ")[0] for line in lines]


def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environ: dict[str, str], *arguments: str) -> int:
    monkeypatch.chdir(tmp_path)
    # It would keep the standard output of this test.
    monkeypatch.setattr(logs, "configure", lambda _: None)
    for name in [name for name in os.environ if name.startswith(("AWS_", "DATABASE_"))]:
        monkeypatch.delenv(name)
    for name, value in local_environ({}, environ).items():
        monkeypatch.setenv(name, value)
    return sweep.run(arguments)


@pytest.mark.parametrize(
    ("arguments", "gone"), [((), []), (("--apply",), ["first", "second"]), (("--apply", "--hours", "48"), ["second"])]
)
def test_only_old_uploads_under_our_keys_are_aborted_and_only_when_asked(
    store: HostileStore,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    gone: list[str],
) -> None:
    environ = EmbeddedS3(store.endpoint_url).environ
    assert command(monkeypatch, tmp_path, environ, "--multiparts", *arguments) == 0
    assert aborted(store) == gone
    said = capsys.readouterr().out
    assert said.count(OURS) == (len(gone) or 2)
    assert FOREIGN not in said
    deleted = [exchange for exchange in store.exchanges if exchange.line.startswith("POST")]
    assert len(deleted) == (arguments == ("--apply",))
    assert f"{int('--hours' not in arguments)} objects of resumable uploads" in said


def test_an_open_upload_is_found_on_a_real_server(s3: EmbeddedS3) -> None:
    async def work() -> tuple[list[str], list[str]]:
        bucket = Bucket(settings_for(s3).storage)
        before = datetime.now(UTC) + timedelta(hours=1)
        key = f"files/user-1/{keys.new_id('user-1')}.bin"
        try:
            upload_id = await multipart.create(bucket, key, {"Content-Type": "a/b"})
            found = [each.upload_id async for each in leftovers.open_uploads(bucket, before)]
            await multipart.abort_each(bucket, key, [upload_id, upload_id])
            left = [each.upload_id async for each in leftovers.open_uploads(bucket, before)]
        finally:
            await bucket.aclose()
        assert upload_id in found
        return [upload_id], left

    begun, left = asyncio.run(work())
    assert not set(begun) & set(left)


# --- objects that no record names -----------------------------------------------------------------


def user_file(name: str) -> str:
    return f"users/user-1/{keys.new_id('user-1')}/{name}"


def test_only_files_that_must_have_a_record_and_have_none_are_found_and_removed(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> tuple[list[str], list[str], list[str]]:
        recorded, lost, imported = user_file("a.bin"), user_file("잃은 것.bin"), f"users/{secrets.token_hex(4)}.bin"
        plain = f"uploads/{keys.new_id('user-1')}.jpg"
        await put(context, user_file("without-any-row.bin"))
        soon = datetime.now(UTC) + timedelta(hours=1)
        nothing = [each.key async for each in leftovers.unrecorded(context, soon)]
        assert nothing == [], "an empty database says nothing about any file"
        await context.database.records.insert("file", expected_object(key=recorded))
        for key in (recorded, lost, imported, plain):
            await put(context, key)
        young = [each.key async for each in leftovers.unrecorded(context, leftovers.before(3600))]
        found = [each async for each in leftovers.unrecorded(context, soon)]
        for each in found:
            await leftovers.remove_unrecorded(context, each)
        left = [key for key in (recorded, imported, plain, lost) if await objects.head(context.bucket, key) is not None]
        assert lost in [each.key for each in found]
        assert not {recorded, imported, plain} & {each.key for each in found}
        return young, left, [recorded, imported, plain]

    young, left, kept = do(s3, place, work)
    assert young == []
    assert left == kept


def test_what_was_stored_before_the_oldest_record_is_left_alone(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> list[str]:
        key = user_file("older.bin")
        await put(context, key)
        await context.database.records.insert("file", expected_object(key=user_file("b.bin")))
        return [each.key async for each in leftovers.unrecorded(context, datetime.now(UTC) + timedelta(hours=1))]

    do(s3, place, work)
    later = (datetime.now(UTC) + timedelta(days=1)).replace(tzinfo=None)
    place.sql(f"UPDATE uploads SET created_at = '{later}'")  # a time of ours

    async def again(context: CompletionContext) -> list[str]:
        return [each.key async for each in leftovers.unrecorded(context, datetime.now(UTC) + timedelta(days=3))]

    assert do(s3, place, again) == []


def test_without_a_terminal_or_yes_nothing_is_removed(
    s3: EmbeddedS3, place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = user_file("c.bin")

    async def work(context: CompletionContext) -> None:
        await context.database.records.insert("file", expected_object(key=user_file("d.bin")))
        await put(context, key)

    async def is_there(context: CompletionContext) -> bool:
        return await objects.head(context.bucket, key) is not None

    do(s3, place, work)
    long_ago = (datetime.now(UTC) - timedelta(days=3)).replace(tzinfo=None)
    place.sql(f"UPDATE uploads SET created_at = '{long_ago}'")  # the same
    # A day has passed.
    monkeypatch.setattr(leftovers, "before", lambda _: datetime.now(UTC) + timedelta(hours=1))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    environ = {**s3.environ, "DATABASE_URL": place.url}
    assert command(monkeypatch, tmp_path, environ, "--unrecorded") == 0
    assert key in capsys.readouterr().out
    assert command(monkeypatch, tmp_path, environ, "--unrecorded", "--apply") == 2
    assert "Add --yes" in capsys.readouterr().err
    assert do(s3, place, is_there)
    assert command(monkeypatch, tmp_path, environ, "--unrecorded", "--apply", "--yes") == 0
    assert not do(s3, place, is_there)


# --- doctor ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "covers"),
    [
        ({"Filter": {"Prefix": ""}}, True),
        ({"Filter": {}}, True),
        ({"Prefix": ""}, True),
        ({"Filter": {"Prefix": "scans/"}}, False),
        ({"Filter": {"Prefix": ""}, "Status": "Disabled"}, False),
    ],
)
def test_a_rule_counts_if_it_is_on_and_for_every_key(rule: dict[str, object], covers: bool) -> None:
    usual = {"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
    assert rules._aborts_all(usual | rule) is covers
    assert not rules._aborts_all({"Status": "Enabled", **rule, "Expiration": {"Days": 1}})


def test_the_doctor_sees_that_a_rule_does_not_work(store: HostileStore) -> None:
    settings = load(local_environ({}, EmbeddedS3(store.endpoint_url).environ))
    assert asyncio.run(rules._overdue(settings)) == 1, "of ours one is older than three days"
    assert aborted(store) == []
