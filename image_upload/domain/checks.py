"""Check an upload before anything is signed: type, extension, size, digest and metadata."""

import base64
import binascii
import functools
import mimetypes
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

from image_upload.domain import keys
from image_upload.domain.purposes import DOCUMENT_TYPES, GIF_TYPES, IMAGE_TYPES, Purpose, Purposes
from image_upload.errors import EmptyFile, FileTooLarge, InvalidMetadata, UnsupportedFileType, ValidationFailed
from image_upload.languages.wording import human_bytes

# RFC 9110 section 5.6.2 tokens and section 8.3.1 media types. One space at most after a semicolon:
# a signature covers the header's exact bytes, and clients collapse several spaces.
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_MEDIA_TYPE = re.compile(rf'({_TOKEN}/{_TOKEN})(?:; ?{_TOKEN}=(?:{_TOKEN}|"[ !#-\[\]-~]*"))*', re.ASCII)
# Unregistered names that clients send, and the registered type that they mean.
_ALIASES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
ANY_TYPE = "application/octet-stream"
_MEDIA_TYPE_MAX_CHARS = 255  # RFC 6838 section 4.2 allows 127 + 1 + 127
_SHA256_BYTES = 32


def purpose(name: str | None, purposes: Purposes) -> Purpose:
    """Return the purpose of a name, without regard to case; for None the default. Raises `ValidationFailed`."""
    found = purposes.default if name is None and purposes.named else purposes.get(name or "")
    if found is None:
        raise ValidationFailed(
            f"There is no such purpose here. The purposes are: {', '.join(purposes.named)}.",
            errors=[{"field": "purpose", "message": "unknown"}],
        )
    return found


def class_id(purpose: Purpose, given: Mapping[str, str]) -> str:
    """Return `class_id` of a client's metadata, or "". Raises `InvalidMetadata` if the purpose needs one."""
    named = given.get("class_id", "")
    if "{class_id}" in purpose.key and not named:
        raise InvalidMetadata(f'The purpose {purpose.name} needs metadata such as {{"class_id": "class123"}}.')
    return named


def media_type(content_type: str) -> str:
    """Normalise a Content-Type: `Audio/WebM; codecs=opus` → `audio/webm`, `image/jpg` → `image/jpeg`.

    Raises `UnsupportedFileType` if it is no media type.
    """
    match = _MEDIA_TYPE.fullmatch(content_type) if len(content_type) <= _MEDIA_TYPE_MAX_CHARS else None
    if match is None:
        raise UnsupportedFileType("contentType is not a media type. Send one such as image/jpeg.")
    plain = match[1].lower()
    return _ALIASES.get(plain, plain)


def usual_type(filename: str) -> str | None:
    """Return the media type that files of the name's extension usually have, None if there is no usual one."""
    ext = keys.extension(filename)
    for types in (IMAGE_TYPES, GIF_TYPES, DOCUMENT_TYPES):
        for each, extensions in types.items():
            if ext in extensions:
                return each
    return _python_types().guess_type(f"x.{ext}")[0] if ext else None


@functools.cache
def _python_types() -> mimetypes.MimeTypes:
    """Return Python's own table, without the mime.types files of this machine."""
    return mimetypes.MimeTypes()


def content_type(purpose: Purpose, declared: str, filename: str) -> str:
    """Return the declared type; for "", the one type that the purpose takes under the name's extension.

    A browser's `file.type` is "" for files it does not know (https://w3c.github.io/FileAPI/#dfn-type). Raises
    `UnsupportedFileType` if the extension does not decide.
    """
    if declared:
        return declared
    ext = keys.extension(filename)
    fitting = [each for each, extensions in purpose.types.items() if ext in extensions and "*" not in each]
    if len(fitting) == 1:
        return fitting[0]
    if "*/*" in purpose.types:
        raise UnsupportedFileType(
            "The browser knows no type for this file, so its content type is empty. Send application/octet-stream "
            "in its place.",
            allowed=list(purpose.types),
        )
    raise UnsupportedFileType(
        "The browser knows no type for this file, so its content type is empty. Send the type that the file has; "
        "the purpose {purpose} takes: {types}. For any other file choose a purpose for any type and send "
        "application/octet-stream.",
        facts={"purpose": purpose.name, "types": ", ".join(fitting or purpose.types)},
        allowed=fitting or list(purpose.types),
    )


