"""Read a form part's Content-Disposition: the names of field and file, in all encodings that clients use.

Browsers and curl write UTF-8 between quotes (RFC 7578 section 5.1); others `filename*` (RFC 8187: .NET, Spring),
encoded words (RFC 2047: .NET, Java) or percent-encoding (RFC 7578 section 2: aiohttp). The form's parser bounds the
header's length, and each step here takes time in proportion to it.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

_PARAMETER = re.compile(r'[ \t]*;[ \t]*([^\s=;"]+)=(?:"((?:[^"\\]|\\.)*)"|([^;"]*))', re.DOTALL)
_WORD = re.compile(r"=\?([A-Za-z0-9-]{1,20})\?([BbQq])\?([!-~]*)\?=", re.ASCII)
# A name that is percent-encoded as a whole. Browsers encode only three characters.
_PERCENT_ENCODED = re.compile(r"(?:[A-Za-z0-9_.~-]|%[0-9A-Fa-f]{2})+", re.ASCII)
# https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
_BROWSERS_ESCAPES = {"%22": '"', "%0D": "\r", "%0A": "\n"}
# No others: some of Python's codecs are slow, and some do not decode to text.
_CHARSETS = frozenset({"utf-8", "us-ascii", "iso-8859-1"})


class Disposition(NamedTuple):
    """`filename` is the bare name; "" for a file input without a file, None for a plain field."""

    name: str
    filename: str | None


def read(header: str) -> Disposition | None:
    """Parse a part's Content-Disposition; return None if it is not `form-data`."""
    found = _parameters(header) if header.partition(";")[0].strip().lower() == "form-data" else None
    if found is None:
        return None
    name = _extended(found.get("name*")) or found.get("name")
    return None if name is None else Disposition(name, _filename(found))


def filename_of(header: str) -> str | None:
    """Return the bare file name of a Content-Disposition of any type (RFC 6266); None without one."""
    return _filename(_parameters(header) or {})


def _parameters(header: str) -> dict[str, str] | None:
    """Return the parameters by their names in lower case; None if the header cannot be read."""
    found: dict[str, str] = {}
    position, end = len(header.partition(";")[0]), len(header.rstrip(" \t;"))
    while position < end:
        match = _PARAMETER.match(header, position)
        if match is None:
            return None
        key, quoted, bare = match.groups()
        value = bare.strip() if quoted is None else re.sub(r'\\([\\"])', r"\1", quoted)
        found.setdefault(key.lower(), value)
        position = match.end()
    return found


def _filename(found: Mapping[str, str]) -> str | None:
    filename = _extended(found.get("filename*"))
    if filename is None and (plain := found.get("filename")) is not None:
        filename = _words(plain) or _percent_decoded(plain)
    return None if filename is None else base_name(filename)


def base_name(filename: str) -> str:
    """Return the part after the last slash or backslash: PHP clients and old browsers send the whole path."""
    return filename.replace("\\", "/").rpartition("/")[2]


def _extended(value: str | None) -> str | None:
    """Decode `UTF-8'en'%EA%B3%A0.jpg` (RFC 8187 section 3.2); return None for anything else."""
    charset, *rest = (value or "").split("'", 2)
    if len(rest) != 2:  # language and value
        return None
    return _text(unquote_to_bytes(rest[1]), charset)


def _words(value: str) -> str | None:
    """Decode `=?utf-8?B?6rOg?= =?utf-8?Q?.jpg?=` (RFC 2047 section 2); return None for anything else."""
    words = [_WORD.fullmatch(word) for word in value.split()]
    data, charsets = b"", set()
    for word in words:
        if word is None:
            return None
        charset, encoding, text = word.groups()
        charsets.add(charset.lower())
        try:
            # A character may be split between two words, so the bytes are joined first.
            data += base64.b64decode(text) if encoding in "Bb" else binascii.a2b_qp(text, header=True)
        except binascii.Error:
            return None
    return _text(data, charsets.pop()) if len(charsets) == 1 else None


def _percent_decoded(value: str) -> str:
    """Decode the percent-encoding of aiohttp, or that of browsers."""
    if _PERCENT_ENCODED.fullmatch(value) and (text := _text(unquote_to_bytes(value), "utf-8")) is not None:
        return text
    for escape, character in _BROWSERS_ESCAPES.items():
        value = value.replace(escape, character)
    return value


def _text(data: bytes, charset: str) -> str | None:
    try:
        return data.decode(charset) if charset.lower() in _CHARSETS else None
    except UnicodeDecodeError:
        return None
