"""A form's file into our own bucket: `POST /api/v1/s3/upload`."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import BinaryIO, NamedTuple

from image_upload import keys, metadata
from image_upload.errors import EmptyFile, FileTooLarge, InvalidRequest
from image_upload.limits import S3_OBJECT_MAX_BYTES
from image_upload.proxy.form import FILE_FIELD, Incoming
from image_upload.proxy.send import CHUNK_BYTES
from image_upload.proxy.spool import receive
from image_upload.s3 import multipart, uploading
from image_upload.s3.bucket import Bucket
from image_upload.s3.failures import translated
from image_upload.s3.multipart import StoredObject

DEFAULT_FOLDER = "uploads"
FOLDER_FIELD = "folder"
_ANY_TYPE = "application/octet-stream"


class Kept(NamedTuple):
    """What S3 has."""

    key: str
    content_type: str
    stored: StoredObject


async def keep(bucket: Bucket, incoming: Incoming, user_id: str, *, on_disk: bool) -> Kept:
    """Store the form's file under `{folder}/{user}/{id}.{ext}`. If this raises, nothing is left in S3.

    With `folder` in front of the file its bytes go straight on; else they are spooled until it is known.
    Raises `MalformedForm`, `InvalidRequest`, `InvalidFilename`, `InvalidKey`, `EmptyFile`, `FileTooLarge`, and the
    problems of S3.
    """
    if not await incoming.reach_file():
        await incoming.finish()
        raise InvalidRequest(
            "The form lacks its file. Send it as `file`; in curl: -F file=@cat.jpg.",
            errors=[{"field": FILE_FIELD, "message": "missing"}],
        )
    keys.check_filename(incoming.filename)
    if FOLDER_FIELD not in incoming.fields:
        form = await receive(incoming, on_disk=on_disk)
        assert form.file is not None  # noqa: S101  it was reached
        with form.file as file:
            return await _store(bucket, incoming, user_id, _read(file), form.size_bytes)
    kept = await _store(bucket, incoming, user_id, incoming.chunks(), incoming.length_if_last())
    try:
        await incoming.finish()
    except Exception:
        async with translated():
            await multipart.delete(bucket, kept.key)
        raise
    return kept


async def _store(
    bucket: Bucket, incoming: Incoming, user_id: str, chunks: AsyncIterator[memoryview], expected_bytes: int | None
) -> Kept:
    now = datetime.now(UTC)
    key = _key(incoming.fields.get(FOLDER_FIELD, ""), user_id, incoming.filename)
    content_type = incoming.content_type or _ANY_TYPE
    headers = {"Content-Type": content_type} | metadata.headers_of(
        {}, user_id=user_id, filename=incoming.filename, content_type=content_type, now=now
    )
    async with aclosing(chunks) as stream, translated():  # type: ignore[type-var]
        try:
            stored = await uploading.store(bucket, key, stream, headers, expected_bytes=expected_bytes)
        except uploading.NothingSent:
            raise EmptyFile("The file is empty; nothing was stored. Choose a file with content.") from None
        except uploading.TooManyParts:
            raise FileTooLarge(
                "The file is longer than the form announced, and too long to go on. Send the form with a "
                "Content-Length.",
                max_bytes=S3_OBJECT_MAX_BYTES,
            ) from None
    return Kept(key, content_type, stored)


def _key(folder: str, user_id: str, filename: str) -> str:
    folder = keys.check(folder.strip("/") or DEFAULT_FOLDER)
    ext = keys.extension(filename)
    name = f"{keys.new_id()}.{ext}" if ext else keys.new_id()
    return keys.check(f"{folder}/{keys.segment(user_id)}/{name}")


async def _read(file: BinaryIO) -> AsyncIterator[memoryview]:
    while chunk := file.read(CHUNK_BYTES):
        yield memoryview(chunk)
