"""A throw-away Redis on loopback, from this machine or from its distribution's packages."""

import functools
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.contract import servers

PASSWORD = "a-password-that-no-log-may-show"


@dataclass(frozen=True, slots=True)
class Redis:
    """A running server, which can be killed, stopped in its tracks, and started again."""

    port: int
    kill: Callable[[], None]
    start: Callable[[], None]
    freeze: Callable[[], None]
    thaw: Callable[[], None]

    @property
    def url(self) -> str:
        """For REDIS_URL."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/1"

    def ask(self, *words: str) -> bytes:
        """What it says to a command, as it comes over the wire."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as streaming_put:
            for command in (("AUTH", PASSWORD), ("SELECT", "1"), words):
                parts = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in command)
                streaming_put.sendall(b"*%d\r\n%s" % (len(command), parts))
                answer = streaming_put.recv(65_536)
        return answer


@contextmanager
def redis() -> Iterator[Redis]:
    """Run one until the block is left. Raises `servers.UnsupportedError` where none can be had."""
    binary, environ = _binary()
    (port,) = servers._free_ports(1)
    with servers._scratch("redis") as scratch:
        command = [str(binary), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        command += ["--requirepass", PASSWORD, "--dir", str(scratch)]
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        processes: list[subprocess.Popen[bytes]] = []

        def start() -> None:
            with (scratch / "redis.log").open("ab") as log:
                processes.append(
                    subprocess.Popen(
                        [*guard, *command], env=environ, stdin=subprocess.DEVNULL, stdout=log,
                        stderr=subprocess.STDOUT, start_new_session=True,
                    )
                )  # fmt: skip
            servers._await(lambda: server.ask("PING") == b"+PONG\r\n", processes[-1:], scratch)

        def kill() -> None:
            processes[-1].kill()
            processes[-1].wait()

        server = Redis(
            port,
            kill,
            start,
            lambda: processes[-1].send_signal(signal.SIGSTOP),
            lambda: processes[-1].send_signal(signal.SIGCONT),
        )
        try:
            start()
            yield server
        finally:
            if processes[-1].returncode is None:
                kill()


def _binary() -> tuple[Path, dict[str, str]]:
    """The server, and the environment it runs in."""
    servers.must_be_wanted("redis")
    environ = servers._without(("REDIS", "LD_"))
    if found := shutil.which("redis-server"):
        return Path(found), environ
    if not shutil.which("apt-get"):
        raise servers.UnsupportedError("there is no redis-server on this machine, and no apt-get to fetch it")
    install = functools.partial(servers.install_packages, ("redis-server",))
    root = servers._installed(f"redis-{servers._release()}", install)
    libraries = [str(path) for path in (root / "usr/lib").glob("*-linux-gnu")]
    return root / "usr/bin/redis-server", environ | {"LD_LIBRARY_PATH": os.pathsep.join(libraries)}
