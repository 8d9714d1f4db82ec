"""Read the header of a picture: width, height, frames, and where Exif and XMP stand. Nothing is decoded.

JPEG (ITU-T T.81 annex B), PNG (https://www.w3.org/TR/png-3/), GIF (89a, section 17), WebP (RFC 9649 section 2). AVIF
and HEIC are in `boxes`. Each reader raises `Missing` for bytes that were not read yet, and `Unreadable`, also for a
file that was cut off; where a format does not say how long it is, a function of its own looks for its end.
"""

import re
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from image_upload.limits import VERIFY_WHOLE_MAX_BYTES
from image_upload.verification.window import Span, Unreadable, Window

_SEGMENTS_MAX: Final = 2_000
_FILL_MAX_BYTES: Final = 64
_GIF_BLOCKS_MAX: Final = 500_000
_TAIL_BYTES: Final = 64 * 1024 - 1
# Markers of a frame: SOF0 to SOF15 without DHT (C4), JPG (C8) and DAC (CC).
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# What ends the pixels of a scan: a marker that is no restart, no stuffed byte and no fill byte.
_SCAN_END: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_EXIF_ID: Final = b"Exif\0\0"
_XMP_IDS: Final = (b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0")
_JPEG_END: Final = b"\xff\xd9"
_PNG_END: Final = b"\0\0\0\0IEND\xaeB\x60\x82"


class Picture(NamedTuple):
    """What a header says: pixels as stored, before the orientation is applied.

    `frames` is None where only a walk through the whole file counts them. `orientation` is that of the container; None
    where Exif has it. `exif` begins with the byte order. `xmp` are packets, or places that may hold one.
    """

    width: int
    height: int
    frames: int | None = 1
    orientation: int | None = None
    exif: tuple[Span, ...] = ()
    xmp: tuple[Span, ...] = ()


# --- JPEG -----------------------------------------------------------------------------------------


def _jpeg_segments(window: Window) -> Iterator[tuple[int, Span]]:
    """Yield marker and content of each segment up to the first scan."""
    at = 2
    for _ in range(_SEGMENTS_MAX):
        fill = window.at(at, min(_FILL_MAX_BYTES, window.size - at))  # section B.1.1.2
        at += max(0, len(fill) - len(fill.lstrip(b"\xff")) - 1)
        first, marker = window.at(at, 2)
        if first != 0xFF or marker in (0x00, 0xD8, 0xD9):
            raise Unreadable
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
            continue
        length = window.number(at + 2, 2)
        if length < 2 or at + 2 + length > window.size:
            raise Unreadable
        yield marker, Span(at + 4, length - 2)
        if marker == 0xDA:
            return
        at += 2 + length
    raise Unreadable


def jpeg(window: Window) -> Picture:
    """Read the segments up to the scan."""
    size, exif, xmp = None, [], []
    for marker, content in _jpeg_segments(window):
        if marker in _FRAMES:
            if size is not None:  # two sizes in one picture: readers would disagree about which one holds
                raise Unreadable
            size = window.number(content.first + 3, 2), window.number(content.first + 1, 2)
        elif marker == 0xE1:
            begin = window.at(content.first, min(content.length, 40))
            if begin.startswith(_EXIF_ID):
                exif.append(Span(content.first + len(_EXIF_ID), content.length - len(_EXIF_ID)))
            elif begin.startswith(_XMP_IDS):
                xmp.append(content)
    if size is None:
        raise Unreadable
    return Picture(*size, exif=tuple(exif), xmp=tuple(xmp))


def jpeg_end(data: bytes) -> int | None:
    """Return the offset behind a whole JPEG's end marker; None if there is none. What follows is no part of it."""
    window = Window(len(data), data)
    try:
        *_, (_, content) = _jpeg_segments(window)
    except Unreadable:
        return None
    at = content.end
    while match := _SCAN_END.search(data, at):
        marker, at = match[0][1], match.end()
        if marker == 0xD9:
            return at
        if marker != 0x01:
            length = int.from_bytes(data[at : at + 2])
            if length < 2:
                return None
            at += length
    return None


def check_jpeg_end(window: Window) -> None:
    """Raise `Unreadable` for a JPEG without an end marker. Behind it a phone may have put a film of any length.

    It is looked for in the last 64 KiB, where pixels hold none by chance, then by a walk. Only a file that is too large
    to be read whole passes without.
    """
    *_, (_, scan) = _jpeg_segments(window)
    _, tail = window.tail(min(_TAIL_BYTES, max(1, window.size - scan.end)))
    if _JPEG_END in tail or window.size > VERIFY_WHOLE_MAX_BYTES:
        return
    if jpeg_end(window.at(0, window.size)) is None:
        raise Unreadable


# --- PNG ------------------------------------------------------------------------------------------


def png(window: Window) -> Picture:
    """Read the chunks in front of the pixels, and those in the file's last 64 KiB behind them."""
    if window.at(12, 4) != b"IHDR" or window.number(8, 4) != 13:
        raise Unreadable
    width, height = window.number(16, 4), window.number(20, 4)
    found = list(_png_chunks(window))
    if not found or found[-1][0] not in (b"IDAT", b"IEND"):
        raise Unreadable
    if found[-1][0] == b"IDAT":
        found += _png_tail(window, found[-1][1].first)
    frames = next((window.number(each.first, 4) for kind, each in found if kind == b"acTL"), 1)
    exif = tuple(each for kind, each in found if kind == b"eXIf")
    xmp = tuple(each for kind, each in found if kind == b"iTXt")
    return Picture(width, height, frames, exif=exif, xmp=xmp)


def _png_chunks(window: Window) -> Iterator[tuple[bytes, Span]]:
    """Yield type and content of each chunk, up to the first one with pixels, or to the end."""
    at = 8
    for _ in range(_SEGMENTS_MAX):
        content = Span(at + 8, window.number(at, 4))
        kind = window.at(at + 4, 4)
        if not kind.isalpha() or content.end + 4 > window.size:
            raise Unreadable
        yield kind, content
        if kind in (b"IDAT", b"IEND"):
            return
        at = content.end + 4
    raise Unreadable


def _png_tail(window: Window, after: int) -> Iterator[tuple[bytes, Span]]:
    """Yield the chunks with metadata in the last bytes: libpng cuts pixels into chunks of 8 KiB, too many to follow.

    What looks like a chunk in the pixels has no fitting CRC.
    """
    first, tail = window.tail(_TAIL_BYTES)
    for match in re.finditer(rb"eXIf|iTXt|IEND", tail):
        length = int.from_bytes(tail[max(0, match.start() - 4) : match.start()])
        content = tail[match.end() : match.end() + length]
        crc = tail[match.end() + length : match.end() + length + 4]
        span = Span(first + match.end(), length)
        if span.first > after and len(content) == length and int.from_bytes(crc) == zlib.crc32(match[0] + content):
            yield match[0], span


def check_png_end(window: Window) -> None:
    """Raise `Unreadable` for a PNG without its last chunk, as `check_jpeg_end` does."""
    if _PNG_END in window.tail(_TAIL_BYTES)[1] or window.size > VERIFY_WHOLE_MAX_BYTES:
        return
    if _PNG_END not in window.at(0, window.size):
        raise Unreadable


# --- GIF ------------------------------------------------------------------------------------------


def gif(window: Window) -> Picture:
    """Read the logical screen. The frames are counted by `gif_frames`."""
    head = window.at(6, 4)
    return Picture(int.from_bytes(head[:2], "little"), int.from_bytes(head[2:], "little"), None)


def gif_frames(data: bytes, most: int) -> int:
    """Return the number of images in a whole GIF; counting ends above `most`. Raises `Unreadable`."""
    try:
        at = 13 + _gif_table(data[10])
        count, blocks = 0, 0
        while count <= most and data[at] != 0x3B:
            if data[at] == 0x2C:
                count += 1
                at += 11 + _gif_table(data[at + 9])
            elif data[at] == 0x21:
                at += 2
            else:
                raise Unreadable
            while data[at]:
                at += 1 + data[at]
                blocks += 1
                if blocks > _GIF_BLOCKS_MAX:  # blocks of usual files have 255 bytes
                    raise Unreadable
            at += 1
    except IndexError:
        raise Unreadable from None
    return count


def _gif_table(flags: int) -> int:
    """Return the bytes of a colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


# --- WebP -----------------------------------------------------------------------------------------


def webp(window: Window) -> Picture:
    """Read the chunks; pixels are passed over."""
    size, frames, is_animated = None, 0, False
    exif, xmp = [], []
    for kind, content in _webp_chunks(window):
        if kind == b"VP8X":
            is_animated = bool(window.number(content.first, 1) & 0x02)
        if kind in {b"VP8X", b"VP8 ", b"VP8L"}:
            size = size or _webp_size(window, kind, content)
        elif kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF":
            # Some writers put the identifier of JPEG in front.
            skip = len(_EXIF_ID) if window.at(content.first, min(6, content.length)) == _EXIF_ID else 0
            exif.append(Span(content.first + skip, content.length - skip))
        elif kind == b"XMP ":
            xmp.append(content)
    if size is None or (is_animated and not frames):
        raise Unreadable
    return Picture(*size, frames if is_animated else 1, exif=tuple(exif), xmp=tuple(xmp))


def _webp_chunks(window: Window) -> Iterator[tuple[bytes, Span]]:
    """Yield type and content of each chunk. Some writers count the last byte of padding and leave it out."""
    at, end = 12, 8 + int.from_bytes(window.at(4, 4), "little")
    if end > window.size + 1:
        raise Unreadable
    for _ in range(_SEGMENTS_MAX):
        if at + 8 > min(end, window.size):
            return
        head = window.at(at, 8)  # together, as each missing piece is a request
        content = Span(at + 8, int.from_bytes(head[4:], "little"))
        if content.end > window.size:
            raise Unreadable
        yield head[:4], content
        at = content.end + (content.length & 1)


def _webp_size(window: Window, kind: bytes, content: Span) -> tuple[int, int]:
    """Return the size of the canvas, or of a picture of its own."""
    begin = window.at(content.first, min(content.length, 10))
    if kind == b"VP8X":
        return 1 + int.from_bytes(begin[4:7], "little"), 1 + int.from_bytes(begin[7:10], "little")
    if kind == b"VP8L":  # RFC 9649 section 3.4
        bits = int.from_bytes(begin[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if begin[3:6] != b"\x9d\x01\x2a":  # RFC 6386 section 9.1
        raise Unreadable
    return int.from_bytes(begin[6:8], "little") & 0x3FFF, int.from_bytes(begin[8:10], "little") & 0x3FFF
