"""Run a program of the project in a process that is forked from one which has imported most of it already.

A start takes a second of CPU, nearly all of it for imports, which the fork has for nothing. What else makes a process
is its own: arguments, environment, folder, standard streams, exit code. What must prove the start does not come here.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
# What most programs import, some with their first request. Not `upload`, which reads the environment, nor what is run.
_IMPORTED: Final = (
    *("alembic.context", "boto3", "image_upload.app", "image_upload.cli.deliveries", "mangum"),
    *("moto.moto_server.werkzeug_app", "moto.s3.urls"),
)
_WITHIN_S: Final = 120.0
_POLL_S: Final = 0.01


class Forked(NamedTuple):
    """A process, by its id."""

    pid: int

    def poll(self) -> int | None:
        """Its exit code as `subprocess` gives it; None if it has not ended."""
        code: int | None = _server().ask({"ended": self.pid})
        return code

    def wait(self, within_s: float) -> int | None:
        """The same, once it has ended, or that time is over."""
        deadline = time.monotonic() + within_s
        while (code := self.poll()) is None and time.monotonic() < deadline:
            time.sleep(_POLL_S)  # only the process that has forked it is told of its end
        return code


def ran(module: str, *arguments: str, environ: Mapping[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE` to its end, as `subprocess.run` does."""
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        process = forked(module, *arguments, environ=environ, cwd=cwd, stdout=stdout, stderr=stderr)
        code = process.wait(_WITHIN_S)
        if code is None:
            os.kill(process.pid, 9)
            raise subprocess.TimeoutExpired([module, *arguments], _WITHIN_S)
        said = (each.read_text(encoding="utf-8") for each in (stdout, stderr))
        return subprocess.CompletedProcess([module, *arguments], code, *said)


def forked(
    module: str, *arguments: str, environ: Mapping[str, str], stdout: Path, stderr: Path, cwd: Path = ROOT
) -> Forked:
    """Start `python -m MODULE`, with nothing to read, as the leader of a process group."""
    streams = [os.devnull, str(stdout), str(stderr)]
    asked = {"arguments": [module, *arguments], "environ": dict(environ), "cwd": str(cwd), "streams": streams}
    return Forked(_server().ask(asked))


class _Server:
    """The process that forks: a line asks, a line answers."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.forked"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", start_new_session=True
        )
        self._lock = threading.Lock()

    def ask(self, asked: Mapping[str, Any]) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        with self._lock:
            self._process.stdin.write(f"{json.dumps(asked)}\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate()


@functools.cache
def _server() -> _Server:
    server = _Server()
    atexit.register(server.end)
    return server


def _serve() -> dict[str, Any] | None:
    """Fork for each line. Return what was asked for in a fork, and None once no more comes."""
    ended: dict[int, int] = {}
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        if pid := asked.get("ended"):
            if pid not in ended and (found := os.waitpid(pid, os.WNOHANG)) != (0, 0):
                ended[pid] = os.waitstatus_to_exitcode(found[1])
            answer = ended.get(pid)
        elif (answer := os.fork()) == 0:  # nothing has started a thread here
            return asked
        else:
            # Before the answer, which may be followed by a signal to the group.
            os.setpgid(answer, answer)
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()
    return None


def _run(arguments: list[str], environ: dict[str, str], cwd: str, streams: list[str]) -> None:
    os.chdir(cwd)
    for descriptor, path in enumerate(streams):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = arguments
    code: object = 0
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code or 0
    except Exception:  # noqa: BLE001  it ends as a process does that raises
        code = 1
        traceback.print_exc()
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Not Python's own end, which takes longer than all before it: it writes to every object of the process that forked.
    os._exit(code)


if __name__ == "__main__":
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    if asked_for := _serve():
        _run(**asked_for)
