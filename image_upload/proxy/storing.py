"""A form's file into our own bucket: `POST /api/v1/s3/upload`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import BinaryIO, NamedTuple

from image_upload import audit, checks, keys, metadata
from image_upload.errors import EmptyFile, FileTooLarge, InvalidRequest, MalformedForm
from image_upload.limits import S3_OBJECT_MAX_BYTES
from image_upload.proxy.form import FILE_FIELD, Incoming
from image_upload.proxy.send import CHUNK_BYTES
from image_upload.proxy.spool import receive
from image_upload.purposes import Purpose
from image_upload.s3 import objects, uploading
from image_upload.s3.bucket import Bucket
from image_upload.s3.failures import translated
from image_upload.s3.objects import StoredObject

FOLDER_FIELD = "folder"
PURPOSE_FIELD = "purpose"
CLASS_FIELD = "class_id"
# What decides the key and the object's headers; all of it must be known before the first byte leaves.
_DECISIVE = frozenset({FOLDER_FIELD, PURPOSE_FIELD, CLASS_FIELD})
_ANY_TYPE = "application/octet-stream"


class Kept(NamedTuple):
    """What S3 has."""

    key: str
    content_type: str
    stored: StoredObject


class _Place(NamedTuple):
    """Where a file goes, as what, and how long it may be."""

    key: str
    content_type: str
    metadata: Mapping[str, str]
    max_bytes: int


async def keep(
    bucket: Bucket, incoming: Incoming, user_id: str, table: Mapping[str, Purpose], *, on_disk: bool
) -> Kept:
    """Store the form's file under its purpose's key, or under `{folder}/{user}/{id}.{ext}`.

    With `purpose` or `folder` in front of the file its bytes go straight on; else they are spooled until it is known.
    If this raises, nothing is left in S3. Raises `MalformedForm`, `InvalidRequest`, `InvalidFilename`, `InvalidKey`,
    `InvalidMetadata`, `UnsupportedFileType`, `EmptyFile`, `FileTooLarge`, and the problems of S3.
    """
    if not await incoming.reach_file():
        await incoming.finish()
        raise InvalidRequest(
            "The form lacks its file. Send it as `file`; in curl: -F file=@cat.jpg.",
            errors=[{"field": FILE_FIELD, "message": "missing"}],
        )
    keys.check_filename(incoming.filename)
    in_front = _DECISIVE & incoming.fields.keys()
    if not in_front - {CLASS_FIELD}:
        form = await receive(incoming, on_disk=on_disk)
        assert form.file is not None  # noqa: S101  it was reached
        with form.file as file:
            return await _store(bucket, incoming, user_id, table, _read(file), expected_bytes=form.size_bytes)
    length = incoming.length_if_last()
    kept = await _store(bucket, incoming, user_id, table, incoming.chunks(), expected_bytes=length)
    try:
        await incoming.finish()
        if late := (_DECISIVE & incoming.fields.keys()) - in_front:
            raise MalformedForm(f"Put {' and '.join(sorted(late))} in front of the file; nothing was stored.")
    except Exception:
        async with translated():
            await objects.delete(bucket, kept.key)
        raise
    return kept


async def _store(
    bucket: Bucket,
    incoming: Incoming,
    user_id: str,
    table: Mapping[str, Purpose],
    chunks: AsyncIterator[memoryview],
    *,
    expected_bytes: int | None,
) -> Kept:
    now = datetime.now(UTC)
    place = _place(incoming, user_id, table, now)
    headers = {
        "Content-Type": place.content_type,
        **metadata.headers_of(
            place.metadata, user_id=user_id, filename=incoming.filename, content_type=place.content_type, now=now
        ),
        **bucket.at_rest(place.key),
    }
    async with aclosing(chunks), aclosing(_up_to(place.max_bytes, chunks)) as stream, translated():  # type: ignore[type-var]
        try:
            stored = await uploading.store(bucket, place.key, stream, headers, expected_bytes=expected_bytes)
        except uploading.NothingSent:
            raise EmptyFile("The file is empty; nothing was stored. Choose a file with content.") from None
        except uploading.TooManyParts:
            raise FileTooLarge(
                "The file is longer than the form announced, and too long to go on. Send the form with a "
                "Content-Length.",
                max_bytes=S3_OBJECT_MAX_BYTES,
            ) from None
    audit.note("store", place.key, purpose=incoming.fields.get(PURPOSE_FIELD), size_bytes=stored.size_bytes)
    return Kept(place.key, place.content_type, stored)


def _place(incoming: Incoming, user_id: str, table: Mapping[str, Purpose], now: datetime) -> _Place:
    fields = incoming.fields
    content_type = incoming.content_type or _ANY_TYPE
    given = {CLASS_FIELD: fields[CLASS_FIELD]} if fields.get(CLASS_FIELD) else {}
    if not fields.get(PURPOSE_FIELD):
        key = keys.make_in(fields.get(FOLDER_FIELD, ""), user_id=user_id, ext=keys.extension(incoming.filename))
        return _Place(key, content_type, given, S3_OBJECT_MAX_BYTES)
    if fields.get(FOLDER_FIELD):
        raise InvalidRequest(
            "A purpose has a folder of its own. Send purpose or folder, not both.",
            errors=[{"field": FOLDER_FIELD, "message": "not together with purpose"}],
        )
    purpose = checks.purpose(fields[PURPOSE_FIELD], table)
    key = keys.make(
        purpose,
        user_id=user_id,
        ext=checks.file_type(purpose, content_type, incoming.filename),
        class_id=checks.class_id(purpose, given),
        now=now,
    )
    return _Place(key, content_type, given, purpose.max_bytes)


async def _up_to(max_bytes: int, chunks: AsyncIterator[memoryview]) -> AsyncIterator[memoryview]:
    """The same chunks. Raises `FileTooLarge` when they are more than the purpose takes."""
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        if received > max_bytes:
            raise FileTooLarge(
                f"The file is longer than the {max_bytes} bytes that its purpose takes; it is not kept.",
                max_bytes=max_bytes,
            )
        yield chunk


async def _read(file: BinaryIO) -> AsyncIterator[memoryview]:
    while chunk := file.read(CHUNK_BYTES):
        yield memoryview(chunk)
