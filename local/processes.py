"""Server programs on loopback: started, waited for, and ended with the process that started them."""

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
    """A server could not be installed or started; the message ends with the tail of its logs."""


def environ_without(prefixes: tuple[str, ...]) -> dict[str, str]:
    """Our own environment without what would configure the server."""
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


@contextlib.contextmanager
def running(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a process group of its own, and kill that group on the way out.

    In a session of its own, it does not see the terminal's Ctrl-C: we stop it, in order. Nothing it
    holds is worth a graceful end. If we are killed ourselves, the kernel kills it; Linux does that when
    the thread that started it ends, so start servers in a thread that lives on.
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
        # Once reaped, the number may be another process's.
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
        time.sleep(POLL_S)


def get(port: int, path: str) -> bytes:
    """Ask a server on loopback directly, whatever proxy the environment names."""
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
