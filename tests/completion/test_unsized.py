"""An object that is larger than its key allows goes when S3 reports it, when it is swept, when its quota is needed."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from image_upload.auth.principals import Principal
from image_upload.completion.confirmation import confirm
from image_upload.completion.context import CompletionContext
from image_upload.domain import keys
from image_upload.domain.shipped_purposes import PURPOSES
from image_upload.errors import QuotaExceeded
from image_upload.s3 import objects
from image_upload.uploads.plans import UploadSpec
from image_upload.uploads.service import UploadService
from local.embedded_s3 import EmbeddedS3
from tests.cli.test_leftovers import command
from tests.completion.stores import do, put
from tests.completion.test_batches import batch, failures
from tests.completion.test_events import created, notification, received
from tests.completion.test_one_door import service_of
from tests.conftest import settings_for
from tests.database.databases import Place, migrated
from tests.usage.test_daily_quotas import Clock, clock

__all__ = ["clock"]

MIB = 1024 * 1024
SPEC = UploadSpec("image/jpeg", PURPOSES.named["upload"], Principal("user-1", signed_in=True))


@pytest.fixture
def sqlite(tmp_path: Path) -> Place:
    return migrated(Place(f"sqlite:///{tmp_path / 'a.sqlite3'}"))


def key_for(max_bytes: int | None) -> str:
    return keys.make(PURPOSES.named["scan"], user_id="user-1", ext="", max_bytes=max_bytes, now=datetime.now(UTC))


def stored(s3: EmbeddedS3, place: Place, *some: str) -> list[str]:
    """Those of the keys that have an object."""

    async def work(context: CompletionContext) -> list[str]:
        return [key for key in some if await objects.head(context.bucket, key) is not None]

    return do(s3, place, work)


def store(s3: EmbeddedS3, place: Place, **limits: int | None) -> list[str]:
    """Store five bytes under a key with each limit."""

    async def work(context: CompletionContext) -> list[str]:
        made = [key_for(max_bytes) for max_bytes in limits.values()]
        for key in made:
            await put(context, key)
        return made

    return do(s3, place, work)


@pytest.mark.parametrize("kind", ["notification", "eventbridge", "queue"])
@pytest.mark.parametrize("has_database", [True, False])
def test_an_event_removes_what_is_too_large_and_nothing_else(
    s3: EmbeddedS3, sqlite: Place, kind: str, *, has_database: bool
) -> None:
    large, fits, signed = store(s3, sqlite, large=4, fits=5, signed=None)
    place = sqlite if has_database else None
    if kind == "queue":
        lost = failures(received(batch(*map(created, (large, fits, signed))), s3, place))
        assert lost == ([] if has_database else ["m0", "m1", "m2"]), "records may be waiting for these"
    elif kind == "notification":
        received(notification(large, fits, signed), s3, place)
    else:
        for key in (large, fits, signed):
            received(created(key), s3, place)
    left = [fits, signed] if has_database or kind != "queue" else [large, fits, signed]
    assert stored(s3, sqlite, large, fits, signed) == left


def test_sweep_lists_what_is_too_large_and_removes_it_when_asked(
    s3: EmbeddedS3, sqlite: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large, fits, signed = store(s3, sqlite, large=4, fits=5, signed=None)
    assert command(monkeypatch, tmp_path, s3.environ, "--oversized") == 0
    said = capsys.readouterr().out
    assert (large in said, fits in said, signed in said) == (True, False, False)
    assert said.endswith("files found that are above their limit. Add --apply to remove them.\n")
    assert stored(s3, sqlite, large) == [large]
    assert command(monkeypatch, tmp_path, s3.environ, "--oversized", "--apply", "--yes") == 0
    assert stored(s3, sqlite, large, fits, signed) == [fits, signed]


def test_its_quota_is_given_back_when_its_url_can_store_nothing_more(
    s3: EmbeddedS3, place: Place, clock: Clock
) -> None:
    async def work(context: CompletionContext) -> list[bool]:
        clock.now = time.time()
        uploads = service_of(context, s3, place)
        first = await uploads.plan(SPEC, "put")
        await put(context, first.key, bytes(11 * MIB))
        assert (await confirm(context, first.key)).fault == "size"
        assert await objects.head(context.bucket, first.key) is None
        had_room = [await has_room(uploads), await has_room(uploads)]
        clock.now += 300 + 300 + 1
        return [*had_room, await has_room(uploads)]

    quota = str(20 * MIB)
    assert do(s3, place, work, QUOTA_BYTES_PER_DAY=quota, QUOTA_BYTES_TOTAL=quota) == [True, False, True]


async def has_room(uploads: UploadService) -> bool:
    try:
        await uploads.plan(SPEC, "put")
    except QuotaExceeded:
        return False
    return True


def test_an_operators_lower_limit_removes_nothing(s3: EmbeddedS3, sqlite: Place, tmp_path: Path) -> None:
    """The key has the limit of its own time."""
    (key,) = store(s3, sqlite, large=5)
    purposes = tmp_path / "purposes.toml"
    purposes.write_text('[scan]\nkey = "scans/{yyyymmdd}/{user}/{id}"\ntypes = ["images"]\nlargest = 4\n')
    settings = settings_for(s3, PURPOSES_FILE=str(purposes))
    assert settings.storage.purposes.default.max_bytes == 4

    async def work(context: CompletionContext) -> None:
        assert (await confirm(context, key)).fault is None

    do(s3, sqlite, work, PURPOSES_FILE=str(purposes))
    assert stored(s3, sqlite, key) == [key]
