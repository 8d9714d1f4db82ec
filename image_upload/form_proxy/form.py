"""Read multipart/form-data as it arrives, with limits for fields, parts and headers. RFC 7578.

`Incoming` passes the file's bytes on as they arrive, so a reader holds no more than one chunk.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from image_upload.errors import ChunksNotSupported, MalformedForm, NotAForm, ValidationFailed
from image_upload.form_proxy import part_names
from image_upload.languages.wording import human_bytes
from image_upload.limits import FORM_FIELD_MAX_BYTES, FORM_PARTS_MAX

FILE_FIELD = "file"
FOLDER_FIELD = "folder"
PURPOSE_FIELD = "purpose"
CLASS_FIELD = "class_id"
SUCCESS_URL_FIELD = "success_url"
# The fields that the service reads. Others, which frameworks add, are ignored.
_FIELDS = frozenset(
    {"uploadUrl", "max_retries", FOLDER_FIELD, PURPOSE_FIELD, CLASS_FIELD, SUCCESS_URL_FIELD},
)
# The fields with the number of chunks of Dropzone, Resumable.js, Flow.js, Fine Uploader and Plupload.
_CHUNK_COUNTS = frozenset({"dztotalchunkcount", "resumableTotalChunks", "flowTotalChunks", "qqtotalparts", "chunks"})
# Browsers give this name to a Blob without one, such as a JSON document beside the file.
_NAMELESS = "blob"
_NAMES_SHOWN = 5
_BOUNDARY_MAX_CHARS = 70  # RFC 2046 section 5.1.1
_HINT = "Send multipart/form-data; in browsers pass a FormData and set no Content-Type yourself."

Event = tuple[Literal["part", "data", "end"], "Part | memoryview"]


@dataclass(slots=True)
class Part:
    """One part's head. `filename` is None for a plain field.

    `data_offset` is the position of its content in the body; None before its first byte.
    """

    name: str
    filename: str | None
    content_type: str | None
    data_offset: int | None = None


def boundary_of(content_type: str | None) -> bytes:
    """Return the boundary of a form's Content-Type. Raises `NotAForm` or `MalformedForm`."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise NotAForm(f"The body is not a form. {_HINT}")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= _BOUNDARY_MAX_CHARS:
        raise MalformedForm(f"The Content-Type names no boundary of 1 to {_BOUNDARY_MAX_CHARS} characters. {_HINT}")
    return boundary


class _Reader:
    """Turn the callbacks of the low-level parser into events."""

    def __init__(self, boundary: bytes) -> None:
        self.events: list[Event] = []
        self.complete = False
        self._part = Part("", None, None)
        self._chunk = b""
        self._consumed = 0
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
        """Parse the next chunk; yield its events."""
        self._chunk = chunk
        try:
            self._parser.write(chunk)
            self._consumed += len(chunk)
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
            content_type = (
                self._headers[b"content-type"].decode("ascii").strip() if b"content-type" in self._headers else None
            )
        except UnicodeDecodeError:
            raise MalformedForm("A part's headers are not UTF-8. Name fields and files in UTF-8.") from None
        if content_type is not None and not content_type.isprintable():
            raise MalformedForm("A part's Content-Type holds control characters. Send a media type such as image/jpeg.")
        named = part_names.read(disposition)
        if named is None:
            raise MalformedForm(f"A part of the form has no name. {_HINT}")
        self._part = Part(named.name, named.filename, content_type or None)
        self.events.append(("part", self._part))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._part.data_offset is None:
            # Bytes at the end of the last chunk that looked like a boundary come in a buffer of the parser.
            before = start if data is self._chunk else start - end
            self._part.data_offset = self._consumed + before
        self.events.append(("data", memoryview(data)[start:end]))

    def _on_part_end(self) -> None:
        self.events.append(("end", memoryview(b"")))

    def _on_end(self) -> None:
        self.complete = True


