"""The receivers of docs/webhooks.md, run as they stand there, each with the reference library."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from image_upload.notify.delivery import Delivery, Outcome
from image_upload.notify.event import Event
from image_upload.notify.webhook import WebhookTarget
from local.ports import claim_port
from tests.notify.documented import example
from tests.notify.receiver import SECRET, event, new_secret, settings_for
from tests.npm import installed, tool

# Receivers are processes of their own.
pytestmark = pytest.mark.full

HERE = Path(__file__).resolve().parent
NODE = pytest.param("node", marks=pytest.mark.needs("node"))


class Application(NamedTuple):
    """A running receiver, and the file that its output goes to."""

    url: str
    output: Path


@contextlib.contextmanager
def running(language: str, folder: Path) -> Iterator[Application]:
    with claim_port("127.0.0.1", 0, "PORT") as free:
        port = str(free.getsockname()[1])
    if language == "python":
        (folder / "receiver.py").write_text(example("python", "FastAPI()"))
        command = [sys.executable, "-m", "uvicorn", "receiver:app", "--port", port]
    else:
        (folder / "node_modules").symlink_to(installed(HERE, "webhooks"))
        (folder / "receiver.mjs").write_text(example("js", "createServer"))
        command = [tool("node", "node"), "receiver.mjs"]
    output = folder / "output.txt"
    with output.open("w") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | {"WEBHOOK_SECRET": SECRET, "PORT": port}, stdout=out, stderr=out
        )
    try:
        url = f"http://127.0.0.1:{port}/hooks/uploads"
        transport = httpx.HTTPTransport(retries=8)  # while it starts, with pauses that grow
        with httpx.Client(transport=transport, trust_env=False, timeout=20) as client:
            assert client.post(url, content=b"{}").status_code == 400, output.read_text()
        yield Application(url, output)
    finally:
        process.kill()
        process.wait()


def deliver(url: str, about: Event, **environ: str) -> Outcome:
    async def whole() -> Outcome:
        target = WebhookTarget(settings_for(url, **environ))
        try:
            (outcome,) = await target.deliver([Delivery(str(about.id), "webhook", about.type, about.body, 1)], 20)
        finally:
            await target.aclose()
        return outcome

    return asyncio.run(whole())


@pytest.mark.parametrize("language", ["python", NODE])
def test_a_receiver_takes_what_is_signed_once_and_nothing_else(language: str, tmp_path: Path) -> None:
    with running(language, tmp_path) as application:
        url = application.url
        assert deliver(url, event(1)) == Outcome("delivered", "204")
        assert deliver(url, event(1)) == Outcome("delivered", "204")
        # While the secret changes, a receiver that still has the one of before accepts both.
        both = {"WEBHOOK_SECRET": new_secret(), "WEBHOOK_PREVIOUS_SECRET": SECRET}
        assert deliver(url, event(2), **both) == Outcome("delivered", "204")
        assert deliver(url, event(3), WEBHOOK_SECRET=new_secret()) == Outcome("failed", "400")
        said = application.output.read_text()
    handled = [line for line in said.splitlines() if line.startswith("upload.")]
    assert handled == [f"upload.stored uploads/{number}/고양이.jpg" for number in (1, 2)]
