"""Object keys and file names: make them, and refuse those we would never make.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

import re
import secrets
import unicodedata
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from image_upload.errors import InvalidFilename, InvalidKey
from image_upload.limits import FILENAME_MAX_CHARS, S3_KEY_MAX_BYTES
from image_upload.purposes import Purpose

ID_BYTES = 16  # 128 bits: nobody guesses a key, and no two uploads ever share one

# Control characters (Cc), line separators (Zl, Zp), lone surrogates (Cs), and what was no UTF-8 (U+FFFD).
NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffd]")

_EXTENSION = re.compile(r"[a-z0-9]{1,10}", re.ASCII)


def new_id() -> str:
    """128 random bits in hexadecimal."""
    return secrets.token_hex(ID_BYTES)


def make(purpose: Purpose, *, user_id: str, ext: str, class_id: str = "", filename: str = "", now: datetime) -> str:
    """A new key for a purpose. Without an extension (`ext` empty) the pattern's dot goes too.

    `filename` must have passed `check_filename`.
    """
    key = purpose.key.format(
        id=new_id(),
        yyyymmdd=now.astimezone(UTC).strftime("%Y%m%d"),
        user=segment(user_id),
        class_id=segment(class_id) if class_id else "",
        ext=ext,
        filename=filename,
    )
    return check(key.removesuffix("."))


def segment(name: str) -> str:
    """A foreign name as one path segment: injective, ASCII, never `.`, `..` or empty.

    Everything outside A-Z a-z 0-9 - _ . @ becomes `~hh` of its UTF-8 bytes. A percent sign would
    be decoded once too often somewhere between a CDN and a bucket; a tilde is not.
    """
    if not name:
        raise InvalidKey("A name that becomes part of the object key is empty.")
    escaped = quote(name, safe="@").replace("~", "%7E").replace("%", "~")
    return escaped.replace(".", "~2E") if set(escaped) == {"."} else escaped


def check(key: str) -> str:
    """The key itself, if S3 and every client on the way would keep it as it is; else `InvalidKey`."""
    if not key:
        raise InvalidKey("The object key is empty. Pass the objectKey you were given.")
    if NOT_TEXT.search(key):
        raise InvalidKey("The object key holds control characters or half a character pair.")
    if len(key.encode()) > S3_KEY_MAX_BYTES:
        raise InvalidKey(f"The object key is longer than {S3_KEY_MAX_BYTES} bytes.")
    if _climbs(key):
        raise InvalidKey("The object key must not start with '/', hold '\\', or climb with '.' or '..'.")
    return key


def _climbs(path: str) -> bool:
    """Whether a path leads elsewhere for somebody who reads it as one.

    Also if it is decoded once more, or more often: a proxy or a CDN on the way may do that.
    """
    while True:
        if path.startswith("/") or "\\" in path or any(part in (".", "..") for part in path.split("/")):
            return True
        decoded = unquote(path) if "%" in path else path
        if decoded == path:
            return False
        path = decoded


def check_filename(filename: str) -> str:
    """The file name itself in Unicode's composed form, if it is a bare name; else `InvalidFilename`.

    macOS sends Hangul decomposed (NFD); composed, the same name compares equal everywhere.
    """
    if not filename.strip():
        raise InvalidFilename("The file name is empty. Send the name the file has, such as cat.jpg.")
    if NOT_TEXT.search(filename):
        raise InvalidFilename("The file name holds control characters. Send a printable name.")
    composed = unicodedata.normalize("NFC", filename)
    if len(composed) > FILENAME_MAX_CHARS:
        raise InvalidFilename(f"The file name is longer than {FILENAME_MAX_CHARS} characters.")
    if "/" in composed or _climbs(composed):
        raise InvalidFilename("The file name holds a path. Send the bare name, such as cat.jpg.")
    return composed


def extension(filename: str) -> str:
    """The extension in lower case without its dot, or "" where there is none that a key could carry."""
    stem, dot, ext = filename.rpartition(".")
    ext = ext.lower()
    return ext if dot and stem and _EXTENSION.fullmatch(ext) else ""
