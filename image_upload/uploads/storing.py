"""Store a file whose bytes come through this process, through the same door as every other upload."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from image_upload.completion.confirmation import AllowedSize, confirm
from image_upload.completion.context import CompletionContext
from image_upload.completion.rejection import rejection
from image_upload.domain import checks
from image_upload.errors import EmptyFile, FileTooLarge
from image_upload.limits import MULTIPART_URL_EXPIRES_S, S3_OBJECT_MAX_BYTES
from image_upload.s3.errors import map_s3_errors
from image_upload.telemetry import audit
from image_upload.uploads.validation import ValidatedUpload

# A reservation lasts this long, in case the process dies before it settles it.
_RESERVED_S = MULTIPART_URL_EXPIRES_S


class StoredUpload(NamedTuple):
    """A stored file, as S3 confirmed it."""

    key: str
    size_bytes: int
    content_type: str
    etag: str
    cdn_url: str | None


async def store(
    context: CompletionContext,
    upload: ValidatedUpload,
    chunks: AsyncGenerator[memoryview, None],
    *,
    progress: Callable[[int], None] | None,
) -> StoredUpload:
    """Store the chunks in one PUT, or in parts as they arrive; see `UploadService.store`."""
    # Not at the top: a mint needs neither the parts' memory nor their digests.
    from image_upload.s3 import transfer
    from image_upload.s3.part_reader import ChunkSource

    bucket, key, spec = context.bucket, upload.key, upload.spec
    headers = upload.headers | bucket.storage_headers(upload.upload_key)
    await context.quotas.reserve(key, upload.most_bytes, datetime.now(UTC) + timedelta(seconds=_RESERVED_S))
    try:
        async with aclosing(checks.up_to(upload.most_bytes, chunks)) as stream, map_s3_errors():
            stored = await transfer.store(
                bucket,
                upload.upload_key,
                ChunkSource(stream),
                headers,
                expected_bytes=spec.size_bytes,
                progress=progress,
            )
    except BaseException as error:
        await asyncio.shield(context.quotas.settle(key, None))
        if isinstance(error, transfer.NothingSent):
            raise EmptyFile from None
        if isinstance(error, transfer.TooManyParts):
            raise FileTooLarge(
                "The file is too long for a source that does not say how long it is. Send a source that does.",
                max_bytes=S3_OBJECT_MAX_BYTES,
            ) from None
        raise
    audit.record("store", key, purpose=spec.purpose.name, size_bytes=stored.size_bytes)
    allowed = AllowedSize(None, spec.purpose.max_bytes)
    confirming = asyncio.ensure_future(confirm(context, key, row="none", found=stored, allowed=allowed, is_over=True))
    try:
        confirmation = await asyncio.shield(confirming)
    except asyncio.CancelledError:
        # It is stored already: a caller that was cancelled now would take it for lost.
        confirmation = await confirming
    if confirmation.fault is not None:
        raise rejection(confirmation.fault, confirmation.why)
    found = confirmation.stored or stored
    return StoredUpload(key, found.size_bytes, found.content_type, found.etag, bucket.cdn_url(key))
