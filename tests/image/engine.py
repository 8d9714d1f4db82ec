"""podman with a storage of its own below the tests' cache: build the Dockerfile, run what came out.

TEST_ENGINE names another storage there. `make e2e` has one: where it hides /run and /dev/shm, podman takes the machine
for a new one and forgets every container of its storage, which may then be running outside.

    image = build()
    with running(image, "--publish", "127.0.0.1:8123:8080", environ={…}) as container: …

runc does the work, because crun refuses machines whose cgroups are mixed. Nothing of the system's own container storage
or configuration is read or changed, apart from the packages' policy.json.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.contract import servers
from tests.image.base import CERTIFICATES, base

ROOT = Path(__file__).parents[2]
BUILD_WITHIN_S = 600.0
RUN_WITHIN_S = 120.0
# Should the tests be killed, their containers end by themselves.
CONTAINER_LIVES_S = 600
# What a process gets on Lambda. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
# The user is another than any that the image knows.
AS_ON_LAMBDA = (
    "--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp:size=512m", "--memory=1024m", "--user=993:990",
    "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024",
)  # fmt: skip
# Its own network with a way to this machine's loopback, at this address.
NETWORK = "--network=slirp4netns:allow_host_loopback=true"
HOST = "10.0.2.2"


class Container(NamedTuple):
    """A container by its name."""

    name: str

    def logs(self) -> tuple[str, str]:
        """What it has written to standard output and to standard error."""
        done = _called("logs", self.name)
        return done.stdout, done.stderr

    def exit_code(self, within_s: float = RUN_WITHIN_S) -> int | None:
        """How it ended; None if it has not after that time.

        Not `podman wait`: that waits for the container's monitor to be reaped too, which is the business of this
        machine's first process and may take it half a minute.
        """
        deadline = time.monotonic() + within_s
        while True:
            state = "--format={{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}"
            status, code, pid = podman("inspect", state, self.name).split()
            if status in ("exited", "stopped"):
                return int(code)
            if (left_s := deadline - time.monotonic()) <= 0:
                return None
            _wait_for_end(int(pid), left_s)

    def signal(self, name: str) -> None:
        """Send a signal to its first process."""
        podman("kill", f"--signal={name}", self.name)


def _wait_for_end(pid: int, within_s: float) -> None:
    """Wait for a process that is not a child of this one. Each look at its container would take a tenth of a second."""
    try:
        process = os.pidfd_open(pid)
    except OSError:
        time.sleep(servers.POLL_S)  # it has ended, and podman has not noted it
        return
    with os.fdopen(process) as ended:
        select.select([ended], [], [], within_s)


class _Storage(NamedTuple):
    """Where images lie for ever, and where sockets lie until the machine starts anew.

    A socket's path may have 107 characters (unix(7)), so those are near the root.
    """

    images: Path
    sockets: Path


@functools.cache
def _storage() -> _Storage:
    """The storage and its configuration, made on first use."""
    images = base().parent.parent / os.environ.get("TEST_ENGINE", "podman")
    sockets = Path("/run") / f"image-upload-{hashlib.sha256(str(images).encode()).hexdigest()[:8]}"
    for folder in (images, sockets):
        folder.mkdir(mode=0o700, exist_ok=True)
    # An overlay on an overlay, as in a container, is refused by the kernel.
    kind = subprocess.run(["stat", "-f", "-c", "%T", images], capture_output=True, text=True, check=True).stdout.strip()
    files: dict[str, dict[str, dict[str, object]]] = {
        "storage.conf": {
            "storage": {
                "driver": "vfs" if kind == "overlayfs" else "overlay",
                "graphroot": str(images / "graph"),
                "runroot": str(sockets / "run"),
            }
        },
        "containers.conf": {
            "containers": {"default_ulimits": ["nofile=1024:1024", "nproc=1024:1024"]},
            "engine": {
                "cgroup_manager": "cgroupfs",
                "events_logger": "file",
                "runtime": "runc",
                "tmp_dir": str(sockets / "engine"),
            },
            "engine.runtimes": {"runc": [shutil.which("runc")]},
        },
    }
    for name, tables in files.items():
        # What TOML and JSON write alike.
        lines = [
            line
            for table, values in tables.items()
            for line in (f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()))
        ]
        partial = images / f"{name}.{os.getpid()}"
        partial.write_text("\n".join([*lines, ""]), encoding="utf-8")
        partial.rename(images / name)
    return _Storage(images, sockets)


def configuration() -> dict[str, str]:
    """The environment that makes podman use this storage."""
    storage = _storage()
    return {
        "CONTAINERS_STORAGE_CONF": str(storage.images / "storage.conf"),
        "CONTAINERS_CONF": str(storage.images / "containers.conf"),
        "TMPDIR": str(storage.images),
    }


def _environ() -> dict[str, str]:
    return os.environ | configuration()


def podman(*arguments: str, within_s: float = RUN_WITHIN_S) -> str:
    """What a podman command prints. Raises `servers.ServerError` with what it complained of."""
    return _called(*arguments, within_s=within_s).stdout.strip()


def _called(*arguments: str, within_s: float = RUN_WITHIN_S) -> subprocess.CompletedProcess[str]:
    # Files, not pipes: a container's network keeps what it inherits open for as long as it lives.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        code = subprocess.run(
            ["podman", *arguments], env=_environ(), stdin=subprocess.DEVNULL, stdout=out, stderr=err, check=False,
            timeout=within_s,
        ).returncode  # fmt: skip
        for file in (out, err):
            file.seek(0)
        done = subprocess.CompletedProcess(arguments, code, out.read(), err.read())
    if code != 0:
        raise servers.ServerError(f"podman {arguments[0]} ended with {code}:\n{done.stdout}{done.stderr}")
    return done


def base_image() -> str:
    """The id of the base in podman's storage."""
    tag = f"localhost/{base().parent.name}"
    with _locked("import"):
        if not podman("images", "--quiet", tag):
            changes = ["ENV PATH=/usr/local/bin:/usr/bin:/bin", "ENV LAMBDA_TASK_ROOT=/var/task", "WORKDIR /var/task"]
            changes.append(f"ENV PIP_CERT={CERTIFICATES}")
            options = [word for change in changes for word in ("--change", change)]
            podman("import", *options, str(base()), tag, within_s=BUILD_WITHIN_S)
    return podman("images", "--quiet", "--no-trunc", tag)


