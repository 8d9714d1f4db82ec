"""Have a child process decode a picture. What the child answers is as hostile as the file.

One process, `python -I` without this one's environment, imports the decoders and forks a child for each file
(`child`): a new process for each file would spend longer on importing than on most pictures.
"""

import asyncio
import atexit
import base64
import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from image_upload.errors import VerificationUnavailable
from image_upload.limits import (
    VERIFY_CHILD_BASE_BYTES,
    VERIFY_CHILD_FILES,
    VERIFY_CHILD_PIXEL_BYTES,
    VERIFY_CPU_S,
    VERIFY_DECODERS,
    VERIFY_MADE_MAX_BYTES,
    VERIFY_START_TIMEOUT_S,
    VERIFY_TIMEOUT_S,
)
from image_upload.verification.framing import ANSWER, BEGUN, REQUEST

log = logging.getLogger(__name__)

# Where Lambda's Python finds its own library. Nothing else of the environment is handed on.
_HANDED_ON: Final = ("LD_LIBRARY_PATH",)
_ROOT: Final = str(Path(__file__).resolve().parents[2])
_START: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from image_upload.verification.child import serve; serve(int(sys.argv[2]), float(sys.argv[3]))"
)
_ANSWER_MAX_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 256 * 1024
_PLACEHOLDER_MAX_CHARS: Final = 64
_MADE_TYPES: Final = {"webp": "image/webp", "avif": "image/avif"}


class Undecodable(Exception):
    """The child found no picture in the file, or did not live to say so."""


class _NotBegun(Exception):
    """No child has read the file."""


class Job(NamedTuple):
    """What to do with a file. `format` is Pillow's name; size and orientation are those of the header.

    `variants` are (name, width, format). `replace`: also return the whole picture as WebP.
    """

    format: str
    width: int
    height: int
    orientation: int
    max_frames: int
    variants: tuple[tuple[str, int, str], ...] = ()
    replace: bool = False


class Decoded(NamedTuple):
    """What a child found: `frames` of a GIF, the placeholder, and pictures by name with their media types.

    The whole picture has the name "".
    """

    frames: int | None
    placeholder: str | None
    made: dict[str, tuple[bytes, str]]


async def decode(data: bytes, job: Job) -> Decoded:
    """Decode a file in a child process; at most `VERIFY_DECODERS` at once.

    Raises `Undecodable`, and `VerificationUnavailable` where no child began, or the processor was too busy to end one
    in time: that says nothing about the file. What keeps a processor busy by itself is `Undecodable` by its CPU time.
    """
    loop = asyncio.get_running_loop()
    async with _places():
        for attempt in (1, 2):
            began = loop.time()
            try:
                # The process kills the child before, once it has begun itself.
                async with asyncio.timeout(VERIFY_TIMEOUT_S + VERIFY_START_TIMEOUT_S):
                    return _read(await _asked(data, job), job)
            except Undecodable:
                if loop.time() - began < VERIFY_TIMEOUT_S:
                    raise
                log.warning("no time to decode in", extra={"fields": {"seconds": VERIFY_TIMEOUT_S}})
                break
            except (_NotBegun, TimeoutError) as error:
                log.warning("no process to decode in", extra={"fields": {"attempt": attempt, "reason": repr(error)}})
                _servers.close()
    raise VerificationUnavailable


_semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _places() -> asyncio.Semaphore:
    """Return the semaphore of this loop: one belongs to the loop that it first waited in."""
    return _semaphores.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(VERIFY_DECODERS))


async def _asked(data: bytes, job: Job) -> bytes:
    """Return what a child answers, behind the byte with which it begins. Raises `Undecodable`, `_NotBegun`."""
    described = json.dumps(
        {
            **job._asdict(),
            "variants": [{"name": name, "width": width, "format": form} for name, width, form in job.variants],
            "memory_bytes": VERIFY_CHILD_BASE_BYTES + VERIFY_CHILD_PIXEL_BYTES * job.width * job.height,
            "cpu_s": VERIFY_CPU_S,
        }
    ).encode()
    loop = asyncio.get_running_loop()
    answer = bytearray()
    # After a lost connection what the child had said counts.
    with _servers.connection() as stream, contextlib.suppress(ConnectionError):
        for each in (REQUEST.pack(len(described), len(data)), described, data):
            await loop.sock_sendall(stream, each)
        while piece := await loop.sock_recv(stream, _PIECE_BYTES):
            answer += piece
            if len(answer) > VERIFY_MADE_MAX_BYTES:
                raise Undecodable("too long an answer")
    if not answer.startswith(BEGUN):
        raise _NotBegun
    return bytes(answer[len(BEGUN) :])


