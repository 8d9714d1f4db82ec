"""`put` as a user runs it: in this process, where a pause can be skipped, or in one of its own, to be killed."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import httpx

from image_upload.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
# The least file that goes in parts so is 8 MiB and a byte.
IN_PARTS = ("--purpose", "file", "--accepts", "multipart")
BY_APPENDS = ("--purpose", "file", "--accepts", "resumable")


class Done(NamedTuple):
    """How a run ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of --json."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def line(self) -> dict[str, Any]:
        (line,) = self.lines
        return line


@dataclass
class Put:
    """Runs against one service, with a folder of state of its own."""

    url: str
    state: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def surroundings(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_", "JWT_"))}
        own = {"IMAGE_UPLOAD_SERVICE": self.url, "XDG_STATE_HOME": str(self.state), "PYTHONPATH": str(ROOT)}
        return inherited | own | self.environ

    def run(self, *arguments: object) -> Done:
        """Run it in this process."""
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.surroundings, clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                code = main(["put", *map(str, arguments)])
            except SystemExit as end:
                code = int(str(end.code))
        return Done(code, out.getvalue(), err.getvalue())

    def json(self, *arguments: object) -> dict[str, Any]:
        """Run it for one file; its line."""
        return self.run("--json", *arguments).line

    @contextlib.contextmanager
    def started(
        self,
        *arguments: object,
        program: Sequence[str] = ("-m", "image_upload", "put"),
        stderr: int = subprocess.PIPE,
    ) -> Iterator["subprocess.Popen[str]"]:
        """A process of its own, which has ended when the block is left."""
        process = subprocess.Popen(
            [sys.executable, *program, *map(str, arguments)],
            env=self.surroundings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def read(self, line: dict[str, Any]) -> bytes:
        """What is stored under the key of a line."""
        url: str = httpx.get(f"{self.url}/images/{line['key']}").json()["url"]
        return httpx.get(url).content

    def kept(self) -> list[Path]:
        """The state of the uploads that are under way."""
        return sorted((self.state / "image-upload").glob("*"))
