"""Scan arrivals with clamd, the server of ClamAV: each one is sent to it, in constant memory.

https://docs.clamav.net/manual/Usage/Scanning.html#clamd (and `man clamd`: INSTREAM)
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from image_upload.limits import CLAMD_ANSWER_MAX_BYTES, CLAMD_CONNECT_TIMEOUT_S, CLAMD_SCANS_AT_ONCE
from image_upload.outbound import deadline
from image_upload.s3 import objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.objects import StoredObject
from image_upload.verification.verdict import CLEAN, Verdict

log = logging.getLogger(__name__)

# clamd says `FOUND` for these, too: with AlertExceedsMax and AlertEncrypted, of what it could not look into.
_NOT_LOOKED_INTO: Final = ("Heuristics.Limits.Exceeded", "Heuristics.Encrypted")
_TOO_LONG: Final = "INSTREAM size limit exceeded"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Clamd:
    """One clamd."""

    answers_at_once: ClassVar[bool] = True

    def __init__(self, bucket: Bucket, url: str) -> None:
        self._bucket = bucket
        self._url = url
        self._at_once = asyncio.Semaphore(CLAMD_SCANS_AT_ONCE)

    async def scan(self, arrival: StoredObject, within_s: float) -> Verdict:
        """Send the arrival to clamd; return its verdict. A clamd that does not answer: `waiting`."""
        try:
            async with asyncio.timeout(deadline.at_most(within_s)), self._at_once:
                return verdict(await self._answer(arrival))
        except TimeoutError:
            return _no_answer("clamd did not answer in time")
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:
            return _no_answer(f"clamd: {type(error).__name__}")

    async def _answer(self, arrival: StoredObject) -> str:
        async with opened(self._url) as (reader, writer):
            # It answers in the middle of a file that is too long, and then takes no more of it.
            answer = asyncio.ensure_future(reader.readuntil(b"\0"))
            answer.add_done_callback(_looked_at)
            try:
                writer.write(b"zINSTREAM\0")
                async with aclosing(objects.read(self._bucket, arrival)) as chunks:
                    async for chunk in chunks:
                        if answer.done():
                            break
                        writer.write(len(chunk).to_bytes(4, "big"))
                        writer.write(chunk)
                        await _drained(writer, answer)
                if not answer.done():
                    writer.write(bytes(4))
                return (await answer).rstrip(b"\0").decode(errors="replace")
            finally:
                answer.cancel()


async def ping(url: str) -> str:
    """Return clamd's answer to PING, `PONG`. Raises `OSError`, also after `CLAMD_CONNECT_TIMEOUT_S`."""
    return await _asked(url, b"zPING\0")


async def scan_bytes(url: str, data: bytes) -> Verdict:
    """Return the verdict about some bytes. Raises `OSError`."""
    return verdict(await _asked(url, b"zINSTREAM\0" + len(data).to_bytes(4, "big") + data + bytes(4)))


async def _asked(url: str, command: bytes) -> str:
    try:
        async with asyncio.timeout(2 * CLAMD_CONNECT_TIMEOUT_S), opened(url) as (reader, writer):
            writer.write(command)
            return (await reader.readuntil(b"\0")).rstrip(b"\0").decode(errors="replace")
    except (EOFError, asyncio.LimitOverrunError) as error:
        raise ConnectionError(type(error).__name__) from None


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Connection]:
    """Connect to clamd. Raises `OSError`, `TimeoutError` among them."""
    parts = urlsplit(url)
    async with asyncio.timeout(CLAMD_CONNECT_TIMEOUT_S):
        if parts.scheme == "unix":
            reader, writer = await asyncio.open_unix_connection(parts.path, limit=CLAMD_ANSWER_MAX_BYTES)
        else:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=CLAMD_ANSWER_MAX_BYTES)
    try:
        yield reader, writer
    finally:
        # Not closed in order: a clamd that hangs would never take what was written.
        writer.transport.abort()


async def _drained(writer: asyncio.StreamWriter, answer: "asyncio.Future[bytes]") -> None:
    """Wait until clamd has taken what was written, or has answered."""
    drained = asyncio.ensure_future(writer.drain())
    drained.add_done_callback(_looked_at)
    try:
        either: set[asyncio.Future[Any]] = {drained, answer}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if drained.done() and not answer.done():
            drained.result()
    finally:
        drained.cancel()


def _looked_at(future: "asyncio.Future[Any]") -> None:
    """Take the exception of a future that need not be waited for, or asyncio would report it."""
    if not future.cancelled():
        future.exception()


def verdict(answer: str) -> Verdict:
    """Return the meaning of clamd's answer to INSTREAM. What is not about the file is no verdict."""
    subject, _, said = answer.partition(": ")
    if subject == "stream":
        if said == "OK":
            return CLEAN
        if said.endswith(" FOUND"):
            name = said.removesuffix(" FOUND")
            return Verdict("unscannable" if name.startswith(_NOT_LOOKED_INTO) else "infected", name)
        if said.endswith(" ERROR"):
            return Verdict("unscannable", said)
    if answer.startswith(_TOO_LONG):
        return Verdict("unscannable", _TOO_LONG)
    return _no_answer(f"clamd: {answer}")


def _no_answer(reason: str) -> Verdict:
    log.warning("a scan has no verdict yet", extra={"fields": {"reason": reason[:200]}})
    return Verdict("waiting", reason)
