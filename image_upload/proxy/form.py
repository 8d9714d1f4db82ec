"""Read multipart/form-data as it arrives, bounded in every direction. RFC 7578.

The parts come as events, so that nobody has to hold more than one chunk: `receive` spools the file
to the temporary directory while it arrives.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from image_upload.errors import InvalidRequest, MalformedForm, NotAForm, OutOfTime
from image_upload.limits import FORM_FIELD_MAX_BYTES, FORM_PARTS_MAX, FORM_SPOOL_BYTES
from image_upload.proxy.deadline import Deadline

FILE_FIELD = "file"
_BOUNDARY_MAX_CHARS = 70  # RFC 2046 section 5.1.1
_HINT = "Send multipart/form-data; in browsers pass a FormData and set no Content-Type yourself."

Event = tuple[Literal["part", "data", "end"], "Part | bytes"]


@dataclass(slots=True)
class Part:
    """One part's head: `filename` is None for a plain field."""

    name: str
    filename: str | None
    content_type: str | None


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


def boundary_of(content_type: str | None) -> bytes:
    """The boundary of a form's Content-Type. Raises `NotAForm` or `MalformedForm`."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise NotAForm(f"The body is not a form. {_HINT}")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= _BOUNDARY_MAX_CHARS:
        raise MalformedForm(f"The Content-Type names no boundary of 1 to {_BOUNDARY_MAX_CHARS} characters. {_HINT}")
    return boundary


class _Reader:
    """Collects the low-level parser's callbacks into events."""

    def __init__(self, boundary: bytes) -> None:
        self.events: list[Event] = []
        self.complete = False
        self._parts = 0
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Events of the next chunk."""
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise MalformedForm(f"The form is not well formed. {_HINT}") from None
        events, self.events = self.events, []
        return iter(events)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > FORM_PARTS_MAX:
            raise MalformedForm(f"The form has more than {FORM_PARTS_MAX} parts. Send only the fields /docs lists.")
        self._headers = {}

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _on_headers(self) -> None:
        try:
            # Browsers and curl send UTF-8 here (RFC 7578 section 5.1).
            disposition = self._headers.get(b"content-disposition", b"").decode()
            content_type = self._headers[b"content-type"].decode("ascii") if b"content-type" in self._headers else None
        except UnicodeDecodeError:
            raise MalformedForm("A part's headers are not UTF-8. Name fields and files in UTF-8.") from None
        if content_type is not None and not content_type.isprintable():
            raise MalformedForm("A part's Content-Type holds control characters. Send a media type such as image/jpeg.")
        kind, options = _disposition(disposition)
        if kind != "form-data" or "name" not in options:
            raise MalformedForm(f"A part of the form has no name. {_HINT}")
        self.events.append(("part", Part(options["name"], options.get("filename"), content_type)))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self.events.append(("data", data[start:end]))

    def _on_part_end(self) -> None:
        self.events.append(("end", b""))

    def _on_end(self) -> None:
        self.complete = True


def _disposition(value: str) -> tuple[str, dict[str, str]]:
    """A part's Content-Disposition, whose values may hold any character."""
    # The library's reader is for Latin-1; UTF-8 bytes spelled as Latin-1 pass through it unchanged.
    kind, options = parse_options_header(value.encode().decode("latin-1"))
    return kind.decode("latin-1"), {name.decode("latin-1"): text.decode() for name, text in options.items()}


async def read(stream: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[Event]:
    """The events of a form: ("part", Part), then ("data", bytes) …, then ("end", b"") for each part.

    Raises `MalformedForm`, also when the stream ends before the closing boundary.
    """
    reader = _Reader(boundary)
    async for chunk in stream:
        for event in reader.feed(chunk):
            yield event
    if not reader.complete:
        raise MalformedForm("The form was cut off before its end; nothing was stored. Send it again.")


async def receive_within(stream: AsyncIterator[bytes], content_type: str | None, deadline: Deadline) -> Form:
    """`receive`, or `OutOfTime` when the client takes longer than the whole upload may."""
    try:
        async with asyncio.timeout(deadline.left_s):
            return await receive(stream, content_type)
    except TimeoutError:
        raise OutOfTime("The form did not arrive in time. Send it again over a faster line.", attempts=0) from None


async def receive(stream: AsyncIterator[bytes], content_type: str | None) -> Form:
    """The whole form, its file spooled. The caller closes it.

    Raises `NotAForm`, `MalformedForm`, `InvalidRequest`; then nothing stays behind on disk.
    """
    boundary = boundary_of(content_type)
    form = Form()
    try:
        await _collect(read(stream, boundary), form)
    except BaseException:
        form.close()
        raise
    if form.file is not None:
        form.file.seek(0)
    return form


async def _collect(events: AsyncIterator[Event], form: Form) -> None:
    part = Part("", None, None)
    value = bytearray()
    async for kind, payload in events:
        if isinstance(payload, Part):
            part, value = payload, bytearray()
            if part.name in form.fields or (part.name == FILE_FIELD and form.file is not None):
                raise MalformedForm(f"The form holds more than one {part.name!r} part. Send one file a request.")
            if part.name == FILE_FIELD:
                if not part.filename:  # text, or a file input that was left empty
                    raise _not_a_file()
                form.file = _spool()
                form.filename, form.content_type = part.filename, part.content_type
        elif kind == "data" and part.name == FILE_FIELD and form.file is not None:
            form.file.write(payload)
            form.size_bytes += len(payload)
        elif kind == "data":
            value += payload
            if len(value) > FORM_FIELD_MAX_BYTES:
                raise MalformedForm(f"The field {part.name[:40]!r} is longer than {FORM_FIELD_MAX_BYTES} bytes.")
        elif part.name != FILE_FIELD:
            form.fields[part.name] = _text(part.name, value)


def _text(name: str, value: bytearray) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise MalformedForm(f"The field {name[:40]!r} is not UTF-8 text.") from None


def _not_a_file() -> InvalidRequest:
    return InvalidRequest(
        "The part `file` has no file name, so it is not a file. In curl write -F file=@cat.jpg, in JavaScript append "
        "a File or Blob.",
        errors=[{"field": FILE_FIELD, "message": "not a file"}],
    )


def _spool() -> BinaryIO:
    """A file without a name, in memory up to `FORM_SPOOL_BYTES`; gone when it is closed."""
    return cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=FORM_SPOOL_BYTES))