def type_or_any(purpose: Purpose, declared: str, filename: str) -> str:
    """Return what `content_type` returns; for "", if the purpose takes every type, `application/octet-stream`."""
    return ANY_TYPE if not declared and "*/*" in purpose.types else content_type(purpose, declared, filename)


def file_type(purpose: Purpose, content_type: str, filename: str | None) -> str:
    """Return the extension for the key: the file name's, or without a name the type's usual one.

    Type and extension must agree with the purpose and with each other.
    """
    plain = media_type(content_type)
    allowed = purpose.extensions_of(plain)
    if allowed is None:
        raise UnsupportedFileType(
            "The purpose {purpose} does not take {type}. It takes: {types}. Convert the file, or choose another "
            "purpose.",
            facts={"purpose": purpose.name, "type": plain, "types": ", ".join(purpose.types)},
            allowed=list(purpose.types),
        )
    if filename is None:
        return allowed[0] if allowed else ""
    ext = keys.extension(filename)
    if allowed and ext not in allowed:
        facts = {"type": plain, "extensions": ", ".join(f".{each}" for each in allowed), "found": f".{ext}"}
        raise UnsupportedFileType(
            "Files of type {type} end in {extensions}, but this name ends in {found}. Rename the file or correct "
            "its type."
            if ext
            else "Files of type {type} end in {extensions}, but this name has no extension. Add it and try again.",
            facts=facts,
            allowed=list(allowed),
        )
    return ext


def size(purpose: Purpose, size_bytes: int | None, *, most_bytes: int) -> None:
    """Check a file's size. Raises `EmptyFile`; `FileTooLarge` above the purpose's limit or `most_bytes`."""
    if size_bytes == 0:
        raise EmptyFile
    most = min(purpose.max_bytes, most_bytes)
    if size_bytes is not None and size_bytes > most:
        raise FileTooLarge(
            "The file has {size}; the purpose {purpose} takes at most {limit} this way. Make the file smaller, or "
            "choose another purpose.",
            facts={"size": human_bytes(size_bytes, up=True), "purpose": purpose.name, "limit": human_bytes(most)},
            max_bytes=most,
        )


def too_large(size_bytes: int, max_bytes: int) -> FileTooLarge:
    """Return the problem of a file that was found to exceed its limit after its upload was planned."""
    return FileTooLarge(
        "The file has {size}; its purpose takes at most {limit}. It is not kept. Send a smaller one.",
        facts={"size": human_bytes(size_bytes, up=True), "limit": human_bytes(max_bytes)},
        max_bytes=max_bytes,
    )


async def up_to(max_bytes: int, chunks: AsyncIterator[memoryview]) -> AsyncGenerator[memoryview, None]:
    """Yield the chunks. Raises `FileTooLarge` if they exceed the purpose's limit."""
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        if received > max_bytes:
            raise longer_than(max_bytes)
        yield chunk


def longer_than(max_bytes: int) -> FileTooLarge:
    """Return the problem of a file that is still arriving, and exceeds its purpose's limit."""
    return FileTooLarge(
        "The file is larger than the {limit} that its purpose takes; it is not kept. Send a smaller one.",
        facts={"limit": human_bytes(max_bytes)},
        max_bytes=max_bytes,
    )


def sha256(digest: str) -> str:
    """Return a SHA-256, given in hexadecimal or base64, in base64, as S3 takes it. Raises `ValidationFailed`."""
    try:
        if len(digest) > 2 * _SHA256_BYTES:
            raise ValueError("too long")
        raw = bytes.fromhex(digest) if len(digest) == 2 * _SHA256_BYTES else base64.b64decode(digest, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != _SHA256_BYTES:
        raise ValidationFailed(
            "sha256 is not a SHA-256 digest. Send 64 hexadecimal digits or 44 characters of base64.",
            errors=[{"field": "sha256", "message": "not a SHA-256 digest"}],
        )
    return base64.b64encode(raw).decode()
