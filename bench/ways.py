"""The ways of a file through a proxy: the stores, the files, the servers, and how curl sends to each."""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from bench.measuring import (
    NotMeasured,
)
from bench.run import Bench
from bench.surroundings import AWS, SERVICE

MIB = 1024 * 1024
WARM_UP_BYTES = 8 * MIB
UPLOAD_WITHIN_S = 60

PLAIN, RETRY = "/upload-with-presigned", "/upload-with-presigned-retry"
DIRECT = "curl straight to the store"
FORWARDER = "bare ASGI forwarder"
KEEPING = "bare ASGI forwarder, keeping freed memory"
STREAMED = "this service, uploadUrl first"
RETRIED = "this service, with retry, uploadUrl first"
SPOOLED = "this service, file first"
GRANIAN = "this service under Granian, uploadUrl first"
NAIVE = "FastAPI + httpx, naive proxy"
TUS = "@tus/server with @tus/s3-store"


@dataclass(frozen=True, slots=True)
class Store:
    """A store, and the credentials that sign URLs for it."""

    url: str
    access_key: str
    secret_key: str
    session_token: str | None = None

    def client(self) -> Any:
        """Return a boto3 client that ignores this machine's configuration."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=AWS["AWS_REGION"],
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            aws_session_token=self.session_token,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, proxies={}),
        )

    def settings(self) -> dict[str, str]:
        """Return the service's settings for it."""
        return {
            "ENVIRONMENT": "local",
            "AWS_S3_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.session_token or "",
        }


@dataclass(slots=True)
class Files:
    """The file to send, a small one for warming up, and a new key for each upload."""

    store: Store
    large: Path
    small: Path
    presign: Callable[[str], str]
    keys: list[str] = field(default_factory=list)

    def url(self) -> str:
        """Return a presigned PUT of a new key."""
        self.keys.append(f"uploads/{uuid.uuid4().hex}.bin")
        return self.presign(self.keys[-1])

    def put(self, path: Path) -> float:
        """Send a file straight to the store; return the seconds."""
        return curl("-T", str(path), "-H", "Content-Type: application/octet-stream", self.url())

    def post(self, server: str, path: Path, *, url_first: bool = True) -> float:
        """Send a file in a form to a proxy; return the seconds."""
        fields = ["-F", f"uploadUrl={self.url()}", "-F", f"file=@{path};type=application/octet-stream"]
        return curl(*(fields if url_first else [*fields[2:], *fields[:2]]), server)


def files_for(bench: Bench, store: Store, size: int) -> Files:
    large, small = _file(bench.home, "large", size), _file(bench.home, "small", WARM_UP_BYTES)
    return Files(store, large, small, signed_for(store))


def _file(home: Path, name: str, size: int) -> Path:
    """Write a file of random bytes. Like a picture it has line ends everywhere, which a form's parser searches for."""
    path, block = home / name, os.urandom(MIB)
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(block)
    return path


def signed_for(store: Store) -> Callable[[str], str]:
    client, bucket = store.client(), SERVICE["S3_BUCKET_NAME"]

    def presign(key: str) -> str:
        params = {"Bucket": bucket, "Key": key}
        return str(client.generate_presigned_url("put_object", Params=params, ExpiresIn=3600))

    return presign


def curl(*words: str, statuses: tuple[str, ...] = ("200",)) -> float:
    """Return the seconds that curl takes for one request, without its own start."""
    # Without `Expect: 100-continue`: not every peer's server answers it at once.
    asked = ["-sS", "--noproxy", "*", "-H", "Expect:", "--max-time", str(UPLOAD_WITHIN_S)]
    command = ["curl", *asked, "-w", "\n%{http_code} %{time_total}", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=UPLOAD_WITHIN_S + 5)
    body, _, said = done.stdout.rpartition("\n")
    status, _, seconds = said.partition(" ")
    if done.returncode or status not in statuses:
        raise NotMeasured(f"curl: HTTP {status} {body[:200]} {done.stderr.strip()}")
    return float(seconds)


def uvicorn(app: str) -> Callable[[int], list[str]]:
    options = ["--host", "127.0.0.1", "--workers", "1", "--loop", "uvloop", "--http", "httptools"]
    quiet = ["--no-access-log", "--log-level", "warning"]
    return lambda port: [sys.executable, "-m", "uvicorn", app, *options, *quiet, "--port", str(port)]


def granian(app: str) -> Callable[[int], list[str]]:
    options = ["--interface", "asgi", "--host", "127.0.0.1", "--workers", "1", "--loop", "uvloop", "--http", "1"]
    return lambda port: [sys.executable, "-m", "granian", *options, "--no-log", "--port", str(port), app]


@dataclass(frozen=True, slots=True)
class Way:
    """A server between curl and the store, and how curl sends it a form."""

    command: Callable[[int], list[str]]
    path: str
    url_first: bool = True
    keeps_memory: bool = False


UPLOAD = uvicorn("upload:app")
WAYS = {
    FORWARDER: Way(uvicorn("bench.peers.forwarder:app"), "/"),
    KEEPING: Way(uvicorn("bench.peers.forwarder:app"), "/", keeps_memory=True),
    STREAMED: Way(UPLOAD, PLAIN),
    RETRIED: Way(UPLOAD, RETRY),
    SPOOLED: Way(UPLOAD, PLAIN, url_first=False),
    NAIVE: Way(uvicorn("bench.peers.naive_proxy:app"), PLAIN),
}


def need_curl() -> None:
    if shutil.which("curl") is None:
        raise NotMeasured("there is no curl")
