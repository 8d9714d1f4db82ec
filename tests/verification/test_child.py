"""A child that decodes can do nothing else, and ends within its limits; whatever becomes of it, there is a verdict."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from image_upload.domain.purposes import Variant
from image_upload.errors import VerificationUnavailable
from image_upload.verification import decoder
from image_upload.verification.decoder import Job, Undecodable, decode
from image_upload.verification.framing import ANSWER
from tests.verification.files import inspected, noise, picture, wanted

linux = pytest.mark.skipif(sys.platform != "linux", reason="address space and system calls are limited on Linux alone")
JOB = Job("JPEG", 200, 120, 1, 100)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Each test has a process of its own to fork from."""
    decoder._servers.end()
    yield
    decoder._servers.end()


def run(data: bytes, job: Job = JOB) -> decoder.Decoded:
    return asyncio.run(decode(data, job))


# --- the sandbox ----------------------------------------------------------------------------------

_INSIDE = """
import os, socket, subprocess, sys, threading
sys.path[:0] = [sys.argv[1]]
from image_upload.verification import sandbox
out = os.dup(1)
attempts = {
    "open": lambda: open("/etc/passwd"),
    "write": lambda: open("/tmp/verify-sandbox", "w"),
    "environ": lambda: open("/proc/self/environ"),
    "fork": os.fork,
    "exec": lambda: os.execv("/bin/sh", ["sh"]),
    "socket": socket.socket,
    "kill": lambda: os.kill(1, 0),
    "chdir": lambda: os.chdir("/"),
    "spawn": lambda: subprocess.run(["true"]),
    "memory": lambda: bytearray(2 << 30),
}
sandbox.prepare()
sandbox.enter(1 << 30, 5)
found = []
for name, attempt in attempts.items():
    try:
        attempt()
        found.append(name + "=allowed")
    except BaseException as error:
        found.append(f"{name}={type(error).__name__}")
thread = threading.Thread(target=lambda: found.append("thread=ran"))
thread.start()
thread.join()
os.write(out, " ".join(found).encode())
"""


@linux
def test_a_child_reaches_no_file_no_process_and_no_network() -> None:
    out = subprocess.run(
        [sys.executable, "-I", "-c", _INSIDE, str(Path(__file__).parents[2])],
        capture_output=True,
        check=False,
        timeout=60,
    )
    found = dict(each.split("=") for each in out.stdout.decode().split())
    assert found.pop("memory") == "MemoryError", out.stderr
    assert found.pop("thread") == "ran"
    assert len(found) == 9
    assert set(found.values()) == {"PermissionError"}


def test_a_child_has_none_of_this_process_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Linux shows as the environment of the process that children are forked from."""
    monkeypatch.setenv("JWT_SECRET", "very-secret")
    run(picture("JPEG"))
    (process,) = decoder._servers._processes
    if sys.platform == "linux":
        environ = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert {each.partition(b"=")[0] for each in environ.split(b"\0") if each} <= {b"LD_LIBRARY_PATH", b"LC_CTYPE"}
        files = [str(each.readlink()) for each in Path(f"/proc/{process.pid}/fd").glob("*")]
        assert [each for each in files if not each.startswith(("socket:", "/dev/null"))] == []


# --- killed ---------------------------------------------------------------------------------------


@pytest.mark.full
@linux
def test_a_child_that_wants_too_much_memory_is_the_verdict_undecodable(monkeypatch: pytest.MonkeyPatch) -> None:
    data = picture("PNG", noise(2000, 1500), compress_level=1)
    monkeypatch.setattr(decoder, "VERIFY_CHILD_PIXEL_BYTES", 0)
    monkeypatch.setattr(decoder, "VERIFY_CHILD_BASE_BYTES", 32 << 20)
    assert inspected(data, wanted("image/png", variants=(Variant("a", 64, "webp"),))).fault == "undecodable"


@pytest.mark.full
def test_a_child_that_takes_too_long_a_processor_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that takes seconds, with no second to take."""
    monkeypatch.setattr(decoder, "VERIFY_CPU_S", 0)
    data = picture("WEBP", noise(3000, 3000), method=0)
    with pytest.raises(Undecodable):
        run(data, Job("WEBP", 3000, 3000, 1, 100, (("a", 3000, "avif"),)))


