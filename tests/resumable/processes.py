"""Processes that take appends, each with its own connections and nothing but the ticket in common."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

from image_upload.auth.principals import Principal
from image_upload.completion.context import CompletionContext
from image_upload.domain.shipped_purposes import PURPOSES
from image_upload.limits import MIB
from image_upload.resumable.router import Resumable
from image_upload.resumable.service import Progress, ResumableUploads
from image_upload.s3.bucket import Bucket
from image_upload.settings import Settings
from image_upload.uploads.plans import UploadSpec
from image_upload.uploads.service import UploadService

USER: Final = Principal("user-1", signed_in=True)
DOCUMENT: Final = UploadSpec("application/pdf", PURPOSES.named["document"], USER, filename="one.pdf")
APPEND: Final = 4 * MIB
# As it arrives from a socket.
_READ: Final = 64 * 1024


async def body(data: bytes, *, breaks: Exception | None = None) -> AsyncIterator[memoryview]:
    """A request's body; with `breaks` the client is gone behind it."""
    for start in range(0, len(data), _READ):
        yield memoryview(data)[start : start + _READ]
    if breaks is not None:
        raise breaks


class Process:
    """One process of the service."""

    def __init__(self, settings: Settings) -> None:
        self.context = CompletionContext(settings)
        self.service = UploadService(settings.storage, settings.auth, self.context, form_path="/form", form_max_bytes=1)
        self.uploads: ResumableUploads = Resumable(settings.resumable, self.service, self.context).uploads

    async def create(self, spec: UploadSpec = DOCUMENT) -> str:
        """The ticket of a new upload."""
        return (await self.uploads.create(spec)).ticket_text

    async def append(self, ticket: str, offset: int, data: bytes, **options: Any) -> Progress:
        """Append a body that arrives whole."""
        return await self.uploads.append(self.uploads.ticket(ticket, USER), offset, body(data), **options)

    async def state(self, ticket: str) -> Progress:
        return await self.uploads.state(self.uploads.ticket(ticket, USER))

    async def cancel(self, ticket: str) -> bool:
        return await self.uploads.cancel(self.uploads.ticket(ticket, USER))

    async def go_on(self, ticket: str, content: bytes, *, append: int = APPEND) -> Progress:
        """Ask how far the upload is, and send the rest of the file."""
        progress = await self.state(ticket)
        while not progress.is_complete:
            data = content[progress.offset : progress.offset + append]
            ends = progress.offset + len(data) == len(content)
            progress = await self.append(ticket, progress.offset, data, ends=ends)
        return progress


@asynccontextmanager
async def process(settings: Settings) -> AsyncIterator[Process]:
    """A process, whose connections are closed in the end."""
    own = Process(settings)
    try:
        yield own
    finally:
        await own.context.aclose()


def calls_of(bucket: Bucket) -> list[str]:
    """The names of the calls that the process makes to S3 from now on, as they are made."""
    made: list[str] = []
    real = bucket.call

    async def call(operation: str, *arguments: Any, **options: Any) -> Any:
        made.append(operation)
        return await real(operation, *arguments, **options)

    bucket.call = call
    return made


class Held:
    """A process that stands still in front of its nth call to S3 from now on, until it is released."""

    def __init__(self, bucket: Bucket, call: int) -> None:
        self.reached = asyncio.Event()
        self._released = asyncio.Event()
        made_so_far, real = count(1), bucket.call

        async def made(*arguments: Any, **options: Any) -> Any:
            if next(made_so_far) == call:
                self.reached.set()
                await self._released.wait()
            return await real(*arguments, **options)

        bucket.call = made

    def release(self) -> None:
        """Let it go on."""
        self._released.set()
