"""Tell what a file is by its bytes, never by what it is called.

`filetype` knows most signatures by the first 8 KiB. What it cannot tell is looked up here: pages and SVG (the table of
https://mimesniff.spec.whatwg.org/#identifying-a-resource-with-an-unknown-mime-type), office files by the entries of
their ZIP or the streams of their OLE container, HEIC and AVIF by their brands, and text.
"""

import codecs
import re
from typing import Final

import filetype

from image_upload.verification.window import Unreadable, Window

TEXT: Final = "text/plain"
ZIP: Final = "application/zip"
OLE: Final = "application/x-ole-storage"

_TAIL_BYTES: Final = 64 * 1024 - 1
_MARKUP: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?[\t\n\x0c\r ]*<(?:(?P<xml>\?xml)|(?P<svg>svg)|!doctype svg|"
    rb"(?P<html>!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!--)"
    rb"(?=[\t\n\x0c\r >/-]))",
    re.IGNORECASE,
)
_SVG: Final = re.compile(rb"<(?:[a-z0-9]+:)?svg[\t\n\x0c\r >/]", re.IGNORECASE)
_PAGE: Final = re.compile(rb"<(?:html|script|body|iframe)[\t\n\x0c\r >]", re.IGNORECASE)
_OOXML: Final = "application/vnd.openxmlformats-officedocument"
# The folder of the main part → the type (ECMA-376 part 2, annex).
_OOXML_FOLDERS: Final = {
    b"word/": f"{_OOXML}.wordprocessingml.document",
    b"xl/": f"{_OOXML}.spreadsheetml.sheet",
    b"ppt/": f"{_OOXML}.presentationml.presentation",
}
# An entry `mimetype`, the first one and not packed, names the type: OpenDocument 1.3 part 2 section 3.3, OWPML, EPUB.
_NAMED_TYPES: Final = {
    b"application/hwp+zip": "application/vnd.hancom.hwpx",
    b"application/epub+zip": "application/epub+zip",
}
_NAMED_TYPE: Final = re.compile(rb"application/[a-z0-9.+-]{1,100}")
# Streams of an OLE container ([MS-CFB]), in UTF-16.
_OLE_STREAMS: Final = {
    "WordDocument": "application/msword",
    "Workbook": "application/vnd.ms-excel",
    "Book": "application/vnd.ms-excel",
    "PowerPoint Document": "application/vnd.ms-powerpoint",
    "\x05HwpSummaryInformation": "application/x-hwp",
}
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"})
# What `filetype` calls otherwise than the registered types and our own tables.
_REGISTERED: Final = {
    "image/apng": "image/png",
    "audio/x-wav": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-aiff": "audio/aiff",
    "video/x-m4v": "video/mp4",
    "application/font-woff": "font/woff",
    "application/font-sfnt": "font/sfnt",
}
_TEXTUAL: Final = ("application/pdf", "application/rtf", "application/postscript")
_OFFICE: Final = ("application/msword", "application/vnd.ms", "application/vnd.o")


def of(window: Window) -> str | None:
    """Return the media type of a file, None if its bytes say nothing. Raises `Missing`, `Unreadable`."""
    head = window.head()
    if head.startswith(b"PK\x03\x04"):
        return _of_zip(window)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _of_ole(window)
    if head[4:8] == b"ftyp":
        brands = {head[at : at + 4] for at in (8, *range(16, min(int.from_bytes(head[:4]), 256), 4))}
        if brands & _AVIF_BRANDS:
            return "image/avif"
        if brands & _HEIC_BRANDS:
            return "image/heic"
    if markup := _markup(head):
        return markup
    found = filetype.guess_mime(head)
    # Some signatures are two letters, with which a text may begin. No picture, sound or archive is text throughout.
    if (found is None or not found.startswith(_TEXTUAL)) and is_text(head, "utf-8", is_whole=len(head) == window.size):
        return TEXT
    if found is None or found.startswith(_OFFICE):  # its guesses within OLE and ZIP; both were looked at above
        return None
    return _REGISTERED.get(found, str(found))


def _markup(head: bytes) -> str | None:
    """Return the type of a page or of XML."""
    match = _MARKUP.match(head)
    if match is None:
        return None
    if match["xml"] or not match["html"] or match["html"] == b"!--":
        if _SVG.search(head):
            return "image/svg+xml"
        if match["xml"]:
            return "application/xhtml+xml" if _PAGE.search(head) else "application/xml"
    return "text/html"


def is_text(head: bytes, charset: str, *, is_whole: bool) -> bool:
    """Return whether bytes are text of a charset without NUL. What is cut off at their end may be half a character."""
    try:
        codec = codecs.lookup(charset)
        if not codec._is_text_encoding or codec.incrementaldecoder is None:  # noqa: SLF001  zlib is a codec too
            return False
        text = codec.incrementaldecoder().decode(head, final=is_whole)
    except (LookupError, UnicodeError):
        return False
    return "\0" not in text


# --- containers -----------------------------------------------------------------------------------


def _of_zip(window: Window) -> str:
    """Return the type of a ZIP by its entries: the first one, those in the head, and those that its end lists."""
    head = window.head()
    name_bytes, extra_bytes = (int.from_bytes(head[at : at + 2], "little") for at in (26, 28))
    if head[30 : 30 + name_bytes] == b"mimetype" and head[8:10] == b"\0\0":
        at = 30 + name_bytes + extra_bytes
        length = int.from_bytes(head[18:22], "little")
        named = head[at : at + length].strip() if length <= 120 else b""
        if named in _NAMED_TYPES:
            return _NAMED_TYPES[named]
        if named.startswith(b"application/vnd.oasis.opendocument.") and _NAMED_TYPE.fullmatch(named):
            return named.decode()
        return ZIP
    # An archive may hold a folder called word/ beside anything else; an office file lists the types of its parts.
    if b"[Content_Types].xml" in head or b"_rels/" in head:
        names = set(_names(head, b"PK\x03\x04", 30))
        if found := _ooxml(names):
            return found
        return _ooxml(set(_names(window.tail(_TAIL_BYTES)[1], b"PK\x01\x02", 46))) or ZIP
    return ZIP


def _names(data: bytes, signature: bytes, skip: int) -> list[bytes]:
    """Return the beginnings of the entries' names."""
    return [data[each.start() + skip :][:6] for each in re.finditer(re.escape(signature), data)]


def _ooxml(names: set[bytes]) -> str | None:
    return next((found for folder, found in _OOXML_FOLDERS.items() if any(n.startswith(folder) for n in names)), None)


def _of_ole(window: Window) -> str:
    """Return the type of an OLE container by the streams that its directory begins with: [MS-CFB] 2.2, 2.6."""
    shift = int.from_bytes(window.at(30, 2), "little")
    if shift not in (9, 12):
        raise Unreadable
    first = (int.from_bytes(window.at(48, 4), "little") + 1) << shift
    length = min(1 << shift, window.size - first)
    sector = window.at(first, length)
    names = set()
    for at in range(0, length, 128):
        name_bytes = int.from_bytes(sector[at + 64 : at + 66], "little")
        if 2 <= name_bytes <= 64:
            names.add(sector[at : at + name_bytes - 2].decode("utf-16-le", "replace"))
    return next((found for stream, found in _OLE_STREAMS.items() if stream in names), OLE)
