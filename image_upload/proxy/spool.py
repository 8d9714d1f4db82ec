"""A form that arrived whole: its file on disk, or where it lies in memory already."""

import tempfile
from dataclasses import dataclass, field
from typing import BinaryIO, Self, cast

from image_upload.limits import FORM_SPOOL_BYTES
from image_upload.proxy.form import Incoming


@dataclass(slots=True)
class Form:
    """A form that arrived whole. `file` is positioned at its start; None if there was no such part."""

    fields: dict[str, str] = field(default_factory=dict)
    file: BinaryIO | None = None
    filename: str = ""
    content_type: str | None = None
    size_bytes: int = 0

    def close(self) -> None:
        """Remove the spooled file."""
        if self.file is not None:
            self.file.close()


async def receive(incoming: Incoming, *, on_disk: bool = True) -> Form:
    """The whole form, its file spooled. The caller closes it; if this raises, nothing stays behind on disk.

    Not `on_disk` where the whole body is in memory already, as on Lambda.
    """
    form = Form()
    try:
        if await incoming.reach_file():
            form.file = spool() if on_disk else cast("BinaryIO", Views())
            async for chunk in incoming.chunks():
                form.file.write(chunk)
            await incoming.finish()
            form.file.seek(0)
    except BaseException:
        form.close()
        raise
    form.fields, form.size_bytes = incoming.fields, incoming.size_bytes
    form.filename, form.content_type = incoming.filename, incoming.content_type
    return form


class Views:
    """A file of views onto a body that is in memory anyway: written and read without a copy of it."""

    def __init__(self) -> None:
        self._views: list[memoryview] = []
        self._next = 0

    def write(self, view: memoryview) -> None:
        """Append a view."""
        self._views.append(view)

    def seek(self, _: int) -> None:
        """Back to the start, the only place that anybody seeks."""
        self._next = 0

    def read(self, _: int) -> memoryview:
        """The next view whole, whatever was asked for; an empty one at the end."""
        self._next += 1
        return self._views[self._next - 1] if self._next <= len(self._views) else memoryview(b"")

    def close(self) -> None:
        """Let go of the body."""
        self._views.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def spool() -> BinaryIO:
    """A file without a name, in memory up to `FORM_SPOOL_BYTES`; gone when it is closed."""
    return cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=FORM_SPOOL_BYTES))