def _read(answer: bytes, job: Job) -> Decoded:
    """Return a child's answer, each length of which is checked. Raises `Undecodable`."""
    length = ANSWER.unpack_from(answer)[0] if len(answer) >= ANSWER.size else 0
    if not 0 < length <= min(_ANSWER_MAX_BYTES, len(answer) - ANSWER.size):
        raise Undecodable("no answer")
    try:
        found = json.loads(answer[ANSWER.size : ANSWER.size + length])
        return Decoded(_frames(found["frames"]), _placeholder(found["placeholder"]), _made(found["made"], answer, job))
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Undecodable("a broken answer") from error


def _frames(value: Any) -> int | None:
    if value is not None and (type(value) is not int or not 0 <= value < 2**31):
        raise ValueError("frames")
    return value


def _placeholder(value: Any) -> str | None:
    if value is not None and len(base64.b64decode(value, validate=True)) * 4 > _PLACEHOLDER_MAX_CHARS * 3:
        raise ValueError("placeholder")
    return None if value is None else str(value)


def _made(listed: Any, answer: bytes, job: Job) -> dict[str, tuple[bytes, str]]:
    """Return the pictures that a job asked for, which must be all there, and begin as what they are."""
    expected = [*((name, form) for name, _, form in job.variants), *([("", "webp")] if job.replace else [])]
    at = ANSWER.size + ANSWER.unpack_from(answer)[0]
    made = {}
    if listed or at != len(answer):
        if [(each["name"], each["format"]) for each in listed] != expected:
            raise ValueError("other pictures")
        for each in listed:
            saved = answer[at : at + each["bytes"]]
            at += each["bytes"]
            if type(each["bytes"]) is not int or len(saved) != each["bytes"] or not _begins_as(saved, each["format"]):
                raise ValueError("a broken picture")
            made[each["name"]] = (saved, _MADE_TYPES[each["format"]])
    if at != len(answer):
        raise ValueError("bytes behind the last picture")
    return made


def _begins_as(saved: bytes, form: str) -> bool:
    return saved[8:12] == b"WEBP" if form == "webp" else saved[4:12] == b"ftypavif"


class _Servers:
    """The process from which children are forked, and those before it that are ending."""

    def __init__(self) -> None:
        self._control: socket.socket | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._files = 0

    @contextlib.contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """Yield a socket to a new child. Raises `_NotBegun` if there is no process to fork one from."""
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            with theirs:
                if self._files >= VERIFY_CHILD_FILES or not self._sent(theirs):
                    self.close()
                    self._start()
                    if not self._sent(theirs):
                        raise _NotBegun
            self._files += 1
            yield ours

    def _sent(self, theirs: socket.socket) -> bool:
        """Hand a socket to the process; return whether there is one."""
        if self._control is None:
            return False
        try:
            socket.send_fds(self._control, [b"j"], [theirs.fileno()])
        except OSError:
            return False
        return True

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        where = json.dumps([_ROOT, *(each for each in sys.path if each and each != _ROOT)])
        with theirs:
            self._processes.append(
                subprocess.Popen(  # noqa: S603  this Python, with arguments of ours
                    [sys.executable, "-I", "-c", _START, where, str(theirs.fileno()), str(VERIFY_TIMEOUT_S)],
                    pass_fds=[theirs.fileno()],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        self._files = 0

    def close(self) -> None:
        """Let the process end with its last child."""
        if self._control is not None:
            self._control.close()
            self._control = None
        self._processes = [each for each in self._processes if each.poll() is None]

    def end(self) -> None:
        """End the processes now: this one ends."""
        self.close()
        for each in self._processes:
            each.kill()
            each.wait()
        self._processes = []


_servers: Final = _Servers()
atexit.register(_servers.end)
