"""Replay events, each in a process of its own, which is forked from one that has imported all but `upload` already.

What `test_local.py event` imports takes seconds; the fork has it for nothing. As a program: a path in, an answer out.
"""

import contextlib
import gc
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3

from local.database import local_database
from local.embedded_s3 import REGION
from local.replay import replay

_ROOT = Path(__file__).resolve().parent.parent

# What moto and the service import with the first request.
_IMPORTED = ("alembic.context", "image_upload.app", "moto.moto_server.werkzeug_app", "moto.s3.urls")
Replay = Callable[[Path], dict[str, Any]]


@contextlib.contextmanager
def replaying() -> Iterator[Replay]:
    """What `upload.handler` answers to the event in a file, with an empty S3 and database behind it each time."""
    command = [sys.executable, "-m", "tests.replaying"]
    with subprocess.Popen(
        command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdin
        assert process.stdout
        paths, answers = process.stdin, process.stdout

        def ask(file: Path) -> dict[str, Any]:
            paths.write(f"{file}\n")
            paths.flush()
            line = answers.readline()
            assert line, f"replaying {file} failed: its log says why"
            answer: dict[str, Any] = json.loads(line)
            return answer

        yield ask
        paths.close()


def _main() -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    # The first of each reads what the next ones have: boto3's models, the migrations.
    boto3.client("s3", region_name=REGION).close()
    with local_database():
        pass
    # A collection in a fork would write to every object, and so copy it.
    gc.freeze()
    for path in sys.stdin:
        # Nothing has started a thread here.
        child = os.fork()
        if child == 0:
            sys.stdout.write(f"{json.dumps(replay(Path(path.strip())))}\n")
            sys.stdout.flush()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status != 0:
            sys.exit(f"{path.strip()} ended with {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    _main()
