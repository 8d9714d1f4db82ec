"""Is this upload allowed? Type, extension, size, digest and metadata, before anything is signed."""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.header import Header

from image_upload import keys
from image_upload.errors import FileTooLarge, InvalidMetadata, InvalidRequest, UnsupportedFileType
from image_upload.limits import S3_METADATA_MAX_BYTES
from image_upload.mint.plans import Wish
from image_upload.purposes import Purpose

# RFC 9110 section 5.6.2 tokens and section 8.3.1 media types. One space at most after a semicolon:
# a signature covers the header's exact bytes, and clients collapse more than that.
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_MEDIA_TYPE = re.compile(rf'({_TOKEN}/{_TOKEN})(?:; ?{_TOKEN}=(?:{_TOKEN}|"[ !#-\[\]-~]*"))*', re.ASCII)
_META_NAME = re.compile(r"[a-z0-9_-]{1,64}", re.ASCII)
_SHA256_BYTES = 32


def media_type(content_type: str) -> str:
    """`Audio/WebM; codecs=opus` → `audio/webm`. Raises `UnsupportedFileType` if it is no media type."""
    match = _MEDIA_TYPE.fullmatch(content_type)
    if match is None or len(content_type) > 255:  # noqa: PLR2004  RFC 6838 allows 127 + 1 + 127
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
        raw = bytes.fromhex(digest) if len(digest) == 2 * _SHA256_BYTES else base64.b64decode(digest, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != _SHA256_BYTES:
        raise InvalidRequest(
            "sha256 is not a SHA-256 digest. Send 64 hexadecimal digits or 44 characters of base64.",
            errors=[{"field": "sha256", "message": "not a SHA-256 digest"}],
        )
    return base64.b64encode(raw).decode()


def metadata_headers(wish: Wish, given: Mapping[str, str], now: datetime) -> dict[str, str]:
    """The x-amz-meta-* headers of an upload: the standard ones and the client's own.

    Values outside ASCII travel as RFC 2047 words, as S3 itself returns them.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    """
    values = {
        **given,
        "user_id": wish.user_id,
        "original_filename": wish.filename or "",
        "content_type": wish.content_type,
        "upload_timestamp": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    headers = {}
    for name, value in values.items():
        if not value and name not in given:
            continue  # nothing to say, such as the name of a file that has none
        if not _META_NAME.fullmatch(name):
            raise InvalidMetadata("A metadata name is 1 to 64 of a-z, 0-9, hyphen and underscore.")
        if keys.NOT_TEXT.search(value):
            raise InvalidMetadata(f"The metadata value of {name} holds control characters. Send printable text.")
        plain = value.isascii() and value == " ".join(value.split())
        # An infinite line length: S3 stores a header, and a header has no folding.
        headers[f"x-amz-meta-{name}"] = value if plain else Header(value, "utf-8", maxlinelen=2**31).encode()
    total = sum(len(name) - len("x-amz-meta-") + len(value) for name, value in headers.items())
    if total > S3_METADATA_MAX_BYTES:
        raise InvalidMetadata(
            f"The metadata takes {total} bytes with what the service adds; S3 stores at most {S3_METADATA_MAX_BYTES}.",
            max_bytes=S3_METADATA_MAX_BYTES,
        )
    return headers