def test_a_child_is_killed_when_its_time_is_over_and_the_file_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "VERIFY_TIMEOUT_S", 0.2)
    data = picture("WEBP", noise(3000, 3000), method=0)
    began = time.monotonic()
    with pytest.raises(VerificationUnavailable):
        run(data, Job("WEBP", 3000, 3000, 1, 100, (("a", 3000, "avif"),)))
    assert time.monotonic() - began < 10


@pytest.mark.full
def test_the_next_file_is_decoded_after_a_killed_child(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(decoder, "VERIFY_CPU_S", 0)
        with pytest.raises(Undecodable):
            run(picture("WEBP", noise(3000, 3000), method=0), Job("WEBP", 3000, 3000, 1, 100, (("a", 3000, "avif"),)))
    assert run(picture("JPEG")).placeholder is not None
    assert len(decoder._servers._processes) == 1


@pytest.mark.full
def test_many_pictures_at_once_are_decoded_in_turns() -> None:
    data = picture("JPEG")

    async def all_of_them() -> list[decoder.Decoded]:
        return await asyncio.gather(*(decode(data, JOB) for _ in range(30)))

    assert len({each.placeholder for each in asyncio.run(all_of_them())}) == 1


def test_a_process_that_was_killed_is_replaced_and_no_file_is_blamed() -> None:
    data = picture("JPEG")
    run(data)
    (process,) = decoder._servers._processes
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run(data).placeholder is not None


@pytest.mark.full
def test_the_process_is_replaced_after_so_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "VERIFY_CHILD_FILES", 2)
    data = picture("JPEG")
    seen = set()
    for _ in range(5):
        run(data)
        seen.add(decoder._servers._processes[-1].pid)
    assert len(seen) == 3


def test_without_a_process_to_decode_in_the_file_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Pillow is broken or missing, that says nothing about files."""
    monkeypatch.setattr(decoder, "_START", "raise SystemExit(1)")
    with pytest.raises(VerificationUnavailable):
        inspected(picture("JPEG"), wanted("image/jpeg", variants=(Variant("a", 64, "webp"),)))


# --- what a child that was taken over may answer --------------------------------------------------


def framed(text: bytes, *pictures: bytes) -> bytes:
    return ANSWER.pack(len(text)) + text + b"".join(pictures)


def made(picture: bytes, **lies: Any) -> bytes:
    """An answer with one picture; what is said about it is replaced by lies."""
    listed = [{"name": "a", "format": "webp", "bytes": 16, **lies}]
    return framed(json.dumps({"frames": None, "placeholder": "IAgC", "made": listed}).encode(), picture)


WEBP = b"RIFF\0\0\0\0WEBPVP8 "
ASKED = JOB._replace(variants=(("a", 64, "webp"),))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0",
        b"\xff\xff\xff\xff",
        framed(b""),
        framed(b"{}"),
        framed(b"[" * 60_000),
        framed(b"null"),
        framed(b'{"frames": -1, "placeholder": null, "made": []}'),
        framed(b'{"frames": 1e999, "placeholder": null, "made": []}'),
        framed(b'{"frames": true, "placeholder": null, "made": []}'),
        framed(b'{"frames": null, "placeholder": "<script>", "made": []}'),
        framed(b'{"frames": null, "placeholder": "' + b"A" * 400 + b'", "made": []}'),
        framed(b'{"frames": null, "placeholder": null, "made": []}', WEBP),
        made(WEBP, name="b"),
        made(WEBP, format="html"),
        made(WEBP, bytes=99),
        made(WEBP, bytes=-1),
        made(WEBP, bytes=16.0),
        made(WEBP * 2),
        made(b"<" * 16),
    ],
)
def test_an_answer_that_no_job_has_asked_for_is_undecodable(answer: bytes) -> None:
    with pytest.raises(Undecodable):
        decoder._read(answer, ASKED)


def test_an_answer_as_it_should_be_is_read() -> None:
    assert decoder._read(made(WEBP), ASKED).made == {"a": (WEBP, "image/webp")}
