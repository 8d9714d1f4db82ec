"""User metadata of objects: the standard set, and what S3 can store of a client's own.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from image_upload import keys
from image_upload.errors import InvalidMetadata
from image_upload.limits import S3_METADATA_MAX_BYTES

_NAME = re.compile(r"[a-z0-9_-]{1,64}", re.ASCII)


def headers_of(
    given: Mapping[str, str], *, user_id: str, filename: str | None, content_type: str, now: datetime
) -> dict[str, str]:
    """The x-amz-meta-* headers of an upload: the standard ones and the client's own.

    Values outside ASCII travel as RFC 2047 words, as S3 itself returns them. Raises `InvalidMetadata`.
    """
    from email.header import Header  # noqa: PLC0415  most uploads ask for none of this

    values = {
        **given,
        "user_id": user_id,
        "content_type": content_type,
        "upload_timestamp": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if filename is not None:
        values["original_filename"] = filename
    headers = {}
    for name, value in values.items():
        if not _NAME.fullmatch(name):
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
