"""Forms that have arrived as a whole: their files in memory or on disk."""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast

from image_upload.form_proxy.form import Incoming
from image_upload.limits import FORM_SPOOL_BYTES
from image_upload.outbound.budget import ByteBudget
from image_upload.web.min_rate import too_busy

CHUNK_BYTES = 256 * 1024

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class SpoolBudgets(NamedTuple):
    """The byte budgets that the files of all forms share. On Lambda there are none: the body is in memory anyway."""

    memory: ByteBudget
    disk: ByteBudget


class Spool:
    """An unnamed file that waits to be sent. Closing it deletes it.

    It is in memory up to `FORM_SPOOL_BYTES` while half of the buffers are free, else in the temporary directory.
    """

    def __init__(self, budgets: SpoolBudgets) -> None:
        self._budgets = budgets
        self._held = bytearray()
        self._file: BinaryIO | None = None
        self._file_bytes = 0
        self._position = 0
        self._busy: asyncio.Future[Any] | None = None

    async def write(self, chunk: memoryview) -> None:
        """Append a chunk. Raises `TooManyUploads` if the disk or its budget is full."""
        if self._file is None:
            memory = self._budgets.memory
            short = len(self._held) + len(chunk) <= FORM_SPOOL_BYTES
            if short and memory.take_now(len(chunk), leaving_bytes=memory.total_bytes // 2):
                self._held += chunk
                return
        wanted = len(chunk) + len(self._held)
        if not self._budgets.disk.take_now(wanted):
            raise too_busy()
        self._file_bytes += wanted
        try:
            await self._in_thread(self._append, chunk)
        except OSError as error:
            log.warning("the temporary directory cannot be written to: %s", error.strerror)
            raise too_busy() from None
        self._let_go()

    def _append(self, chunk: memoryview) -> None:
        if self._file is None:
            self._file = cast("BinaryIO", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115  `close` does
        for piece in (memoryview(self._held), chunk):
            while piece:
                piece = piece[self._file.write(piece) :]  # noqa: PLW2901  a full disk writes only a part

    async def _in_thread(self, call: Callable[..., _Result], *arguments: object) -> _Result:
        """Run a call in a thread, so that a slow disk does not block the event loop."""
        self._busy = asyncio.get_running_loop().run_in_executor(None, call, *arguments)
        # Shielded, because `close` must know whether the thread still runs.
        return await asyncio.shield(self._busy)

    def _let_go(self) -> None:
        if self._held:
            self._budgets.memory.give_back(len(self._held))
            self._held = bytearray()

    def rewind(self) -> None:
        """Go back to the start."""
        self._position = 0
        if self._file is not None:
            self._file.seek(0)

    async def read(self) -> memoryview:
        """Return the next `CHUNK_BYTES` or fewer; an empty view at the end."""
        if self._file is not None:
            return memoryview(await self._in_thread(self._file.read, CHUNK_BYTES))
        piece = memoryview(bytes(self._held[self._position : self._position + CHUNK_BYTES]))
        self._position += len(piece)
        return piece

    def close(self) -> None:
        """Delete the file and release its bytes."""
        self._let_go()
        if self._busy is None or self._busy.done():
            self._close_file()
        else:
            # A thread still writes to the descriptor, whose number may belong to another file after closing it.
            self._busy.add_done_callback(lambda _: self._close_file())
        self._budgets.disk.give_back(self._file_bytes)
        self._file_bytes = 0

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()


class MemoryviewFile:
    """A file of views onto a body in memory, written and read without copying it."""

    def __init__(self) -> None:
        self._views: list[memoryview] = []
        self._next = 0

    async def write(self, view: memoryview) -> None:
        """Append a view."""
        self._views.append(view)

    def rewind(self) -> None:
        """Go back to the start."""
        self._next = 0

    async def read(self) -> memoryview:
        """Return the next view; an empty one at the end."""
        self._next += 1
        return self._views[self._next - 1] if self._next <= len(self._views) else memoryview(b"")

    def close(self) -> None:
        """Release the views, so that the body can be freed."""
        self._views.clear()


Waiting = Spool | MemoryviewFile


async def pieces(file: Waiting) -> AsyncIterator[memoryview]:
    """Yield the chunks of a file from its start."""
    file.rewind()
    while piece := await file.read():
        yield piece


@dataclass(slots=True)
class Form:
    """A form that has arrived as a whole. `file` is None if it has none."""

    fields: dict[str, str] = field(default_factory=dict)
    file: Waiting | None = None
    filename: str = ""
    content_type: str | None = None
    size_bytes: int = 0

    def close(self) -> None:
        """Delete the spooled file."""
        if self.file is not None:
            self.file.close()


async def receive(incoming: Incoming, budgets: SpoolBudgets | None) -> Form:
    """Receive a form and spool its file. The caller closes the form; if this raises, nothing stays on disk.

    `budgets` is None if the whole body is in memory already, as on Lambda. Raises `TooManyUploads` if a budget is full.
    """
    form = Form()
    try:
        if await incoming.reach_file():
            form.file = Spool(budgets) if budgets is not None else MemoryviewFile()
            async for chunk in incoming.chunks():
                await form.file.write(chunk)
            await incoming.finish()
    except BaseException:
        form.close()
        raise
    form.fields, form.size_bytes = incoming.fields, incoming.size_bytes
    form.filename, form.content_type = incoming.filename, incoming.content_type
    return form
