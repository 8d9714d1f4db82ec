"""User metadata of objects: the standard set, and what S3 can store of a client's own.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.charset import Charset
from email.errors import HeaderParseError
from email.header import decode_header, make_header

from image_upload.domain import keys
from image_upload.errors import InvalidMetadata
from image_upload.languages.wording import human_bytes
from image_upload.limits import S3_METADATA_MAX_BYTES

_PREFIX = "x-amz-meta-"
_NAME = re.compile(r"[a-z0-9_-]{1,64}", re.ASCII)
# An encoded word of RFC 2047 section 2, which is how S3 gives back what is not ASCII.
_WORD = re.compile(r"=\?[A-Za-z0-9_-]+\?[bBqQ]\?[^?\s]*\?=")
# Some stores (Ceph) give underscores back as hyphens.
_STANDARD = frozenset({"user_id", "class_id", "original_filename", "content_type", "upload_timestamp"})


def headers_of(
    given: Mapping[str, str], *, user_id: str, filename: str | None, content_type: str, now: datetime
) -> dict[str, str]:
    """The x-amz-meta-* headers of an upload: the standard ones and the client's own.

    Values outside ASCII travel as one RFC 2047 word each, as S3 itself returns them. Raises `InvalidMetadata`.
    """
    values = {
        **given,
        "user_id": user_id,
        "content_type": content_type,
        "upload_timestamp": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if filename is not None:
        values["original_filename"] = filename
    # No encoding is shorter than its text, so whatever is too long already need not be encoded.
    _check_total(sum(len(name) + len(value) for name, value in values.items()))
    headers = {}
    utf_8 = Charset("utf-8")
    for name, value in values.items():
        if not _NAME.fullmatch(name):
            raise InvalidMetadata("A metadata name is 1 to 64 of a-z, 0-9, hyphen and underscore. Rename it.")
        if keys.NOT_TEXT.search(value):
            raise InvalidMetadata(f"The metadata value of {name} holds control characters. Send printable text.")
        # What looks encoded is encoded: it must not come back as something else.
        plain = value.isascii() and value == " ".join(value.split()) and "=?" not in value
        # Not email.header.Header: it looks for places to fold, in quadratic time, and a header has no folding.
        headers[f"{_PREFIX}{name}"] = value if plain else utf_8.header_encode(value)
    _check_total(sum(len(name) - len(_PREFIX) + len(value) for name, value in headers.items()))
    return headers


def _check_total(total_bytes: int) -> None:
    """Raises `InvalidMetadata` for more than S3 stores."""
    if total_bytes > S3_METADATA_MAX_BYTES:
        raise InvalidMetadata(
            f"The metadata takes {human_bytes(total_bytes, up=True)} or more with what the service adds; S3 stores at "
            f"most {human_bytes(S3_METADATA_MAX_BYTES)}. Send less.",
            max_bytes=S3_METADATA_MAX_BYTES,
        )


def from_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The user metadata among the headers of an object, as it was sent: `headers_of` the other way round."""
    found = {}
    for header, value in headers.items():
        name = header.lower().removeprefix(_PREFIX)
        if name != header.lower():
            standard = name.replace("-", "_")
            found[standard if standard in _STANDARD else name] = _decoded(value)
    return found


def _decoded(value: str) -> str:
    """A header's value with its encoded words decoded; as it is where they cannot be."""
    if not _WORD.search(value):
        return value
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return value
