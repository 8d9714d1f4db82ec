"""Inspect a file that arrived: what it is, whether it is allowed, and what to publish of it.

Two depths. At header depth the first 64 KiB are read, the last ones of JPEG and PNG, and more where a format has its
facts further behind. Type, size, orientation, frames, location, and whether the file was cut off are known from there,
without a decoder. At full depth the whole file is read: to count the frames of a GIF, to blank a location, and to make
other pictures of it, for which a child process decodes it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Final, Literal

from image_upload.domain import checks
from image_upload.domain.purposes import Variant
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
# What finds that a file was cut off, where its header does not show it. The frames of a GIF are counted up to its end.
_END_CHECKS: Final[Mapping[str, Callable[[Window], None]]] = {
    "image/jpeg": pictures.check_jpeg_end,
    "image/png": pictures.check_png_end,
}
# The formats that a child decodes, by Pillow's names.
_FORMATS: Final = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
}
_HEIC: Final = frozenset({"image/heic", "image/heif"})
_CHARSET: Final = re.compile(r';\s*charset="?([A-Za-z0-9._:-]{1,40})"?', re.IGNORECASE)


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
        # Markdown may begin with a tag, and some signatures are two letters. Served as text, a text stays one.
        true: str | None = kinds.TEXT
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
        location_is_left=bool(blanks),
    )
    _check_limits(facts, wanted)
    cuts = wanted.strip_location == "all" and facts.media_type == "image/jpeg"
    cleans = cuts or bool(blanks and wanted.strip_location != "off")
    replaces = facts.media_type in _HEIC and find_spec("pillow_heif") is not None
    decodes = replaces or bool(facts.media_type in _FORMATS and (wanted.variants or picture.frames is None))
    reads_whole = (cleans or decodes) and reading.can_be_whole
    try:
        data = await reading.whole() if reads_whole else b""
        if check := _END_CHECKS.get(facts.media_type):
            await reading.run(check)
        if not reads_whole:
            return Inspection(facts)
        facts = replace(facts, is_whole=True)
        cleaned = location.clean(data, facts.media_type, blanks, whole=cuts) if cleans else None
        if cleaned is not None:
            facts = replace(facts, location_is_left=cleaned.is_left)
        found = Inspection(facts)
        if cleaned is not None and cleaned.data != data:
            found = replace(found, replacement=cleaned.data, replacement_type=facts.media_type)
        return await _decoded(data, found, wanted, replaces=replaces) if decodes else found
    except Unreadable:
        raise _Refused("undecodable", sentences.UNREADABLE, facts) from None


async def _decoded(data: bytes, found: Inspection, wanted: Wanted, *, replaces: bool) -> Inspection:
    """Add what a child process makes of a picture. Raises `_Refused`, `VerificationUnavailable`."""
    from image_upload.verification import decoder  # most files need no child

    facts = found.facts or Facts("")
    width, height, orientation = facts.width or 0, facts.height or 0, facts.orientation or 1
    variants = tuple((each.name, each.width, each.format) for each in wanted.variants)
    form = "HEIF" if replaces else _FORMATS[facts.media_type]
    job = decoder.Job(form, width, height, orientation, wanted.max_frames, variants, replaces)
    try:
        decoded = await decoder.decode(data, job)
    except decoder.Undecodable:
        raise _Refused("undecodable", sentences.UNREADABLE, facts) from None
    frames = facts.frames if decoded.frames is None else decoded.frames
    facts = replace(facts, placeholder=decoded.placeholder, frames=frames)
    _check_limits(facts, wanted)
    made = dict(decoded.made)
    if replaces:
        # The WebP is as the picture is shown, and has no metadata.
        size = (height, width) if orientation > 4 else (width, height)
        facts = replace(facts, width=size[0], height=size[1], orientation=1, location_is_left=False)
        data, media_type = made.pop("")
        found = replace(found, replacement=data, replacement_type=media_type)
    return replace(found, facts=facts, variants=made)


def _check_limits(facts: Facts, wanted: Wanted) -> None:
    """Raise `_Refused` for a picture without pixels, with too many, or with too many frames."""
    width, height = facts.width or 0, facts.height or 0
    if not width * height:
        raise _Refused("undecodable", sentences.UNREADABLE, facts)
    if width * height > wanted.max_pixels:
        raise _Refused("too-many-pixels", sentences.too_many_pixels(width, height, wanted.max_pixels), facts)
    if facts.frames is not None and facts.frames > wanted.max_frames:
        raise _Refused("too-many-frames", sentences.too_many_frames(wanted.max_frames), facts)
