"""A file of each kind, made here."""

import io
import zipfile
from typing import Final

from tests.verification.files import FORMATS, noise, picture

OOXML: Final = "application/vnd.openxmlformats-officedocument"
WORD: Final = f"{OOXML}.wordprocessingml.document"


def zipped(*names: str, first: tuple[str, str] | None = None) -> bytes:
    """A ZIP with these entries; `first` is an entry that is not packed, and its text."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        if first is not None:
            archive.writestr(zipfile.ZipInfo(first[0]), first[1])
        for name in names:
            archive.writestr(name, "<x/>" * 50)
    return out.getvalue()


def ole(*streams: str) -> bytes:
    """The first sectors of an OLE container: its header, a table, and a directory with these streams."""
    head = bytearray(512)
    head[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    head[24:32] = bytes([0x3E, 0, 3, 0, 0xFE, 0xFF, 9, 0])
    head[48:52] = (1).to_bytes(4, "little")
    directory = bytearray()
    for name in ("Root Entry", *streams):
        text = name.encode("utf-16-le")
        directory += (text.ljust(64, b"\0") + (len(text) + 2).to_bytes(2, "little")).ljust(128, b"\0")
    return bytes(head) + bytes(512) + bytes(directory).ljust(512, b"\0")


def _pdf() -> bytes:
    return b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def _mp4(brand: bytes = b"isom") -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\2\0" + brand + b"mp41" + b"\0\0\0\x08free" + bytes(64)


# What a file is → a file.
FILES: Final[dict[str, bytes]] = {
    **{media_type: picture(form, noise(64, 48)) for form, media_type in FORMATS.items()},
    "application/pdf": _pdf(),
    "application/rtf": b"{\\rtf1\\ansi Hello\\par}",
    "application/msword": ole("WordDocument", "1Table"),
    "application/vnd.ms-excel": ole("Workbook"),
    "application/vnd.ms-powerpoint": ole("PowerPoint Document"),
    "application/x-hwp": ole("FileHeader", "DocInfo", "\x05HwpSummaryInformation"),
    WORD: zipped("[Content_Types].xml", "_rels/.rels", "word/document.xml"),
    f"{OOXML}.spreadsheetml.sheet": zipped("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"),
    f"{OOXML}.presentationml.presentation": zipped("[Content_Types].xml", "_rels/.rels", "ppt/presentation.xml"),
    "application/vnd.oasis.opendocument.text": zipped(
        "content.xml", first=("mimetype", "application/vnd.oasis.opendocument.text")
    ),
    "application/vnd.hancom.hwpx": zipped("version.xml", first=("mimetype", "application/hwp+zip")),
    "application/zip": zipped("a.txt", "b.txt"),
    "application/gzip": b"\x1f\x8b\x08" + bytes(30),
    "audio/mpeg": b"ID3\x04\0\0\0\0\0\0" + bytes(100),
    "audio/wav": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0" + bytes(40),
    "audio/ogg": b"OggS\0\2" + bytes(60),
    "video/mp4": _mp4(),
    "video/webm": b"\x1aE\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x84webm" + bytes(60),
    "text/html": b"<!DOCTYPE html><script>alert(1)</script>",
    "image/svg+xml": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "text/plain": "Guten Tag, 안녕하세요.\n".encode(),
    "application/x-executable": b"\x7fELF\2\1\1" + bytes(60),
}
