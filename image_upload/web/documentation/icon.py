"""The icon that browsers ask for: an arrow that points up from a tray, 16 by 16 pixels, drawn here."""

import struct
from typing import Final

_PIXELS: Final = (
    "................",
    ".......##.......",
    "......####......",
    ".....######.....",
    "....########....",
    "...##########...",
    ".......##.......",
    ".......##.......",
    ".......##.......",
    ".......##.......",
    ".##....##....##.",
    ".##..........##.",
    ".##..........##.",
    ".##############.",
    ".##############.",
    "................",
)
_SIDE: Final = len(_PIXELS)
# Blue, green, red, unused. The mask hides the other colour.
_BLUE: Final = bytes((0xD9, 0x6C, 0x1D, 0))


def _rows(ink: str) -> bytes:
    """Return one bit for each pixel, 1 for `ink`: rows from the bottom up, each padded to four bytes."""
    return b"".join(
        int("".join("1" if pixel == ink else "0" for pixel in row), 2).to_bytes(_SIDE // 8, "big").ljust(4, b"\0")
        for row in reversed(_PIXELS)
    )


def _icon() -> bytes:
    """Return an ICO file with one bitmap of two colours, and its transparency mask.

    https://learn.microsoft.com/en-us/previous-versions/ms997538(v=msdn.10)
    """
    colours, mask = _rows("#"), _rows(".")
    # BITMAPINFOHEADER: the height counts the mask as well; 1 plane, 1 bit a pixel, a palette of 2.
    header = struct.pack("<IiiHHIIiiII", 40, _SIDE, 2 * _SIDE, 1, 1, 0, len(colours) + len(mask), 0, 0, 2, 0)
    bitmap = header + bytes(4) + _BLUE + colours + mask
    directory = struct.pack("<HHH", 0, 1, 1)
    entry = struct.pack("<BBBBHHII", _SIDE, _SIDE, 2, 0, 1, 1, len(bitmap), len(directory) + 16)
    return directory + entry + bitmap


ICON: Final = _icon()
