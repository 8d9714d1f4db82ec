"""User metadata of objects: the standard names, and a client's own as far as S3 can store them.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.charset import Charset
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Any

from image_upload.domain import keys
from image_upload.errors import InvalidMetadata
from image_upload.languages.wording import human_bytes
from image_upload.limits import S3_METADATA_MAX_BYTES

_PREFIX = "x-amz-meta-"
_NAME = r"[a-z0-9_-]{1,64}"
# An encoded word of RFC 2047 section 2, in which S3 returns values outside ASCII.
_WORD = r"=\?[A-Za-z0-9_-]+\?[bBqQ]\?[^?\s]*\?="
# What verification found, as JSON: beside an object that it published, and the fault of one that it removed.
FACTS = "upload-facts"
# Kept free for it, name and value.
FACTS_MAX_BYTES = 400
# Some stores (Ceph) return underscores as hyphens.
_STANDARD = frozenset({"user_id", "class_id", "original_filename", "content_type", "upload_timestamp"})


def headers_of(
    given: Mapping[str, str], *, user_id: str, filename: str | None, content_type: str, now: datetime
) -> dict[str, str]:
    """Return the x-amz-meta-* headers of an upload: the standard ones and the client's own.

    A value outside ASCII becomes one RFC 2047 word, as S3 itself returns it. Raises `InvalidMetadata`.
    """
    values = {
        **given,
        "user_id": user_id,
        "content_type": content_type,
        "upload_timestamp": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if filename is not None:
        values["original_filename"] = filename
    # An encoded value is never shorter, so values that are too long already are not encoded.
    _check_total(sum(len(name) + len(value) for name, value in values.items()))
    if FACTS in values:
        raise InvalidMetadata(f"The service writes the metadata {FACTS} itself. Rename yours.")
    headers = encoded(values)
    _check_total(sum(len(name) - len(_PREFIX) + len(value) for name, value in headers.items()))
    return headers


def encoded(values: Mapping[str, str]) -> dict[str, str]:
    """Return the x-amz-meta-* headers of these values: the inverse of `from_headers`. Raises `InvalidMetadata`."""
    headers = {}
    utf_8 = Charset("utf-8")
    for name, value in values.items():
        if not re.fullmatch(_NAME, name):
            raise InvalidMetadata("A metadata name is 1 to 64 of a-z, 0-9, hyphen and underscore. Rename it.")
        if keys.NOT_TEXT.search(value):
            raise InvalidMetadata(f"The metadata value of {name} holds control characters. Send printable text.")
        # A value that looks like an encoded word is encoded too, or it would come back decoded.
        plain = value.isascii() and value == " ".join(value.split()) and "=?" not in value
        # Not email.header.Header: it searches for places to fold in quadratic time, and HTTP headers are not folded.
        headers[f"{_PREFIX}{name}"] = value if plain else utf_8.header_encode(value)
    return headers


def _check_total(total_bytes: int) -> None:
    """Raise `InvalidMetadata` for more bytes than S3 stores, with the service's own."""
    total_bytes += FACTS_MAX_BYTES
    if total_bytes > S3_METADATA_MAX_BYTES:
        raise InvalidMetadata(
            f"The metadata takes {human_bytes(total_bytes, up=True)} or more with what the service adds; S3 stores at "
            f"most {human_bytes(S3_METADATA_MAX_BYTES)}. Send less.",
            max_bytes=S3_METADATA_MAX_BYTES,
        )


def from_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the user metadata in an object's headers, decoded: the inverse of `headers_of`."""
    found = {}
    for header, value in headers.items():
        name = header.lower().removeprefix(_PREFIX)
        if name != header.lower():
            standard = name.replace("-", "_")
            found[standard if standard in _STANDARD else name] = _decoded(value)
    return found


def facts_in(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts in an object's metadata; {} for other text: some stores take headers that were not signed."""
    text = values.get(FACTS, "")
    try:
        found = json.loads(text) if len(text) <= S3_METADATA_MAX_BYTES else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _decoded(value: str) -> str:
    """Decode a header's encoded words; return the value unchanged if they are invalid."""
    if not re.search(_WORD, value):
        return value
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return value
