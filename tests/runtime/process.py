"""The function's process: the real awslambdaric with our handler, as the image starts it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from local.service import local_environ
from tests.forked import Forked, forked
from tests.runtime.api import WITHIN_S, RuntimeApi, runtime_api

ROOT = Path(__file__).parents[2]
HANDLER = "upload.handler"
# The variables of Lambda that the service or its libraries read.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
ON_LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "image-upload",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
}


class Function(NamedTuple):
    """A function that runs: `temporary` is the only folder that it may write to."""

    process: subprocess.Popen[bytes] | Forked
    api: RuntimeApi
    log: Path
    temporary: Path

    def said(self) -> str:
        """What it has logged so far."""
        return self.log.read_text(encoding="utf-8")


@contextlib.contextmanager
def function(
    home: Path,
    s3: Mapping[str, str],
    *,
    handler: str = HANDLER,
    executable: str = sys.executable,
    forks: bool = False,
    **environ: str,
) -> Iterator[Function]:
    """A function with the settings of a local run, on a Runtime API server of its own.

    One that forks has its imports already (`tests.forked`): for tests of what a function does once it runs.
    """
    temporary = home / "tmp"
    temporary.mkdir()
    log = home / "function.log"
    wanted = local_environ({"PATH": os.environ["PATH"], "TMPDIR": str(temporary)}, s3)
    with runtime_api() as api, log.open("wb") as output:
        variables = {**wanted, **ON_LAMBDA, "AWS_LAMBDA_RUNTIME_API": api.address, **environ}
        process: subprocess.Popen[bytes] | Forked
        if forks:
            process = forked("awslambdaric", handler, environ=variables, stdout=log, stderr=log)
        else:
            process = subprocess.Popen(
                [executable, "-m", "awslambdaric", handler],
                cwd=ROOT,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield Function(process, api, log, temporary)
        finally:
            # With its workers; SIGTERM it ignores while it waits.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(WITHIN_S)
