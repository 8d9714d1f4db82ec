"""Make a specification of what a source says of its file, and of what the client has said."""

import hashlib
import hmac
from base64 import b64decode
from collections.abc import AsyncGenerator
from typing import Final

from image_upload.domain import checks
from image_upload.domain.purposes import Purpose
from image_upload.errors import UnsupportedFileType, UploadRejected
from image_upload.from_url.requests import Order
from image_upload.from_url.source_rule import filename_in
from image_upload.languages.wording import Sentence
from image_upload.outbound.download import Download
from image_upload.uploads.plans import UploadSpec

_ANY_TYPE: Final = "application/octet-stream"
# What servers say of files whose type they do not know.
_NO_TYPE: Final = frozenset(
    {"", _ANY_TYPE, "binary/octet-stream", "application/x-download", "application/force-download"}
)


def spec_of(order: Order, purpose: Purpose, download: Download) -> UploadSpec:
    """Return the specification of a source. Raises `UnsupportedFileType`.

    The client's file name has to fit the type, as in every upload. One that is taken from the URL (`photo.php`) is left
    out where it does not.
    """
    filename = order.filename or filename_in(order.url) or filename_in(download.url)
    content_type = _type(purpose, download.content_type, filename or "")
    if order.filename is None and filename is not None:
        try:
            checks.file_type(purpose, content_type, filename)
        except UnsupportedFileType:
            filename = None
    return UploadSpec(
        content_type=content_type,
        purpose=purpose,
        principal=order.principal,
        filename=filename,
        size_bytes=download.length_bytes,
        metadata=order.metadata,
    )


def _type(purpose: Purpose, declared: str, filename: str) -> str:
    """Return the type of a file: the source's, or where it says none that of the file name, if the purpose takes it."""
    plain = declared.partition(";")[0].strip().lower()
    if plain in _NO_TYPE:
        usual = checks.usual_type(filename)
        return usual if usual is not None and purpose.extensions_of(usual) is not None else _ANY_TYPE
    try:
        checks.media_type(declared)
    except UnsupportedFileType:
        return plain
    return declared


async def compared(chunks: AsyncGenerator[memoryview, None], sha256: str | None) -> AsyncGenerator[memoryview, None]:
    """Yield the chunks. At their end, raise `UploadRejected` if their SHA-256 is another one (in base64)."""
    digest = hashlib.sha256()
    async for chunk in chunks:
        if sha256 is not None:
            digest.update(chunk)
        yield chunk
    if sha256 is not None and not hmac.compare_digest(digest.digest(), b64decode(sha256)):
        raise UploadRejected(
            "What arrived is not what was promised: its {fault} differs. It was removed. Start a new upload.",
            facts={"fault": Sentence("checksum")},
            fault="checksum",
        )
