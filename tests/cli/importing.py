"""An import as an operator sees it: a folder, a bucket of its own, a command, and what came of it."""

import contextlib
import hashlib
import io
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from image_upload.cli.import_files import command
from tests.contract.store import Store
from tests.forked import Forked, forked

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)  # the same in every run


class Done(NamedTuple):
    """How a run ended, and what it said."""

    code: int
    said: str

    @property
    def summary(self) -> dict[str, int]:
        """The numbers at its end, without those that are 0."""
        rows = re.findall(r"^([a-z ]{14}) *([\d,]+)(?:  .*)?$", self.said, re.MULTILINE)
        return {name.strip(): number for name, count in rows if (number := int(count.replace(",", "")))}


@dataclass
class Import:
    """One folder and the bucket that it goes to. `endpoint_url` is where the command finds S3."""

    store: Store
    folder: Path
    work: Path
    endpoint_url: str
    environ: dict[str, str] = field(default_factory=dict)

    def write(self, path: str, content: bytes = b"x") -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    @property
    def surroundings(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_"))}
        return (
            inherited
            | self.store.environ
            | {"ENVIRONMENT": "test", "AWS_S3_ENDPOINT_URL": self.endpoint_url, "PYTHONPATH": str(ROOT)}
            | self.environ
        )

    @property
    def start_line(self) -> list[str]:
        return [sys.executable, "-m", "image_upload", "import", str(self.folder)]

    def start(self, *options: str, before: Sequence[str] = ()) -> "subprocess.Popen[str]":
        """A process of its own, to be killed."""
        return subprocess.Popen(
            [*before, *self.start_line, *options],
            cwd=self.work,
            env=self.surroundings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def fork(self, *options: str) -> Forked:
        """The same without the second that a start takes."""
        arguments = ("image_upload", "import", str(self.folder), *options)
        said = self.work / "said"
        return forked(*arguments, environ=self.surroundings, cwd=self.work, stdout=said, stderr=said)

    def run(self, *options: str) -> Done:
        """Run it in this process, where a pause can be skipped and a forgotten file is a warning."""
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.surroundings, clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                code = command.run([str(self.folder), *options])
            except SystemExit as end:
                code = int(str(end.code))
        return Done(code, out.getvalue() + err.getvalue())

    def well(self, *options: str) -> str:
        """Run to the end without a fault; what was said."""
        done = self.run(*options)
        assert done.code == 0, done.said
        return done.said

    def local(self) -> Counter[str]:
        """The hashes of the folder's files."""
        files = (file for file in self.folder.rglob("*") if file.is_file() and not file.is_symlink())
        return Counter(sha256(file.read_bytes()) for file in files)

    def objects(self) -> dict[str, bytes]:
        """The whole bucket."""
        pages = self.store.s3.get_paginator("list_objects_v2").paginate(Bucket=self.store.bucket)
        keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        return {key: self.store.s3.get_object(Bucket=self.store.bucket, Key=key)["Body"].read() for key in keys}

    def hashes(self) -> Counter[str]:
        return Counter(map(sha256, self.objects().values()))

    def unfinished(self) -> list[Any]:
        listed: list[Any] = self.store.s3.list_multipart_uploads(Bucket=self.store.bucket).get("Uploads", [])
        return listed

    def everything_once(self) -> None:
        """The bucket holds exactly the folder: every file once, by hash, and nothing begun."""
        assert self.hashes() == self.local()
        assert self.unfinished() == []
