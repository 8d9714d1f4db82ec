"""A throw-away clamd with signatures made here, from this machine or from its distribution's packages."""

import functools
import hashlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from image_upload.cli.doctor.malware import EICAR
from tests.contract import servers

EICAR_NAME = "Made-Here.EICAR.UNOFFICIAL"
# Above this a clamd takes no file.
STREAM_MAX_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Clamd:
    """A running server, which can be killed, stopped in its tracks, and started again."""

    port: int
    socket: Path
    kill: Callable[[], None]
    start: Callable[[], None]
    freeze: Callable[[], None]
    thaw: Callable[[], None]
    is_running: Callable[[], bool]

    @property
    def url(self) -> str:
        """For CLAMD_URL."""
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        """The same by its Unix socket."""
        return f"unix://{self.socket}"


def _configuration(scratch: Path, port: int) -> str:
    return f"""\
Foreground yes
LogFile {scratch}/clamd.log
DatabaseDirectory {scratch}/signatures
TemporaryDirectory {scratch}
LocalSocket {scratch}/clamd.sock
TCPSocket {port}
TCPAddr 127.0.0.1
StreamMaxLength {STREAM_MAX_BYTES}
MaxRecursion 3
AlertExceedsMax yes
AlertEncrypted yes
SelfCheck 3600
"""


@contextmanager
def clamd() -> Iterator[Clamd]:
    """Run one until the block is left. Raises `servers.UnsupportedError` where none can be had."""
    binary, environ = _binary()
    (port,) = servers._free_ports(1)
    with servers._scratch("clamd") as scratch:
        signatures = scratch / "signatures"
        signatures.mkdir()
        # Anywhere in a file of any type; and a whole file by its digest.
        (signatures / "here.ndb").write_text(f"Made-Here.EICAR:0:*:{EICAR.hex()}\n", encoding="ascii")
        digest = hashlib.md5(b"a known bad file", usedforsecurity=False).hexdigest()
        (signatures / "here.hdb").write_text(f"{digest}:16:Made-Here.Known\n", encoding="ascii")
        configuration = scratch / "clamd.conf"
        configuration.write_text(_configuration(scratch, port), encoding="ascii")
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        command = [*guard, str(binary), "--config-file", str(configuration)]
        processes: list[subprocess.Popen[bytes]] = []

        def start() -> None:
            with (scratch / "clamd.out").open("ab") as log:
                processes.append(
                    subprocess.Popen(
                        command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )  # fmt: skip
            servers._await(lambda: _answers(port), processes[-1:], scratch)

        def kill() -> None:
            processes[-1].kill()
            processes[-1].wait()

        server = Clamd(
            port,
            scratch / "clamd.sock",
            kill,
            start,
            lambda: processes[-1].send_signal(signal.SIGSTOP),
            lambda: processes[-1].send_signal(signal.SIGCONT),
            lambda: processes[-1].poll() is None,
        )
        try:
            start()
            yield server
        finally:
            if processes[-1].returncode is None:
                kill()


def _answers(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"zPING\0")
        return connection.recv(16) == b"PONG\0"


def _binary() -> tuple[Path, dict[str, str]]:
    """The server, and the environment it runs in."""
    servers.must_be_wanted("clamd")
    environ = servers._without(("LD_",))
    if found := shutil.which("clamd"):
        return Path(found), environ
    if not shutil.which("apt-get"):
        raise servers.UnsupportedError("there is no clamd on this machine, and no apt-get to fetch it")
    install = functools.partial(servers.install_packages, ("clamav-daemon",))
    root = servers._installed(f"clamd-{servers._release()}", install)
    libraries = [str(path) for path in (root / "usr/lib").glob("*-linux-gnu")]
    return root / "usr/sbin/clamd", environ | {"LD_LIBRARY_PATH": os.pathsep.join(libraries)}
