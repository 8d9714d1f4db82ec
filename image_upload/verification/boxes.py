"""Read the header of an AVIF or HEIC picture: an ISO base media file with a `meta` box.

ISO/IEC 23008-12 (HEIF), ISO/IEC 14496-12 sections 8.7.3 and 8.11, https://aomediacodec.github.io/av1-avif/. The
primary item's properties have size and rotation; items of type Exif, and of MIME type application/rdf+xml, have the
metadata.
"""

from collections.abc import Iterator
from typing import Final

from image_upload.verification.pictures import Picture
from image_upload.verification.window import Span, Unreadable, Window

_BOXES_MAX: Final = 500
_META_MAX_BYTES: Final = 1024 * 1024
_ITEMS_MAX: Final = 2_000
_EXTENTS_MAX: Final = 10_000
# Rotation to the left in quarters, then mirroring (0: top and bottom, 1: left and right; None) → orientation of Exif.
_ORIENTATIONS: Final = {
    (0, None): 1, (0, 0): 4, (0, 1): 2,
    (1, None): 8, (1, 0): 5, (1, 1): 7,
    (2, None): 3, (2, 0): 2, (2, 1): 4,
    (3, None): 6, (3, 0): 7, (3, 1): 5,
}  # fmt: skip


def heif(window: Window) -> Picture:
    """Read the `meta` box, and `moov` where the file is a sequence. Raises `Missing`, `Unreadable`."""
    meta, frames = None, 1
    for kind, content in _top_level(window):
        if kind == b"meta":
            meta = meta or _bounded(content)
        elif kind == b"moov":
            frames = max(frames, _samples(window.at(*_bounded(content))))
    if meta is None:
        raise Unreadable
    return _Meta(window, meta).picture(frames)


def _bounded(content: Span) -> Span:
    if content.length > _META_MAX_BYTES:
        raise Unreadable
    return content


def _top_level(window: Window) -> Iterator[tuple[bytes, Span]]:
    """Yield the boxes of the file. Section 4.2: size 1 has the length behind the type, size 0 goes to the end."""
    at = 0
    for _ in range(_BOXES_MAX):
        if at + 8 > window.size:
            return
        length, kind, skip = window.number(at, 4), window.at(at + 4, 4), 8
        if length == 1:
            length, skip = window.number(at + 8, 8), 16
        end = window.size if length == 0 else at + length
        if not kind.isalnum():  # what follows the file's boxes is no part of it
            return
        if length and (length < skip or end > window.size):
            raise Unreadable
        yield kind, Span(at + skip, end - at - skip)
        at = end


def _boxes(data: bytes, first: int = 0, end: int | None = None) -> Iterator[tuple[bytes, Span]]:
    """Yield the boxes within bytes that are held."""
    inner = Window(len(data) if end is None else min(end, len(data)), data)
    at = first
    for _ in range(_BOXES_MAX):
        if at + 8 > inner.size:
            return
        length = inner.number(at, 4)
        if length < 8 or at + length > inner.size:
            raise Unreadable
        yield inner.at(at + 4, 4), Span(at + 8, length - 8)
        at += length


def _samples(moov: bytes) -> int:
    """Return the most samples of any track: moov/trak/mdia/minf/stbl/stsz."""
    most, ahead = 0, [Span(0, len(moov))]
    for _ in range(_BOXES_MAX):
        if not ahead:
            break
        inside = ahead.pop()
        for kind, content in _boxes(moov, inside.first, inside.end):
            if kind in (b"trak", b"mdia", b"minf", b"stbl"):
                ahead.append(content)
            elif kind == b"stsz":
                most = max(most, int.from_bytes(moov[content.first + 8 : content.first + 12]))
    return most


