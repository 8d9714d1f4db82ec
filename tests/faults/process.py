"""The service in a process of its own, to see what it costs: `python -m tests.faults.process FD`."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from image_upload.app import create_app
from image_upload.settings import load
from local.ports import claim_port
from local.service import local_environ, server_for

_ROOT = Path(__file__).parents[2]
_END_WITHIN_S = 60.0


class ServiceProcess(NamedTuple):
    """A running service."""

    url: str
    pid: int


@contextlib.contextmanager
def service_process(s3_environ: Mapping[str, str], **environ: str) -> Iterator[ServiceProcess]:
    """A service that listens already; it has ended when the block is left."""
    wanted = local_environ(os.environ, s3_environ) | environ
    with claim_port("127.0.0.1", 0, "PORT") as listening:
        port = listening.getsockname()[1]
        fd = listening.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.process", str(fd)], env=wanted, pass_fds=[fd], cwd=_ROOT
        )
    try:
        yield ServiceProcess(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_END_WITHIN_S)
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    server_for(create_app(load(os.environ))).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
