"""Inspect a file that arrived: what it is, whether it is allowed, and what to publish of it.

Two depths. At header depth the first 64 KiB are read, and more where a format has its facts further behind. Type,
size, orientation, frames and location are known from there, without a decoder. At full depth the whole file is read:
to count the frames of a GIF, to blank a location, and to make other pictures of it, for which a child process decodes
it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol

from image_upload.domain import checks
from image_upload.errors import UnsupportedFileType
from image_upload.languages.wording import Sentence
from image_upload.verification import agreement, boxes, kinds, location, pictures, sentences
from image_upload.verification.pictures import Picture
from image_upload.verification.reading import ByteSource, Reading
from image_upload.verification.window import Unreadable, Window

__all__ = ["ByteSource", "Facts", "Inspection", "InspectionFault", "StripLocation", "Wanted", "inspect"]

InspectionFault = Literal["type", "disguised", "undecodable", "too-many-pixels", "too-many-frames"]
StripLocation = Literal["off", "lossless", "all"]
Reader = Callable[[Window], Picture]

READERS: Final[Mapping[str, Reader]] = {
    "image/jpeg": pictures.jpeg,
    "image/png": pictures.png,
    "image/gif": pictures.gif,
    "image/webp": pictures.webp,
    "image/avif": boxes.heif,
    "image/heic": boxes.heif,
    "image/heif": boxes.heif,
}
_CHARSET: Final = re.compile(r';\s*charset="?([A-Za-z0-9._:-]{1,40})"?', re.IGNORECASE)


class Variant(Protocol):
    """A smaller picture to make: at most `width` pixels wide, as `webp` or `avif`."""

    @property
    def name(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def format(self) -> str: ...


@dataclass(frozen=True)
class Wanted:
    """What a purpose and the settings ask of a file.

    `types` are media types and patterns (`audio/*`, `*/*`). `declared` is the Content-Type that the client named, in
    any case, with or without a charset.
    """

    types: frozenset[str]
    declared: str
    max_pixels: int
    max_frames: int
    strip_location: StripLocation = "off"
    variants: tuple[Variant, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What a file is. `media_type` is its true type, also where another one was declared.

    Width and height are in pixels as stored, before the orientation (1 to 8, as in Exif) is applied. What is None is
    unknown, or has no meaning for the type. `has_location` is about the file as it arrived; `location_is_left` says
    that what is published still has one. `placeholder` is a ThumbHash in base64. `is_whole`: the whole file was read.
    """

    media_type: str
    width: int | None = None
    height: int | None = None
    orientation: int | None = None
    frames: int | None = None
    has_location: bool | None = None
    location_is_left: bool = False
    placeholder: str | None = None
    is_whole: bool = False


@dataclass(frozen=True)
class Inspection:
    """The verdict. With a `fault` the file must not be published, and `why` is a sentence for its user.

    `replacement` are the bytes to publish in place of the file's own, as `replacement_type`. `variants` are by name:
    bytes and media type.
    """

    facts: Facts | None
    fault: InspectionFault | None = None
    why: Sentence | None = None
    replacement: bytes | None = None
    replacement_type: str | None = None
    variants: Mapping[str, tuple[bytes, str]] = field(default_factory=dict)


class _Refused(Exception):
    """The file has a fault. `facts` are those that are known."""

    def __init__(self, fault: InspectionFault, why: Sentence, facts: Facts | None = None) -> None:
        super().__init__(fault)
        self.inspection = Inspection(facts, fault, why)


async def inspect(source: ByteSource, wanted: Wanted) -> Inspection:
    """Return the verdict about a file. Raises only what the source raises: any bytes have a verdict."""
    try:
        if not source.size:
            raise _Refused("undecodable", sentences.EMPTY)
        reading = await Reading.begin(source)
        facts = Facts(await _media_type(reading, wanted), is_whole=source.size <= len(reading.window.head()))
        reader = READERS.get(facts.media_type)
        return Inspection(facts) if reader is None else await _of_picture(reading, wanted, facts, reader)
    except _Refused as refused:
        return refused.inspection
    except Unreadable:
        return Inspection(None, "undecodable", sentences.UNREADABLE)


async def _media_type(reading: Reading, wanted: Wanted) -> str:
    """Return the true type. Raises `_Refused` where it is disguised, not taken, or text that cannot be read."""
    declared, charset = _declared(wanted.declared)
    head, is_whole = reading.window.head(), reading.is_whole
    if agreement.is_textual(declared) and kinds.is_text(head, charset, is_whole=is_whole):
        true: str | None = kinds.TEXT  # some signatures are two letters, with which a text may begin
    else:
        true = await reading.run(kinds.of)
    agreed = agreement.of(true, declared, wanted.types)
    found = Facts(agreed.media_type)
    if agreed.fault == "disguised":
        raise _Refused("disguised", sentences.disguised(true, declared), found)
    if agreed.fault is not None:
        raise _Refused("type", sentences.not_taken(agreed.media_type, wanted.types), found)
    if agreement.is_textual(agreed.media_type) and true != kinds.TEXT:
        raise _Refused("undecodable", sentences.no_text(charset, agreed.media_type), found)
    return agreed.media_type


def _declared(content_type: str) -> tuple[str, str]:
    """Return a Content-Type's plain media type, and its charset, by default UTF-8."""
    try:
        plain = checks.media_type(content_type)
    except UnsupportedFileType:
        return agreement.UNTYPED, "utf-8"
    match = _CHARSET.search(content_type)
    return plain, match[1] if match else "utf-8"


async def _of_picture(reading: Reading, wanted: Wanted, facts: Facts, reader: Reader) -> Inspection:
    """Inspect a picture whose header can be read."""
    try:
        picture = await reading.run(reader)
        blanks = await reading.run(lambda window: location.find(window, picture))
        orientation = picture.orientation or await reading.run(lambda window: location.orientation(window, picture))
    except Unreadable:
        raise _Refused("undecodable", sentences.UNREADABLE, facts) from None
    facts = replace(
        facts,
        width=picture.width,
        height=picture.height,
        orientation=orientation,
        frames=picture.frames,
        has_location=bool(blanks),
    )
    _check_limits(facts, wanted)
    return Inspection(facts)


def _check_limits(facts: Facts, wanted: Wanted) -> None:
    """Raise `_Refused` for a picture without pixels, with too many, or with too many frames."""
    width, height = facts.width or 0, facts.height or 0
    if not width * height:
        raise _Refused("undecodable", sentences.UNREADABLE, facts)
    if width * height > wanted.max_pixels:
        raise _Refused("too-many-pixels", sentences.too_many_pixels(width, height, wanted.max_pixels), facts)
    if facts.frames is not None and facts.frames > wanted.max_frames:
        raise _Refused("too-many-frames", sentences.too_many_frames(wanted.max_frames), facts)