class Incoming:
    """A form that is still arriving: its fields so far, and the file's bytes as they come.

    The one part with a file name is the file, under any field name. Unknown fields are ignored. `checks` are called
    with the value of each field of their name as soon as it is complete, and may raise.
    Call `reach_file`, then read `chunks` to their end, then `finish`; without a file `finish` is enough.

    All of them raise `MalformedForm`, also when the stream ends before the closing boundary.
    """

    def __init__(
        self,
        stream: AsyncIterator[bytes],
        content_type: str | None,
        content_length: int | None,
        checks: Mapping[str, Callable[[str], object]] | None = None,
    ) -> None:
        self._boundary = boundary_of(content_type)
        self._content_length = content_length
        self._stream = stream
        self._reader = _Reader(self._boundary)
        self._events: deque[Event] = deque()
        self._part = self._file = Part("", None, None)
        self._value = bytearray()
        self._checks = checks or {}
        self._read_over: list[str] = []
        self.fields: dict[str, str] = {}
        self.filename = ""
        self.content_type: str | None = None
        self.has_file = False
        self.size_bytes = 0
        self._file_ended = False

    async def reach_file(self) -> bool:
        """Read fields up to the file's first byte; False if the form ended without a file. May be called twice."""
        if self.has_file:
            return True
        while (event := await self._next()) is not None:
            if self._takes(event):
                await self._fill()
                return True
        if self._read_over:
            raise _no_file(self._read_over)
        return False

    def length_if_last(self) -> int | None:
        """Return the file's length, if only the closing boundary follows it: computed from the form's length.

        Return None if the form has no length, or the file is empty.
        """
        if self._content_length is None or self._file.data_offset is None:
            return None
        closing = len(b"\r\n--") + len(self._boundary) + len(b"--\r\n")
        return max(0, self._content_length - self._file.data_offset - closing)

    async def chunks(self) -> AsyncIterator[memoryview]:
        """Yield the file's bytes, from where the last reader stopped. `size_bytes` counts the yielded bytes."""
        while not self._file_ended and (event := await self._next()) is not None:
            kind, payload = event
            if kind == "end":
                self._file_ended = True
                return
            assert isinstance(payload, memoryview)  # only data stands between a part and its end
            self.size_bytes += len(payload)
            yield payload

    async def finish(self) -> None:
        """Read the fields after the file, up to the closing boundary."""
        while (event := await self._next()) is not None:
            if self._takes(event):
                raise MalformedForm(
                    f"The form holds more than one file, in {self._file.name[:40]!r} and {self._part.name[:40]!r}. "
                    "Send one file a request."
                )

    async def _fill(self) -> None:
        """Fetch the next event into `_event`, if there is one."""
        while not self._events:
            try:
                chunk = await anext(self._stream)
            except StopAsyncIteration:
                return
            self._events.extend(self._reader.feed(chunk))

    async def _next(self) -> Event | None:
        await self._fill()
        if self._events:
            return self._events.popleft()
        if not self._reader.complete:
            raise MalformedForm("The form was cut off before its end; nothing was stored. Send it again.")
        return None

    def _takes(self, event: Event) -> bool:
        """Add the event to a plain field; return True for the head of the file."""
        kind, payload = event
        if isinstance(payload, Part):
            self._part, self._value = payload, bytearray()
            if payload.name in self.fields:
                raise MalformedForm(f"The form holds more than one {payload.name[:40]!r} part. Send each field once.")
            if _is_file(payload):
                if not self.has_file:
                    self._file, self.content_type = payload, payload.content_type
                    self.filename, self.has_file = payload.filename or "", True
                return True
            if payload.name not in _FIELDS:
                self._read_over.append(payload.name)
        elif kind == "data":
            self._value += payload
            if len(self._value) > FORM_FIELD_MAX_BYTES:
                most = human_bytes(FORM_FIELD_MAX_BYTES)
                raise MalformedForm(f"The field {self._part.name[:40]!r} is longer than {most}. Send less in it.")
        elif self._part.name in _FIELDS:
            text = self.fields[self._part.name] = _text(self._part.name, self._value)
            self._checks.get(self._part.name, str)(text)
        elif self._part.name in _CHUNK_COUNTS:
            _refuse_chunks(self._part.name, bytes(self._value).strip())
        return False


def _is_file(part: Part) -> bool:
    """Return whether a part is the form's file: it has a file name; a nameless Blob counts in the file's field only."""
    named = bool(part.filename) and part.name not in _FIELDS
    return named and (part.name == FILE_FIELD or part.filename != _NAMELESS)


def _refuse_chunks(field: str, count: bytes) -> None:
    """Raise `ChunksNotSupported` if the form says that it carries one of several chunks of a file."""
    if count.isdigit() and count.lstrip(b"0") not in (b"", b"1"):
        raise ChunksNotSupported(
            f"The field {field!r} says that this form is one chunk of a file; chunks are not put together here, and "
            "nothing was stored. Switch chunking off and send the file in one form, or send it in parts straight to S3 "
            "with a multipart plan of POST /uploads.",
            field=field,
        )


def _text(name: str, value: bytearray) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise MalformedForm(
            f"The field {name[:40]!r} is not UTF-8 text. Send it in UTF-8; a file goes into the field file."
        ) from None


def _no_file(fields: list[str]) -> ValidationFailed:
    found = ", ".join(repr(name[:40]) for name in dict.fromkeys(fields[:_NAMES_SHOWN]))
    return ValidationFailed(
        f"No part of the form has a file name, so there is no file; found: {found}. Send it in the field `file`: in "
        "curl write -F file=@cat.jpg, in JavaScript append a File or Blob.",
        errors=[{"field": FILE_FIELD, "message": "not a file"}],
    )
