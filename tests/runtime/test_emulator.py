"""The same process behind AWS's own emulator, asked by curl's means: one POST with the event."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from image_upload.database.migration import newest
from local.embedded_s3 import EmbeddedS3
from local.replay import read_event
from local.service import local_environ
from tests.contract import servers
from tests.needs import unavailable
from tests.runtime.emulator import INVOKE_PATH, emulator
from tests.runtime.process import HANDLER, ROOT

pytestmark = pytest.mark.needs("lambda-rie")


@contextlib.contextmanager
def emulated(home: Path, environ: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The function behind the emulator: where to post events to, and the emulator's process."""
    try:
        program = emulator()
    except servers.UnsupportedError as error:
        unavailable("lambda-rie", error)
    port, api_port = servers._free_ports(2)
    command = [
        str(program),
        # By itself it would listen on every interface.
        *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{api_port}"),
        *(sys.executable, "-m", "awslambdaric", HANDLER),
    ]
    passed = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | environ
    with servers._running(command, passed, home / "emulator.log") as process:
        servers._await(lambda: servers._get(port, "/") is not None, [process], home)
        yield f"http://127.0.0.1:{port}{INVOKE_PATH}", process


def listening(pid: int) -> set[str]:
    """Addresses, as /proc writes them, on which a process listens."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes |= set(re.findall(r"^socket:\[(\d+)\]$", str(fd.readlink())))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="utf-8").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].partition(":")[0])
    return found


def post(web: httpx.Client, url: str, event: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = web.post(url, json=event).json()
    return answer


def test_an_upload_through_the_emulator_is_stored(tmp_path: Path, s3: EmbeddedS3, web: httpx.Client) -> None:
    with emulated(tmp_path, local_environ({}, s3.environ)) as (url, process):
        assert listening(process.pid) == {"0100007F"}, "nothing but 127.0.0.1"
        stored = post(web, url, read_event(ROOT / "events/proxied-upload.json", s3.endpoint_url))
        assert stored["statusCode"] == 200, stored
        picture = (ROOT / "examples/photo.jpg").read_bytes()
        assert json.loads(stored["body"])["file_size"] == len(picture)
        read = json.loads((ROOT / "events/read.json").read_text(encoding="utf-8"))
        read["rawPath"] = read["requestContext"]["http"]["path"] = "/images/uploads/sample-event.jpg"
        assert web.get(json.loads(post(web, url, read)["body"])["url"]).content == picture


def test_operations_through_the_emulator(tmp_path: Path, s3: EmbeddedS3, web: httpx.Client) -> None:
    database = {"DATABASE_URL": f"sqlite:///{tmp_path / 'records.sqlite3'}"}
    with emulated(tmp_path, local_environ({}, {**s3.environ, **database})) as (url, _):
        smoke, check = (
            json.loads((ROOT / f"events/operation-{name}.json").read_text(encoding="utf-8"))
            for name in ("smoke", "migrate")
        )
        tested = post(web, url, smoke)
        assert tested["passed"] is True, tested
        assert tested["lines"][-1] == "10 of 10 steps passed."
        applied = post(web, url, {**check, "check": False})
        assert applied["passed"] is True, applied
        assert post(web, url, check)["lines"] == [
            applied["lines"][-1].replace("the newest", f"the newest is {newest()}")
        ]


def test_wrong_settings_are_what_the_emulator_answers_with(tmp_path: Path, web: httpx.Client) -> None:
    with emulated(tmp_path, {"ENVIRONMENT": "production"}) as (url, _):
        answer = post(web, url, json.loads((ROOT / "events/health.json").read_text(encoding="utf-8")))
    assert answer["errorType"] == "SettingsError"
    assert "S3_BUCKET_NAME: missing" in answer["errorMessage"]
