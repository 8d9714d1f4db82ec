"""Run server programs on loopback: start them, wait until they answer, and end them with this process."""

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

START_WITHIN_S = 60.0
POLL_S = 0.05
LOG_LINES = 30


class ServerError(RuntimeError):
    """A server could not be installed or started. The message ends with the tail of its logs."""


def environ_without(prefixes: tuple[str, ...]) -> dict[str, str]:
    """Return this process's environment without variables that would configure the server."""
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


@contextlib.contextmanager
def running(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a process group of its own, and kill the group at the end.

    It has a session of its own, so the terminal's Ctrl-C does not reach it and servers end in order. No data is lost
    by a kill. If this process is killed, the kernel kills the server. Linux does that when the thread that started it
    ends, so start servers in a thread that lives on.
    """
    guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  the caller's own command, no shell
            [*guard, *command],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        # After it was reaped, its number may belong to another process.
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def await_ready(ready: Callable[[], bool], processes: Sequence[subprocess.Popen[bytes]], logs: Path) -> None:
    """Wait until a server answers. Raises `ServerError` with its logs if it dies or takes too long."""
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        for process in processes:
            if (status := process.poll()) is not None:
                raise ServerError(f"a server ended with status {status}\n{tail(logs)}")
        try:
            if ready():
                return
        except (OSError, http.client.HTTPException):
            pass  # not listening yet
        if time.monotonic() > deadline:
            raise ServerError(f"a server was not ready after {START_WITHIN_S:.0f} s\n{tail(logs)}")
        time.sleep(POLL_S)  # before it is asked again


def get(port: int, path: str) -> bytes:
    """GET a path of a server on loopback, without a proxy of the environment."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def tail(logs: Path) -> str:
    """Return the last lines of every log of a server."""
    quoted = []
    for log in sorted(logs.glob("*.log")):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        if lines:
            quoted.append("\n".join([f"--- {log.name}", *lines]))
    return "\n".join(quoted)