class _Meta:
    """The contents of a `meta` box; it is a full box, so four bytes of version and flags come first."""

    def __init__(self, window: Window, content: Span) -> None:
        self._window = window
        self._first = content.first
        self._data = window.at(*content)
        self._inner = Window(len(self._data), self._data)
        self._boxes = dict(reversed(list(_boxes(self._data, 4))))

    def _number(self, first: int, length: int) -> int:
        return self._inner.number(first, length)

    def picture(self, frames: int) -> Picture:
        primary = self._boxes.get(b"pitm")
        if primary is None:
            raise Unreadable
        wide = self._number(primary.first, 1) > 0
        size, turned, mirrored = self._properties(self._number(primary.first + 4, 4 if wide else 2))
        if size is None:
            raise Unreadable
        items, places = dict(self._metadata_items()), self._places()
        exif = [places[each] for each, is_exif in items.items() if is_exif and each in places]
        xmp = [places[each] for each, is_exif in items.items() if not is_exif and each in places]
        return Picture(
            size[0],
            size[1],
            frames,
            _ORIENTATIONS.get((turned, mirrored), 1),
            tuple(filter(None, map(self._tiff, exif))),
            tuple(xmp),
        )

    def _properties(self, item: int) -> tuple[tuple[int, int] | None, int, int | None]:
        """Return size, rotation and mirroring of an item."""
        iprp = self._boxes.get(b"iprp")
        inside = dict(_boxes(self._data, iprp.first, iprp.end)) if iprp else {}
        if b"ipco" not in inside or b"ipma" not in inside:
            raise Unreadable
        ipco = inside[b"ipco"]
        known = list(_boxes(self._data, ipco.first, ipco.end))
        size: tuple[int, int] | None = None
        turned, mirrored = 0, None
        for index in self._associated(inside[b"ipma"], item):
            kind, content = known[index - 1] if 0 < index <= len(known) else (b"", Span(0, 0))
            if kind == b"ispe":
                size = self._number(content.first + 4, 4), self._number(content.first + 8, 4)
            elif kind == b"irot":
                turned = self._number(content.first, 1) & 3
            elif kind == b"imir":
                mirrored = self._number(content.first, 1) & 1
        return size, turned, mirrored

    def _associated(self, ipma: Span, item: int) -> list[int]:
        """Return the indices of an item's properties, from 1."""
        version, flags = self._number(ipma.first, 1), self._number(ipma.first + 3, 1)
        at, count = ipma.first + 8, self._number(ipma.first + 4, 4)
        for _ in range(min(count, _ITEMS_MAX)):
            width = 4 if version else 2
            found = self._number(at, width)
            associations, at = self._number(at + width, 1), at + width + 1
            each = 2 if flags & 1 else 1
            if found == item:
                mask = 0x7FFF if flags & 1 else 0x7F
                return [self._number(at + n * each, each) & mask for n in range(associations)]
            at += associations * each
        return []

    def _metadata_items(self) -> Iterator[tuple[int, bool]]:
        """Yield the ids of the items with metadata, and whether it is Exif, not XMP."""
        iinf = self._boxes.get(b"iinf")
        if iinf is None:
            return
        first = iinf.first + (6 if self._number(iinf.first, 1) == 0 else 8)
        for kind, content in _boxes(self._data, first, iinf.end):
            version = self._number(content.first, 1)
            if kind != b"infe" or version < 2:
                continue
            at = content.first + 4
            width = 4 if version > 2 else 2
            item_type = self._inner.at(at + width + 2, 4)
            if item_type == b"Exif":
                yield self._number(at, width), True
            elif item_type == b"mime" and b"rdf+xml" in self._data[content.first : content.end]:
                yield self._number(at, width), False

    def _places(self) -> dict[int, Span]:
        """Return where the items are in the file, those that are in one piece: section 8.11.3.

        Raises `Unreadable` where the file ends before one of them, which it may between two boxes.
        """
        iloc, idat = self._boxes.get(b"iloc"), self._boxes.get(b"idat")
        if iloc is None:
            return {}
        version, sizes = self._number(iloc.first, 1), self._number(iloc.first + 4, 2)
        offset_bytes, length_bytes, base_bytes, index_bytes = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
        width = 4 if version == 2 else 2
        at = iloc.first + 6
        count, at = self._number(at, width), at + width
        places = {}
        left = _EXTENTS_MAX
        for _ in range(min(count, _ITEMS_MAX)):
            item, at = self._number(at, width), at + width
            method = 0
            if version:
                method, at = self._number(at, 2) & 15, at + 2
            base, at = self._number(at + 2, base_bytes), at + 2 + base_bytes
            extents, at = self._number(at, 2), at + 2
            left -= extents
            if left < 0:
                raise Unreadable
            for _ in range(extents):
                at += index_bytes if version else 0
                offset, length = self._number(at, offset_bytes), self._number(at + offset_bytes, length_bytes)
                at += offset_bytes + length_bytes
                if method == 0 and base + offset + length > self._window.size:
                    raise Unreadable
                if method == 0 and extents == 1:
                    places[item] = Span(base + offset, length)
                elif method == 1 and extents == 1 and idat is not None:
                    places[item] = Span(self._first + idat.first + base + offset, length)
        return {item: each for item, each in places.items() if each.end <= self._window.size}

    def _tiff(self, item: Span) -> Span | None:
        """Return the TIFF data of an Exif item: four bytes before it say how far away it begins (HEIF annex A.2.1)."""
        if item.length < 4:
            return None
        skip = 4 + self._window.number(item.first, 4)
        return Span(item.first + skip, item.length - skip) if skip < item.length else None
