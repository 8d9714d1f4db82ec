"""Is this upload allowed? Type, extension, size, digest and metadata, before anything is signed."""

import base64
import binascii
import re
from collections.abc import Mapping

from image_upload import keys
from image_upload.errors import FileTooLarge, InvalidMetadata, InvalidRequest, UnsupportedFileType
from image_upload.purposes import Purpose

# RFC 9110 section 5.6.2 tokens and section 8.3.1 media types. One space at most after a semicolon:
# a signature covers the header's exact bytes, and clients collapse more than that.
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_MEDIA_TYPE = re.compile(rf'({_TOKEN}/{_TOKEN})(?:; ?{_TOKEN}=(?:{_TOKEN}|"[ !#-\[\]-~]*"))*', re.ASCII)
_MEDIA_TYPE_MAX_CHARS = 255  # RFC 6838 section 4.2 allows 127 + 1 + 127
_SHA256_BYTES = 32


def purpose(name: str, table: Mapping[str, Purpose]) -> Purpose:
    """The purpose of a name. Raises `InvalidRequest`."""
    if name not in table:
        raise InvalidRequest(
            f"There is no such purpose here. The purposes are: {', '.join(table)}.",
            errors=[{"field": "purpose", "message": "unknown"}],
        )
    return table[name]


def class_id(purpose: Purpose, given: Mapping[str, str]) -> str:
    """The class that a client's metadata name, "" without one. Raises `InvalidMetadata` if it must be there."""
    named = given.get("class_id", "")
    if "{class_id}" in purpose.key and not named:
        raise InvalidMetadata(f'The purpose {purpose.name} needs metadata such as {{"class_id": "class123"}}.')
    return named


def media_type(content_type: str) -> str:
    """`Audio/WebM; codecs=opus` → `audio/webm`. Raises `UnsupportedFileType` if it is no media type."""
    match = _MEDIA_TYPE.fullmatch(content_type) if len(content_type) <= _MEDIA_TYPE_MAX_CHARS else None
    if match is None:
        raise UnsupportedFileType("contentType is not a media type. Send one such as image/jpeg.")
    return match[1].lower()


def file_type(purpose: Purpose, content_type: str, filename: str | None) -> str:
    """The extension that the key will carry. Type and extension must agree with the purpose and each other.

    Without a name it is the type's usual one.
    """
    plain = media_type(content_type)
    allowed = purpose.extensions_of(plain)
    if allowed is None:
        raise UnsupportedFileType(
            f"The purpose {purpose.name} does not take {plain}. It takes: {', '.join(purpose.types)}.",
            allowed=list(purpose.types),
        )
    if filename is None:
        return allowed[0] if allowed else ""
    ext = keys.extension(filename)
    if allowed and ext not in allowed:
        found = f"ends in .{ext}" if ext else "has no extension"
        raise UnsupportedFileType(
            f"Files of type {plain} are named .{' or .'.join(allowed)}, but this name {found}. Rename the file or "
            "correct contentType.",
            allowed=list(allowed),
        )
    return ext


def size(purpose: Purpose, size_bytes: int | None, *, most_bytes: int) -> None:
    """Raises `FileTooLarge` above the purpose's limit, or above what the strategy can carry."""
    most = min(purpose.max_bytes, most_bytes)
    if size_bytes is not None and size_bytes > most:
        raise FileTooLarge(
            f"The file has {size_bytes} bytes; the purpose {purpose.name} takes at most {most} this way.",
            max_bytes=most,
        )


def sha256(digest: str) -> str:
    """A SHA-256 in hexadecimal or base64 as S3 wants it: base64. Raises `InvalidRequest`."""
    try:
        if len(digest) > 2 * _SHA256_BYTES:
            raise ValueError("too long")
        raw = bytes.fromhex(digest) if len(digest) == 2 * _SHA256_BYTES else base64.b64decode(digest, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != _SHA256_BYTES:
        raise InvalidRequest(
            "sha256 is not a SHA-256 digest. Send 64 hexadecimal digits or 44 characters of base64.",
            errors=[{"field": "sha256", "message": "not a SHA-256 digest"}],
        )
    return base64.b64encode(raw).decode()
