"""`python -m image_upload serve` as a container runs it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.embedded_s3 import EmbeddedS3
from local.replay import read_event
from local.service import local_environ
from tests.faults.hostile import Exchange, hostile_store

ROOT = Path(__file__).parents[2]
WITHIN_S = 30.0
STORED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextlib.contextmanager
def served(environ: dict[str, str], log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "image_upload", "serve", *arguments], cwd=ROOT,
            env={"PATH": os.environ["PATH"], **environ}, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            httpx.get(f"{url}/errors", trust_env=False, timeout=WITHIN_S).raise_for_status()
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)  # before it is looked at again
        else:
            return


def test_it_answers_on_port_says_nothing_of_its_server_and_finishes_an_upload_after_sigterm(
    tmp_path: Path, s3: EmbeddedS3
) -> None:
    """An upload is in the middle when the signal comes: S3 has all its bytes and has not answered yet."""
    arrived, asked_to_end = threading.Event(), threading.Event()

    def answer_late(exchange: Exchange) -> None:
        exchange.read_body()
        arrived.set()
        asked_to_end.wait(WITHIN_S)
        exchange.store(STORED)

    log, port = tmp_path / "log", free_port()
    url = f"http://127.0.0.1:{port}"
    with hostile_store() as store:
        store.play(answer_late)
        environ = local_environ({}, {**s3.environ, "AWS_S3_ENDPOINT_URL": store.endpoint_url})
        with served({**environ, "PORT": str(port)}, log) as process:
            wait_for(url, process, log)
            answers: list[httpx.Response] = []
            upload = threading.Thread(target=lambda: answers.append(upload_to(url, store.endpoint_url)))
            upload.start()
            assert arrived.wait(WITHIN_S)
            process.send_signal(signal.SIGTERM)
            refused_by(port)
            asked_to_end.set()
            upload.join(WITHIN_S)
            assert process.wait(WITHIN_S) == 0
        store.end()
    (answer,) = answers
    assert answer.status_code == 200, answer.text
    assert "server" not in answer.headers
    assert "X-Amz-Signature" not in log.read_text()
    assert "Finished server process" in log.read_text()


def upload_to(url: str, endpoint_url: str) -> httpx.Response:
    import base64

    event = read_event(ROOT / "events/proxied-upload.json", endpoint_url)
    return httpx.post(
        f"{url}/upload-with-presigned",
        content=base64.b64decode(event["body"]),
        headers={"Content-Type": event["headers"]["content-type"]},
        trust_env=False,
        timeout=WITHIN_S,
    )


def refused_by(port: int) -> None:
    """Wait until no new connection is accepted."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return
        assert time.monotonic() < deadline, "it still listens"
        time.sleep(0.05)  # before it is asked again


@pytest.mark.full
@pytest.mark.parametrize("port", ["abc", "-1", "65536"])
def test_a_port_that_is_none_gives_a_sentence(port: str, tmp_path: Path) -> None:
    with served({"PORT": port}, tmp_path / "log") as process:
        assert process.wait(WITHIN_S) == 2
    said = (tmp_path / "log").read_text()
    assert f"{port!r} is no port. Expected: a number from 0 to 65535." in said
    assert "Traceback" not in said


@pytest.mark.full
def test_a_busy_port_ends_it(tmp_path: Path, s3: EmbeddedS3) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as busy,
        served(local_environ({}, s3.environ), tmp_path / "log", "--port", str(busy.getsockname()[1])) as process,
    ):
        assert process.wait(WITHIN_S) == 2
    assert "address already in use" in (tmp_path / "log").read_text()
