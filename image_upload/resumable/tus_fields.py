"""Read the header fields of tus 1.0.0. Each function raises `InvalidUploadHeader`.

https://github.com/tus/tus-resumable-upload-protocol/blob/main/protocol.md
Lengths and numbers of members are checked before anything is decoded.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from image_upload.errors import InvalidUploadHeader
from image_upload.limits import PARTIALS_MAX, UPLOAD_METADATA_MAX_CHARS, UPLOAD_METADATA_MAX_PAIRS
from image_upload.web.routing import length_of

# The length of each digest in bytes. A CRC-32 is sent as four bytes, the highest first.
CHECKSUM_BYTES: Final[Mapping[str, int]] = {"sha1": 20, "sha256": 32, "md5": 16, "crc32": 4}
_CHECKSUM_MAX_CHARS: Final = 64
_PARTIAL: Final = "partial"
_FINAL: Final = "final;"
# Printable characters of ASCII but the comma, which separates pairs.
_KEY: Final = re.compile(r"[!-+\--~]{1,255}", re.ASCII)


def count(name: str, value: str) -> int:
    """Return a number of bytes: `Upload-Offset`, `Upload-Length`."""
    found = length_of(value.strip().encode())
    if found is None:
        raise InvalidUploadHeader(f"{name} is not a number of bytes. Send one such as {name}: 5242880.", field=name)
    return found


def check_deferred(value: str) -> None:
    """Check `Upload-Defer-Length`, which has one value."""
    if value.strip() != "1":
        raise InvalidUploadHeader(
            "Upload-Defer-Length may be 1 alone. Leave it out where Upload-Length is known.",
            field="Upload-Defer-Length",
        )


def metadata(value: str) -> dict[str, str]:
    """Return the pairs of `Upload-Metadata`: `filename Y2F0LmpwZw==,is_confidential`."""
    if len(value) > UPLOAD_METADATA_MAX_CHARS:
        raise _metadata(f"It has more than {UPLOAD_METADATA_MAX_CHARS} characters. Send less.")
    found: dict[str, str] = {}
    for pair in value.split(",", UPLOAD_METADATA_MAX_PAIRS):
        key, _, encoded = pair.strip(" ").partition(" ")
        if not _KEY.fullmatch(key):
            raise _metadata("A key is empty, too long, or not ASCII. Send pairs of a key and base64, with commas.")
        if key in found:
            raise _metadata("A key is there twice. Send each key once.")
        if len(found) == UPLOAD_METADATA_MAX_PAIRS:
            raise _metadata(f"It has more than {UPLOAD_METADATA_MAX_PAIRS} pairs. Send fewer.")
        try:
            found[key] = base64.b64decode(encoded, validate=True).decode()
        except ValueError:  # also of bytes that are not UTF-8
            raise _metadata("A value is not UTF-8 in base64. Encode each value, and send no other spaces.") from None
    return found


def _metadata(why: str) -> InvalidUploadHeader:
    return InvalidUploadHeader(f"Upload-Metadata cannot be read. {why}", field="Upload-Metadata")


def checksum(value: str) -> tuple[str, bytes]:
    """Return algorithm and digest of `Upload-Checksum`: `sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=`."""
    algorithm, _, encoded = value.strip().partition(" ")
    length = CHECKSUM_BYTES.get(algorithm)
    if length is None:
        raise InvalidUploadHeader(
            "Upload-Checksum names no algorithm of this service. Send one of: {algorithms}.",
            facts={"algorithms": ", ".join(CHECKSUM_BYTES)},
            field="Upload-Checksum",
        )
    try:
        digest = base64.b64decode(encoded, validate=True) if len(encoded) <= _CHECKSUM_MAX_CHARS else b""
    except binascii.Error:
        digest = b""
    if len(digest) != length:
        raise InvalidUploadHeader(
            f"Upload-Checksum is no digest of {algorithm} in base64, which has {length} bytes. Send one, or none.",
            field="Upload-Checksum",
        )
    return algorithm, digest


def partials(value: str) -> Sequence[str] | None:
    """Return the tickets of `Upload-Concat: final;/resumable/a /resumable/b`; None for `partial`.

    A URL may be absolute: only its path counts, because a proxy may give the service another address.
    """
    if value == _PARTIAL:
        return None
    urls = value.removeprefix(_FINAL).split(" ", PARTIALS_MAX) if value.startswith(_FINAL) else []
    if len(urls) > PARTIALS_MAX:
        raise _concat(f"It names more than {PARTIALS_MAX} uploads. Send fewer, longer ones.")
    tickets = [_ticket(url) for url in urls if url]
    if not tickets:
        raise _concat("It is neither partial nor final; with the URLs of finished partial uploads, one space between.")
    return tickets


def _ticket(url: str) -> str:
    try:
        path = urlsplit(url).path
    except ValueError:  # brackets of a host that is none
        path = ""
    folder, _, ticket = path.rpartition("/")
    if not folder.endswith("/resumable") or not ticket:
        raise _concat("One of its URLs is no upload of this service. Send the Location of each partial upload.")
    return unquote(ticket)


def _concat(why: str) -> InvalidUploadHeader:
    return InvalidUploadHeader(f"Upload-Concat cannot be read. {why}", field="Upload-Concat")
