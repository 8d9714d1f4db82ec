"""Files that are made in the test, and a source that counts what is read of it."""

import asyncio
import io
from typing import Any

from PIL import ExifTags, Image

from image_upload.verification.inspection import Inspection, Wanted, inspect

PICTURES = frozenset({"image/jpeg", "image/png", "image/webp", "image/avif", "image/gif"})
FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "AVIF": "image/avif", "GIF": "image/gif"}


class Bytes:
    """A `ByteSource` in memory; `reads` are the ranges that were asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.reads: list[tuple[int, int]] = []

    async def read(self, first: int, length: int) -> bytes:
        self.reads.append((first, length))
        return self.data[first : first + length]


def wanted(declared: str, types: frozenset[str] = PICTURES, **given: Any) -> Wanted:
    return Wanted(types, declared, **{"max_pixels": 50_000_000, "max_frames": 100, **given})


def inspected(data: bytes | Bytes, asked: Wanted) -> Inspection:
    """The verdict about a file in memory."""
    return asyncio.run(inspect(data if isinstance(data, Bytes) else Bytes(data), asked))


def noise(width: int = 200, height: int = 120) -> Image.Image:
    return Image.effect_noise((width, height), 60).convert("RGB")


def exif(orientation: int = 1, *, with_location: bool = False) -> Image.Exif:
    found = Image.Exif()
    found[ExifTags.Base.Make] = "Maker"
    found[ExifTags.Base.Orientation] = orientation
    if with_location:
        gps = found.get_ifd(ExifTags.IFD.GPSInfo)
        gps[ExifTags.GPS.GPSVersionID] = b"\x02\x03\0\0"
        gps[ExifTags.GPS.GPSLatitudeRef], gps[ExifTags.GPS.GPSLatitude] = "N", (37.0, 33.0, 58.5)
        gps[ExifTags.GPS.GPSLongitudeRef], gps[ExifTags.GPS.GPSLongitude] = "E", (126.0, 58.0, 40.25)
    return found


def picture(form: str, image: Image.Image | None = None, **how: Any) -> bytes:
    """A picture of a format of Pillow."""
    out = io.BytesIO()
    (image or noise()).save(out, form, **how)
    return out.getvalue()
