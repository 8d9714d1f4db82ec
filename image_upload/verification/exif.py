"""Read Exif: the orientation, and where the location stands.

A TIFF structure (TIFF 6.0 section 2): IFD0 with the orientation (tag 0x0112), and the pointer to the GPS directory
(0x8825, Exif 2.32 section 4.6.3). Offsets in it are hostile: each directory is visited once, and each length is
checked.
"""

from typing import Final, Literal, NamedTuple

from image_upload.verification.window import Span

_ORIENTATION: Final = 0x0112
_EXIF_IFD: Final = 0x8769
_GPS_IFD: Final = 0x8825
_GPS_VERSION: Final = 0
_ENTRY_BYTES: Final = 12
_ENTRIES_MAX: Final = 1_000
_DIRECTORIES_MAX: Final = 8
# Bytes of one value, by type: TIFF 6.0 page 15, with IFD (13) of Adobe's note 1.
_TYPE_BYTES: Final = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)
_Order = Literal["little", "big"]
_HEADERS: Final[dict[bytes, _Order]] = {b"II*\0": "little", b"MM\0*": "big"}


class Exif(NamedTuple):
    """`orientation` is 1 to 8. `location` are the spans that hold a location, within the Exif data."""

    orientation: int = 1
    location: tuple[Span, ...] = ()


class _Entry(NamedTuple):
    tag: int
    value: int  # the first number in it, or the offset where it is
    value_span: Span


def read(data: bytes) -> Exif:
    """Return what Exif data, from its byte order on, says. What is broken in it is left out; raises nothing."""
    order = _HEADERS.get(data[:4])
    if order is None:
        return Exif()
    orientation = 1
    location: list[Span] = []
    ahead = [(int.from_bytes(data[4:8], order), False)]
    seen: set[int] = set()
    while ahead and len(seen) < _DIRECTORIES_MAX:
        first, is_gps = ahead.pop()
        if first in seen:
            continue
        seen.add(first)
        entries, following, span = _directory(data, first, order)
        if is_gps:
            # A camera without a receiver writes the directory's version alone.
            if any(each.tag != _GPS_VERSION for each in entries):
                location += _filled(data, [*(each.value_span for each in entries), span])
            continue
        for entry in entries:
            if entry.tag == _ORIENTATION and len(seen) == 1 and 1 <= entry.value <= 8:
                orientation = entry.value
            elif entry.tag in (_GPS_IFD, _EXIF_IFD):
                ahead.append((entry.value, entry.tag == _GPS_IFD))
        if following:
            ahead.append((following, False))
    return Exif(orientation, tuple(location))


def _directory(data: bytes, first: int, order: _Order) -> tuple[list[_Entry], int, Span]:
    """Return a directory's entries, the offset of the next directory, and its own span; nothing beyond the data."""

    def number(at: int, length: int) -> int:
        return int.from_bytes(data[at : at + length], order)

    count = number(first, 2)
    end = first + 2 + count * _ENTRY_BYTES
    if first < 8 or count > _ENTRIES_MAX or end > len(data):
        return [], 0, Span(first, 0)
    entries = []
    for at in range(first + 2, end, _ENTRY_BYTES):
        kind, values = number(at + 2, 2), number(at + 4, 4)
        length = values * (_TYPE_BYTES[kind] if kind < len(_TYPE_BYTES) else 1)
        offset = number(at + 8, 4)
        value = number(at + 8, 2) if kind == 3 and values == 1 else offset
        inside = length > 4 and offset >= 8 and offset + length <= len(data)
        entries.append(_Entry(number(at, 2), value, Span(offset, length) if inside else Span(at + 8, 0)))
    return entries, number(end, 4), Span(first, end - first)


def _filled(data: bytes, spans: list[Span]) -> list[Span]:
    """Return the spans that are not blank."""
    return [each for each in spans if any(data[each.first : each.end])]
