"""How the store is told what the bytes of a call are: in the header that it understands, or not at all.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from typing import Literal

Checksums = Literal["sha256", "md5", "off"]

_SHA256 = "x-amz-checksum-sha256"
# Those by which a call declares, asks for or announces a checksum; stores that know none answer them with 400 or 501.
_HEADERS = frozenset({_SHA256, "x-amz-checksum-algorithm", "x-amz-checksum-mode"})


async def fitted(headers: Mapping[str, str] | None, body: bytes | memoryview, checksums: Checksums) -> dict[str, str]:
    """Return the headers of a call as the store takes them: a declared SHA-256 becomes a Content-MD5, or nothing."""
    given = dict(headers or {})
    if checksums == "sha256":
        return given
    left = {name: value for name, value in given.items() if name not in _HEADERS}
    if checksums == "md5" and _SHA256 in given:
        # hashlib lets other threads run meanwhile.
        digest = await asyncio.to_thread(lambda: hashlib.md5(body, usedforsecurity=False).digest())
        left["Content-MD5"] = base64.b64encode(digest).decode()
    return left
