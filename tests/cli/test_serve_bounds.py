"""What clients may cost a served process: memory and open files."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from image_upload.limits import DESCRIPTORS_PER_CONNECTION, DESCRIPTORS_RESERVED
from local.embedded_s3 import EmbeddedS3
from local.service import local_environ
from tests.cli.test_serve import ROOT, WITHIN_S, free_port, wait_for
from tests.faults.watching import eventually, held, peak_rss_bytes

MIB = 1 << 20
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@contextlib.contextmanager
def served(s3: EmbeddedS3, log: Path, descriptors: int) -> Iterator[tuple[int, int]]:
    """The port and the process of a service that may hold so many files open."""
    port = free_port()
    command = [sys.executable, "-m", "image_upload", "serve", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *command],
            cwd=ROOT, env=local_environ({}, s3.environ), stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            wait_for(f"http://127.0.0.1:{port}", process, log)
            yield port, process.pid
        finally:
            process.terminate()
            try:
                assert process.wait(WITHIN_S) == 0, log.read_text()
            finally:
                process.kill()
                process.wait()


@pytest.mark.full
def test_a_flood_of_headers_takes_no_memory(s3: EmbeddedS3, tmp_path: Path) -> None:
    block = b"X: " + b"a" * 60_000 + b"\r\n"
    with served(s3, tmp_path / "log", 1024) as (port, pid):
        before = peak_rss_bytes(pid)

        def flood(_: int) -> None:
            with socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S) as connection:
                with contextlib.suppress(OSError):
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
                    for _number in range(300):
                        connection.sendall(block)
                with contextlib.suppress(OSError):
                    assert b" 431 " in connection.recv(100)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(flood, range(16)))
        assert peak_rss_bytes(pid) - before < 32 * MIB


@pytest.mark.full
def test_a_process_of_few_descriptors_answers_beside_silent_connections_and_says_so_once(
    s3: EmbeddedS3, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with served(s3, log, 288) as (port, pid), contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S))
        answer = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=WITHIN_S)
        assert answer.json()["bucket"] == "ok"
        assert len(held(pid)) < 64
    lines = [json.loads(line) for line in log.read_text().splitlines() if "connection limit reached" in line]
    assert [line["max_connections"] for line in lines] == [32]


@pytest.mark.full
def test_a_form_on_every_connection_leaves_open_files_over(s3: EmbeddedS3, tmp_path: Path) -> None:
    """Each in parts, which have sockets of their own; 20 connections have room by default."""
    descriptors = DESCRIPTORS_RESERVED + 20 * DESCRIPTORS_PER_CONNECTION
    url = "http://127.0.0.1:{}/api/v1/s3/upload"
    content = bytes(24 * MIB)
    with served(s3, tmp_path / "log", descriptors) as (port, pid), ThreadPoolExecutor(20) as pool:
        sending = [
            pool.submit(
                httpx.post,
                url.format(port),
                data={"folder": "x"},
                files={"file": ("a.bin", content)},
                trust_env=False,
                timeout=WITHIN_S,
            )
            for _ in range(20)
        ]
        most = 0
        while not all(each.done() for each in sending):
            most = max(most, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))
            time.sleep(0.02)  # between two counts
    assert {each.result().status_code for each in sending} == {200}
    assert 60 < most < descriptors - 32


@pytest.mark.full
def test_a_process_of_64_descriptors_under_load_takes_no_more_memory_than_its_connections(
    s3: EmbeddedS3, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    body = (
        b'--b\r\nContent-Disposition: form-data; name="folder"\r\n\r\nx\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
        + bytes(2 * MIB)
        + b"\r\n--b--\r\n"
    )
    with served(s3, log, 64) as (port, pid):
        before = peak_rss_bytes(pid)
        statuses: list[int] = []
        lock = threading.Lock()

        def send(_: int) -> None:
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.post(
                    f"http://127.0.0.1:{port}/api/v1/s3/upload",
                    content=body,
                    headers={"Content-Type": "multipart/form-data; boundary=b"},
                    trust_env=False,
                    timeout=WITHIN_S,
                )
                with lock:
                    statuses.append(answer.status_code)

        with ThreadPoolExecutor(32) as pool:
            list(pool.map(send, range(32)))
        assert set(statuses) <= {200, 503}, statuses
        assert 200 in statuses
        # Eight connections, each with the parts of its upload.
        assert peak_rss_bytes(pid) - before < 256 * MIB
        url = f"http://127.0.0.1:{port}/"
        eventually(lambda: httpx.get(url, trust_env=False, timeout=WITHIN_S).status_code == 200, "it does not recover")