def build() -> str:
    """Build this checkout's Dockerfile; the image's id. What an earlier run built and is not needed goes."""
    # One name a checkout, so that two of them do not take each other's images away.
    tag = f"localhost/image-upload-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]}"
    source = base_image()
    with _locked("build"):
        before = podman("images", "--quiet", "--no-trunc", tag)
        wanted = ["--isolation=chroot", "--network=host", f"--build-arg=BASE_IMAGE={source}", f"--tag={tag}"]
        podman("build", *wanted, str(ROOT), within_s=BUILD_WITHIN_S)
        after = podman("images", "--quiet", "--no-trunc", tag)
        if before and before != after:
            with contextlib.suppress(servers.ServerError):  # in use
                podman("rmi", before)
    return after


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    with (_storage().images / f"{name}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(image: str, *options: str, command: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> str:
    """What a container prints that runs to its end. Raises `servers.ServerError` if that is a bad one."""
    with running(image, *options, command=command, environ=environ) as container:
        code = container.exit_code()
        out, err = container.logs()
    if code != 0:
        raise servers.ServerError(f"{' '.join(command)} ended with {code}:\n{out}{err}")
    return out


@contextlib.contextmanager
def running(
    image: str, *options: str, command: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Iterator[Container]:
    """A container that runs until the block is left."""
    name = f"image-upload-{uuid.uuid4().hex[:12]}"
    lasts = [f"--name={name}", f"--timeout={CONTAINER_LIVES_S}"]
    podman("run", "--detach", *lasts, *options, *_with(environ), image, *command)
    try:
        yield Container(name)
    finally:
        podman("rm", "--force", "--time=0", name)


def _with(environ: Mapping[str, str] | None) -> list[str]:
    return [f"--env={name}={value}" for name, value in (environ or {}).items()]
