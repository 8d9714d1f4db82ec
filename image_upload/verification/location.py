"""Find the location in a picture's metadata, and blank it in place: pixels, orientation and length stay as they are.

The values and entries of Exif's GPS directory become zeros. In XMP packets (ISO 16684-1) the GPS properties, and the
places of IPTC, become spaces. `all` also cuts off what stands behind a JPEG's end: a phone's motion photo carries a
film there, and with it the film's own location.
"""

import re
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from image_upload.verification import exif
from image_upload.verification.pictures import Picture, jpeg_end
from image_upload.verification.window import Span, Window

_XMP_MAX_BYTES: Final = 1024 * 1024
_PROPERTY_MAX_BYTES: Final = 8 * 1024
_PROPERTY: Final = re.compile(rb"<?((?:[A-Za-z0-9]+):(?:GPS[A-Za-z]+|LocationCreated|LocationShown))(?=[\s=>/])")
_ATTRIBUTE: Final = re.compile(rb"\s*=\s*(?:\"[^\"]{0,4096}\"|'[^']{0,4096}')")
_EXIF_ID: Final = b"Exif\0\0"
# Atoms of QuickTime and 3GPP (TS 26.244 section 8.9) with a location, and the key of Apple's films.
_FILM_LOCATIONS: Final = (b"\xa9xyz", b"loci", b"com.apple.quicktime.location")


class Blank(NamedTuple):
    """A range to overwrite, and the byte to overwrite it with."""

    span: Span
    fill: int


class Cleaned(NamedTuple):
    """The file without its location. `is_left`: a film behind the picture still holds one."""

    data: bytes
    is_left: bool


def find(window: Window, picture: Picture) -> list[Blank]:
    """Return what to blank. Raises `Missing`, `Unreadable`."""
    found = []
    for span in picture.exif:
        found += _in_exif(window.at(*span), span.first)
    for span in picture.xmp:
        if span.length <= _XMP_MAX_BYTES:
            found += [Blank(Span(span.first + each.first, each.length), 0x20) for each in _in_xmp(window.at(*span))]
    return found


def orientation(window: Window, picture: Picture) -> int:
    """Return the orientation of the first Exif data, 1 to 8. Raises `Missing`, `Unreadable`."""
    return exif.read(window.at(*picture.exif[0])).orientation if picture.exif else 1


def clean(data: bytes, media_type: str, found: list[Blank], *, whole: bool) -> Cleaned:
    """Return the file without the location that `find` has found; with `whole` also without what follows a JPEG."""
    cleaned = bytearray(data)
    is_left = False
    if media_type == "image/jpeg":
        end = jpeg_end(data)
        if whole and end is not None:
            del cleaned[end:]
        elif end is not None:
            is_left = any(each in data[end:] for each in _FILM_LOCATIONS)
        # Further pictures of the file, such as a previewed one, have Exif of their own.
        found = [*found, *_in_further_pictures(bytes(cleaned))]
    for span, fill in found:
        cleaned[span.first : span.end] = bytes([fill]) * span.length
    if media_type == "image/png":
        _renew_crcs(cleaned, found)
    return Cleaned(bytes(cleaned), is_left)


def _in_exif(data: bytes, first: int) -> list[Blank]:
    return [Blank(Span(first + each.first, each.length), 0) for each in exif.read(data).location]


def _in_further_pictures(data: bytes) -> Iterator[Blank]:
    """Yield what to blank in all Exif segments, wherever they are. Pixels hold no identifier by chance."""
    for match in re.finditer(re.escape(_EXIF_ID), data):
        yield from _in_exif(data[match.end() : match.end() + 0xFFFF], match.end())


def _in_xmp(packet: bytes) -> Iterator[Span]:
    """Yield attributes and elements with a location."""
    at = 0
    while match := _PROPERTY.search(packet, at):
        at = match.end()
        if match[0].startswith(b"<"):
            closing = b"</" + match[1] + b">"
            end = packet.find(closing, at, at + _PROPERTY_MAX_BYTES)
            if end >= 0:
                at = end + len(closing)
                yield Span(match.start(), at - match.start())
        elif value := _ATTRIBUTE.match(packet, at):
            at = value.end()
            yield Span(match.start(), at - match.start())


def _renew_crcs(data: bytearray, found: list[Blank]) -> None:
    """Write the CRCs of the chunks that were changed; their content begins behind a length and a type."""
    at = 8
    changed = {each.span.first for each in found}
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        end = at + 8 + length
        if any(at < each < end for each in changed) and end + 4 <= len(data):
            data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4)
        at = end + 4
