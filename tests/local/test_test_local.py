"""`python test_local.py` as a person runs it, but forked: tests/test_readme.py has `make dev` itself."""

import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import Mint
from tests.forked import Forked, forked, ran

ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 60.0
POLL_S = 0.02


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a run keeps, away from the checkout's own folder."""
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path / "local"))
    return tmp_path / "local"


def run(*arguments: str, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    return ran("test_local", *arguments, environ=os.environ | environ, cwd=cwd)


@contextlib.contextmanager
def started(cwd: Path = ROOT, **environ: str) -> Iterator[tuple[Forked, Path]]:
    """A running `python test_local.py` that is ready, and the file that it prints to."""
    with tempfile.TemporaryDirectory() as folder:
        printed, log = Path(folder, "stdout"), Path(folder, "stderr")
        process = forked("test_local", environ=os.environ | environ, cwd=cwd, stdout=printed, stderr=log)
        deadline = time.monotonic() + READY_WITHIN_S
        try:
            while not printed.exists() or "Ctrl-C stops" not in printed.read_text(encoding="utf-8"):
                assert process.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(POLL_S)  # it says in no other way that it is ready
            yield process, printed
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(READY_WITHIN_S)


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def test_the_printed_lines_can_be_pasted_and_ctrl_c_stops_it_cleanly() -> None:
    # A production shell must not lead a local run to a real bucket.
    with started(PORT=free_port(), ENVIRONMENT="production", S3_BUCKET_NAME="real-customers") as (process, file):
        printed = file.read_text(encoding="utf-8")
        assert re.search(r"^S3 .*bucket local-uploads,", printed, re.MULTILINE)
        assert "The environment names the bucket real-customers, which is not used. " in printed
        assert "To use it: make dev S3=env" in printed
        lines = [line for line in printed.splitlines() if line.startswith("URL=")]
        assert len(lines) == 3
        answers = [
            subprocess.run(["sh", "-ec", line], cwd=ROOT, capture_output=True, text=True, check=True) for line in lines
        ]
        assert answers[0].stdout.endswith("stored: 200\n")
        assert '"success":true' in answers[1].stdout
        assert '"attempts":1' in answers[2].stdout
        url = re.findall(r"Service +(\S+)", printed)[0]
        assert httpx.get(url, trust_env=False).json()["environment"] == "local"
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(READY_WITHIN_S) == 0
        assert file.read_text(encoding="utf-8").removeprefix(printed).strip() == "Stopped."


@pytest.mark.parametrize("setting", ["PORT", "S3_PORT"])
def test_a_busy_port_gives_a_sentence(setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        ports = {"PORT": free_port(), "S3_PORT": "0", setting: port}
        done = run(PORT=ports["PORT"], S3_PORT=ports["S3_PORT"])
    assert done.returncode == 1
    assert done.stderr == f"Port {port} is in use by another program. Choose another one, for example: {setting}=8123\n"


@pytest.mark.parametrize("port", ["abc", "-1", "65536", ""])
def test_a_port_that_is_none_gives_a_sentence(port: str) -> None:
    done = run(PORT=port)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("PORT is ")


def test_the_smoke_test_is_green_on_a_service_of_its_own() -> None:
    done = run("test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 of 8 steps passed." in done.stdout


def test_the_smoke_test_asks_a_running_service(service: str) -> None:
    done = run("test", "--url", service)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_smoke_test_fails_without_an_answer() -> None:
    done = run("test", "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "FAILED  health: no answer" in done.stdout
    assert "0 of 8" in done.stdout


def test_a_missing_event_file_gives_a_sentence() -> None:
    done = run("event", "events/nothing.json")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "events/nothing.json" in done.stderr


def test_the_embedded_s3_answers_a_put_without_a_type(service: str, web: httpx.Client, mint: Mint, jpeg: bytes) -> None:
    """What curl sends when -H is forgotten."""
    plan = mint()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert web.put(plan["presignedUrl"], content=jpeg, headers=form).status_code == 200
    assert web.get(web.get(f"{service}/images/{plan['objectKey']}").json()["url"]).content == jpeg


def test_the_embedded_s3_answers_a_form_with_the_headers_that_uppy_waits_for(
    web: httpx.Client, mint: Mint, jpeg: bytes
) -> None:
    plan = mint(accepts=["post"], filename="고양이.jpg")
    sent = web.post(
        plan["presignedUrl"], data=plan["fields"], files={"file": jpeg}, headers={"Origin": "https://app.example.com"}
    )
    assert sent.status_code == 201
    assert sent.headers["etag"] == f'"{hashlib.md5(jpeg).hexdigest()}"'
    assert sent.headers["location"].endswith(f"/local-uploads/{plan['objectKey']}")
    assert {"ETag", "Location"} <= set(sent.headers["access-control-expose-headers"].split(", "))
