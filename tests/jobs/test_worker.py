"""examples/worker, as its readers start it: from a stored picture to a finished job, by either queue."""

import json
import os
import queue as lines
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from image_upload.jobs.job import id_of
from local.embedded_s3 import EmbeddedS3
from tests.conftest import Start
from tests.jobs.queues import AWS, sqs
from tests.jobs.test_tasks import SECRET, TASK, bearer, scan, stored
from tests.usage.conftest import store
from tests.usage.redis_server import Redis

# A worker is a process of its own.
pytestmark = pytest.mark.full

__all__ = ["store"]

ROOT = Path(__file__).parents[2]
PICTURE = (ROOT / "examples/photo.jpg").read_bytes()
POISONED = '{"id": "no job", "task": "no task"}'


class Worker:
    """A running worker, whose lines come one by one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: lines.Queue[str] = lines.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as printed:
            for line in printed:
                self._lines.put(line)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def line(self, holds: str, timeout_s: float = 30) -> str:
        """The next line that holds a text."""
        until = time.monotonic() + timeout_s
        while True:
            found = self._lines.get(timeout=max(0.1, until - time.monotonic()))
            if holds in found:
                return found


@contextmanager
def working(queue_url: str, service_url: str, **environ: str) -> Iterator[Worker]:
    process = subprocess.Popen(
        [sys.executable, "examples/worker/worker.py"],
        cwd=ROOT,
        env={**os.environ, **AWS, "QUEUE_URL": queue_url, "SERVICE_URL": service_url, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    worker = Worker(process)
    try:
        yield worker
    finally:
        worker.end()


def ended(web: httpx.Client, url: str, job_id: str) -> dict[str, Any]:
    seen: dict[str, Any] = web.get(f"{url}/jobs/{job_id}", headers=bearer("jane")).json()
    return seen


def a_picture_becomes_a_finished_job(web: httpx.Client, url: str, worker: Worker) -> None:
    key = stored(web, url, "jane", PICTURE, purpose="scan")
    job_id = scan(web, url, key).json()["job_id"]
    printed = worker.line(job_id)
    assert f"{TASK}  {key}" in printed
    seen = ended(web, url, job_id)
    assert seen["state"] == "done"
    assert seen["result"].keys() == {"width", "height", "colour"}
    assert json.loads(printed.split("  ")[-1]) == {"state": "done", "result": seen["result"]}
    # A file that only claims to be a picture.
    key = stored(web, url, "jane", b"<script>", purpose="scan")
    job_id = scan(web, url, key).json()["job_id"]
    worker.line(job_id)
    seen = ended(web, url, job_id)
    assert (seen["state"], seen["error"]["code"]) == ("failed", "task-failed")


def test_by_sqs(start: Start, s3: EmbeddedS3, web: httpx.Client) -> None:
    with sqs(s3) as queue:
        url = start(QUEUE_URL=queue.url, JWT_SECRET=SECRET)
        with working(queue.url, url) as worker:
            a_picture_becomes_a_finished_job(web, url, worker)
        assert queue.bodies() == []


def test_at_sigterm_it_ends_the_task_that_it_has_and_takes_no_other(s3: EmbeddedS3) -> None:
    with sqs(s3) as queue, socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        call = {"task": TASK, "kwargs": {"image_url": f"{url}/picture"}}
        queue.send(json.dumps(call | {"id": "1", "key": "scans/1", "token": "t", "result_url": f"{url}/result"}))
        with working(queue.url, url) as worker:
            download, _ = server.accept()
            worker.process.terminate()
            queue.send(POISONED)
            answered(download, PICTURE)
            posting, _ = server.accept()
            assert b'"state": "done"' in answered(posting, b"")
            assert worker.process.wait(30) == 0
        assert until(queue.bodies) == [POISONED]


def answered(connection: socket.socket, body: bytes) -> bytes:
    """What the worker has sent on a connection when it has been answered."""
    with connection:
        connection.sendall(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
        )
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.needs("redis")
def test_by_a_stream_of_redis(start: Start, store: Redis, web: httpx.Client) -> None:
    address = f"{store.url}/tasks"
    url = start(QUEUE_URL=address, JWT_SECRET=SECRET)
    with working(address, url) as worker:
        a_picture_becomes_a_finished_job(web, url, worker)
    assert store.ask("XLEN", "tasks") == b":0\r\n"


def test_a_poisoned_message_of_sqs_goes_to_the_dead_letter_queue(
    start: Start, s3: EmbeddedS3, web: httpx.Client
) -> None:
    with sqs(s3, visibility_s=1) as queue:
        url = start(QUEUE_URL=queue.url, JWT_SECRET=SECRET)
        queue.send(POISONED)
        with working(queue.url, url) as worker:
            worker.line("a message failed, and comes again: KeyError")
            # What is behind it is done all the same.
            a_picture_becomes_a_finished_job(web, url, worker)
            found = until(lambda: queue.bodies(queue.dead_url))
        assert found == [POISONED]


@pytest.mark.needs("redis")
def test_a_poisoned_message_of_redis_is_set_aside(start: Start, store: Redis, web: httpx.Client) -> None:
    address = f"{store.url}/tasks"
    url = start(QUEUE_URL=address, JWT_SECRET=SECRET)
    store.ask("XADD", "tasks", "*", "message", POISONED)
    with working(address, url, CLAIM_AFTER_S="0.2") as worker:
        worker.line("set aside after 3 attempts")
        a_picture_becomes_a_finished_job(web, url, worker)
    assert POISONED.encode() in store.ask("XRANGE", "tasks-dead", "-", "+")
    assert store.ask("XLEN", "tasks") == b":0\r\n"


@pytest.mark.needs("redis")
def test_what_a_killed_worker_had_taken_another_one_does(start: Start, store: Redis, web: httpx.Client) -> None:
    address = f"{store.url}/tasks"
    url = start(QUEUE_URL=address, JWT_SECRET=SECRET)
    key = stored(web, url, "jane", PICTURE, purpose="scan")
    scan(web, url, key)
    # Taken, and never done.
    store.ask("XGROUP", "CREATE", "tasks", "workers", "0")
    assert b"message" in store.ask("XREADGROUP", "GROUP", "workers", "killed", "STREAMS", "tasks", ">")
    with working(address, url, CLAIM_AFTER_S="0.2") as worker:
        worker.line(id_of(key, TASK))
    assert ended(web, url, id_of(key, TASK))["state"] == "done"


def test_a_message_that_comes_twice_changes_nothing(start: Start, s3: EmbeddedS3, web: httpx.Client) -> None:
    with sqs(s3) as queue:
        url = start(QUEUE_URL=queue.url, JWT_SECRET=SECRET)
        key = stored(web, url, "jane", PICTURE, purpose="scan")
        job_id = scan(web, url, key).json()["job_id"]
        (text,) = queue.bodies()
        with working(queue.url, url) as worker:
            queue.send(text)
            worker.line(job_id)
            first = ended(web, url, job_id)
            queue.send(text)
            worker.line(job_id)
        assert ended(web, url, job_id) == first


def until(ask: Callable[[], Any]) -> Any:
    """What is found, within 30 s."""
    end = time.monotonic() + 30
    while not (found := ask()) and time.monotonic() < end:
        time.sleep(0.2)  # before the queue is asked again, until the deadline above
    return found


def test_it_says_what_it_needs_as_the_project_pins_it() -> None:
    pinned = (ROOT / "requirements.txt").read_text() + (ROOT / "requirements-dev.txt").read_text()
    for line in (ROOT / "examples/worker/requirements.txt").read_text().splitlines():
        assert line in pinned, line
