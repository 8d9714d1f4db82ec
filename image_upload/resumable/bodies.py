"""The body of an append: cut into pieces while it arrives, or compared with its checksum before a byte of it counts."""

import asyncio
import binascii
import hashlib
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final, NamedTuple

from image_upload.errors import AppendTooLarge, ChecksumMismatch
from image_upload.languages.wording import human_bytes
from image_upload.outbound.budget import ByteBudget
from image_upload.s3.part_reader import ChunkSource, Part, PartReader


def _crc32(data: memoryview) -> bytes:
    return binascii.crc32(data).to_bytes(4, "big")


# The algorithms of checksums, by tus's names.
ALGORITHMS: Final[dict[str, Callable[[memoryview], bytes]]] = {
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "sha512": lambda data: hashlib.sha512(data).digest(),
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
    "crc32": _crc32,
}


class Checksum(NamedTuple):
    """The checksum of an append's whole body. `algorithm` is one of `ALGORITHMS`."""

    algorithm: str
    digest: bytes


class Body:
    """The bytes of one append, at most one part of them in memory until `free`."""

    def __init__(
        self, chunks: AsyncIterator[memoryview], budget: ByteBudget, part_bytes: int, announced_bytes: int | None
    ) -> None:
        self._part_bytes = part_bytes
        self._broken: Exception | None = None
        self._reader = PartReader(ChunkSource(self._until_broken(chunks)), part_bytes, budget, announced_bytes)
        self._held: Part | None = None

    async def _until_broken(self, chunks: AsyncIterator[memoryview]) -> AsyncGenerator[memoryview, None]:
        """Yield the chunks. A failure ends them: what arrived before it is stored first."""
        try:
            async for chunk in chunks:
                yield chunk
        except Exception as failure:  # noqa: BLE001  raised again by `pieces`
            self._broken = failure

    async def pieces(self, offset: int) -> AsyncGenerator[memoryview, None]:
        """Yield pieces that end where a part of the upload ends, as `Engine.append` wants them.

        If the client breaks off, what arrived is yielded before its failure is raised.
        """
        while await self._reader.more():
            self.free()
            self._reader.part_bytes = self._part_bytes - offset % self._part_bytes
            self._held = await self._reader.next()
            if self._held is None:
                break
            offset += len(self._held.data)
            yield self._held.data
        self._raise_broken()

    async def checked_pieces(
        self, offset: int, most_bytes: int, checksum: Checksum | None
    ) -> AsyncGenerator[memoryview, None]:
        """Do the same once the whole body has arrived and is the one of the checksum.

        Raises `AppendTooLarge` above `most_bytes`, `ChecksumMismatch`, and what the client's end raises.
        """
        self._reader.part_bytes = most_bytes
        self._held = await self._reader.next()
        if self._held is not None and await self._reader.more():
            raise too_large(most_bytes)
        self._raise_broken()
        data = memoryview(b"") if self._held is None else self._held.data
        if checksum is not None:
            digest = await asyncio.to_thread(ALGORITHMS[checksum.algorithm], data)
            if not hmac.compare_digest(digest, checksum.digest):
                raise ChecksumMismatch("The bytes that arrived are not those of the checksum. Send them again.")
        while data:
            left = self._part_bytes - offset % self._part_bytes
            yield data[:left]
            offset, data = offset + len(data[:left]), data[left:]

    def free(self) -> None:
        """Give the memory back."""
        if self._held is not None:
            self._held.free()
            self._held = None

    def _raise_broken(self) -> None:
        if self._broken is not None:
            raise self._broken


def too_large(most_bytes: int) -> AppendTooLarge:
    """Return the problem of an append that holds more than that."""
    return AppendTooLarge(
        "An append of this kind holds at most {limit}. Send the same bytes in several ones.",
        facts={"limit": human_bytes(most_bytes)},
        max_append_bytes=most_bytes,
    )
