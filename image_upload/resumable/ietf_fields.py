"""Read and write the header fields of the IETF's draft, which are Structured Fields (RFC 9651).

https://datatracker.ietf.org/doc/draft-ietf-httpbis-resumable-upload/ section 4.1. A value of another type is ignored
together with its field, as the draft demands.
"""

from collections.abc import Mapping
from typing import Any, Final

import http_sf

from image_upload.errors import InvalidUploadHeader

# Longer fields are ignored; a digest's member has at most 100 characters.
_FIELD_MAX_CHARS: Final = 1_024
# RFC 9530 section 5: the two that are not deprecated, the stronger one first, and their lengths in bytes.
DIGEST_BYTES: Final[Mapping[str, int]] = {"sha-512": 64, "sha-256": 32}


def count(value: str | None) -> int | None:
    """Return `Upload-Offset` or `Upload-Length`, a non-negative Integer; None without one."""
    found = _item(value)
    return found if type(found) is int and found >= 0 else None


def is_true(value: str | None) -> bool | None:
    """Return `Upload-Complete`, a Boolean; None without one."""
    found = _item(value)
    return found if isinstance(found, bool) else None


def version(value: str | None) -> int | None:
    """Return `Upload-Draft-Interop-Version`, an Integer; None without one."""
    found = _item(value)
    return found if type(found) is int else None


def digest(name: str, value: str | None) -> tuple[str, bytes] | None:
    """Return algorithm and digest of `Repr-Digest` or `Content-Digest`, a Dictionary; None without a known algorithm.

    RFC 9530 section 2 lets a recipient ignore any of them. Raises `InvalidUploadHeader` for a digest of another length.
    """
    members = _parsed(value, "dictionary")
    for algorithm, length in DIGEST_BYTES.items():
        member = members.get(algorithm) if isinstance(members, dict) else None
        if isinstance(member, tuple):
            if not isinstance(member[0], bytes) or len(member[0]) != length:
                raise InvalidUploadHeader(
                    f"{name} has no {algorithm} of {length} bytes. Send it as: {algorithm}=:base64:", field=name
                )
            return algorithm, member[0]
    return None


def as_boolean(value: bool) -> str:  # noqa: FBT001  the one value of its field
    """Return a Boolean as a field's value."""
    return "?1" if value else "?0"


def as_dictionary(members: Mapping[str, int]) -> str:
    """Return a Dictionary of Integers as a field's value."""
    return ", ".join(f"{name}={number}" for name, number in members.items())


def _item(value: str | None) -> Any:
    parsed = _parsed(value, "item")
    return parsed[0] if isinstance(parsed, tuple) else None


def _parsed(value: str | None, kind: str) -> Any:
    if value is None or len(value) > _FIELD_MAX_CHARS:
        return None
    try:
        return http_sf.parse(value.encode("latin-1"), tltype=kind)
    except http_sf.StructuredFieldError:
        return None
