"""Store a form's file in the service's bucket: `POST /api/v1/s3/upload`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from image_upload.auth.permissions import check_purpose
from image_upload.auth.principals import Principal
from image_upload.completion.confirmation import confirm
from image_upload.completion.context import CompletionContext
from image_upload.completion.rejection import rejection
from image_upload.domain import checks, keys, metadata, purposes
from image_upload.errors import (
    EmptyFile,
    FileTooLarge,
    InvalidKey,
    MalformedForm,
    UnsupportedFileType,
    ValidationFailed,
)
from image_upload.form_proxy.form import CLASS_FIELD, FILE_FIELD, FOLDER_FIELD, PURPOSE_FIELD, Incoming
from image_upload.form_proxy.spool import SpoolBudgets, pieces, receive
from image_upload.limits import MULTIPART_URL_EXPIRES_S, S3_OBJECT_MAX_BYTES
from image_upload.s3 import objects, transfer
from image_upload.s3.errors import map_s3_errors
from image_upload.s3.objects import StoredObject
from image_upload.s3.part_reader import ChunkSource
from image_upload.telemetry import audit

if TYPE_CHECKING:
    from image_upload.auth.authorization import Authorization

# The fields that decide the key and the object's headers. They must be known before the first byte is sent.
_DECISIVE = frozenset({FOLDER_FIELD, PURPOSE_FIELD, CLASS_FIELD})
_ANY_TYPE = "application/octet-stream"
# A reservation lasts this long, in case the process dies before it settles it.
_RESERVED_S = MULTIPART_URL_EXPIRES_S


class StoredFile(NamedTuple):
    """The stored file, as S3 describes it. `is_checking`: it has arrived, and is not verified yet."""

    key: str
    content_type: str
    stored: StoredObject
    success_url: str | None = None
    is_checking: bool = False


class _Destination(NamedTuple):
    """The key and headers of a file, the key to store it under at first, and its longest length in bytes."""

    key: str
    upload_key: str
    headers: Mapping[str, str]
    max_bytes: int


async def store_form(
    context: CompletionContext,
    incoming: Incoming,
    principal: Principal,
    authorization: "Authorization | None",
    budgets: SpoolBudgets | None,
) -> StoredFile:
    """Store the form's file under its purpose's key, or under `{folder}/{user}/{id}.{ext}`.

    With `purpose` or `folder` in front of the file, its bytes are sent as they arrive; else the file is spooled first.
    If this raises, S3 has nothing of the file. Raises `MalformedForm`, `ValidationFailed`, `InvalidFilename`,
    `InvalidKey`, `InvalidMetadata`, `ScopeMissing`, `UploadRefused`, `AuthorizationUnavailable`,
    `UnsupportedFileType`, `EmptyFile`, `FileTooLarge`, and the problems of S3.
    """
    if not await incoming.reach_file():
        await incoming.finish()
        raise ValidationFailed(
            "The form lacks its file. Send it as `file`; in curl: -F file=@cat.jpg.",
            errors=[{"field": FILE_FIELD, "message": "missing"}],
        )
    keys.check_filename(incoming.filename)
    in_front = _DECISIVE & incoming.fields.keys()
    if not in_front - {CLASS_FIELD}:
        form = await receive(incoming, budgets)
        assert form.file is not None  # it was reached
        with closing(form):
            destination = await _destination(context, incoming, principal, authorization, form.size_bytes)
            kept = await _store(context, incoming, destination, pieces(form.file), expected_bytes=form.size_bytes)
        return await _confirmed(context, kept)
    length = incoming.length_if_last()
    destination = await _destination(context, incoming, principal, authorization, length)
    kept = await _store(context, incoming, destination, incoming.chunks(), expected_bytes=length)
    try:
        await incoming.finish()
        if late := (_DECISIVE & incoming.fields.keys()) - in_front:
            raise MalformedForm(f"Put {' and '.join(sorted(late))} in front of the file; nothing was stored.")
    except Exception:
        async with map_s3_errors():
            await objects.delete(context.bucket, context.arrivals.upload_key(kept.key))
            # An event of S3 may have published it already.
            await objects.delete(context.bucket, kept.key)
        await context.quotas.settle(kept.key, None)
        raise
    return await _confirmed(context, kept)


async def _confirmed(context: CompletionContext, kept: StoredFile) -> StoredFile:
    """Return the file after `confirm`. Raises `UploadRejected` for one that verification keeps out."""
    confirmation = await confirm(context, kept.key, row="none", found=kept.stored, is_over=True, is_news=True)
    if confirmation.fault is not None:
        raise rejection(confirmation.fault, confirmation.why)
    if confirmation.is_checking:
        return kept._replace(is_checking=True)
    stored = confirmation.stored or kept.stored
    return kept._replace(content_type=stored.content_type, stored=stored) if stored is not kept.stored else kept


async def _store(
    context: CompletionContext,
    incoming: Incoming,
    destination: _Destination,
    chunks: AsyncIterator[memoryview],
    *,
    expected_bytes: int | None,
) -> StoredFile:
    most_bytes = destination.max_bytes if expected_bytes is None else expected_bytes
    await context.quotas.reserve(destination.key, most_bytes, datetime.now(UTC) + timedelta(seconds=_RESERVED_S))
    try:
        bounded = checks.up_to(destination.max_bytes, chunks)
        # type: an AsyncIterator here, which its callers make by a generator
        async with aclosing(chunks), aclosing(bounded) as stream, map_s3_errors():  # type: ignore[type-var]  # `aclose` is all that it asks for
            stored = await transfer.store(
                context.bucket,
                destination.upload_key,
                ChunkSource(stream),
                destination.headers,
                expected_bytes=expected_bytes,
            )
    except BaseException as error:
        await asyncio.shield(context.quotas.settle(destination.key, None))
        if isinstance(error, transfer.NothingSent):
            raise EmptyFile from None
        if isinstance(error, transfer.TooManyParts):
            raise FileTooLarge(
                "The file is longer than the form announced, and too long to go on. Send the form with a "
                "Content-Length.",
                max_bytes=S3_OBJECT_MAX_BYTES,
            ) from None
        raise
    audit.record("store", destination.key, purpose=incoming.fields.get(PURPOSE_FIELD), size_bytes=stored.size_bytes)
    return StoredFile(destination.key, destination.headers["Content-Type"], stored)


async def _destination(
    context: CompletionContext,
    incoming: Incoming,
    principal: Principal,
    authorization: "Authorization | None",
    size_bytes: int | None,
) -> _Destination:
    now, fields = datetime.now(UTC), incoming.fields
    content_type = incoming.content_type or checks.usual_type(incoming.filename) or _ANY_TYPE
    class_metadata = {CLASS_FIELD: fields[CLASS_FIELD]} if fields.get(CLASS_FIELD) else {}
    purpose = None
    if not fields.get(PURPOSE_FIELD):
        max_bytes = S3_OBJECT_MAX_BYTES
        folder = _folder(context, fields.get(FOLDER_FIELD, ""), content_type, incoming.filename)
        purpose = purposes.of_key(f"{folder}/", context.bucket.purposes.named.values())
        if purpose is not None:
            check_purpose(principal, purpose)
        key = keys.make_in(folder, user_id=principal.user_id, ext=keys.extension(incoming.filename))
    elif fields.get(FOLDER_FIELD):
        raise ValidationFailed(
            "A purpose has a folder of its own. Send purpose or folder, not both.",
            errors=[{"field": FOLDER_FIELD, "message": "not together with purpose"}],
        )
    else:
        purpose = check_purpose(principal, checks.purpose(fields[PURPOSE_FIELD], context.bucket.purposes))
        max_bytes, folder = purpose.max_bytes, purpose.prefix.rstrip("/")
        key = keys.make(
            purpose,
            user_id=principal.user_id,
            ext=checks.file_type(purpose, content_type, incoming.filename),
            class_id=checks.class_id(purpose, class_metadata),
            now=now,
        )
    given = class_metadata
    if authorization is not None:
        narrowed = await authorization.check(
            principal,
            purpose=None if purpose is None else purpose.name,
            folder=folder,
            content_type=content_type,
            filename=incoming.filename,
            size_bytes=size_bytes,
            max_bytes=max_bytes,
            metadata=class_metadata,
        )
        max_bytes = min(max_bytes, narrowed.max_bytes or max_bytes)
        given = class_metadata | dict(narrowed.metadata or {})
    metadata_headers = metadata.headers_of(
        given, user_id=principal.user_id, filename=incoming.filename, content_type=content_type, now=now
    )
    upload_key = context.arrivals.upload_key(key)
    return _Destination(
        key,
        upload_key,
        {"Content-Type": content_type, **metadata_headers, **context.bucket.storage_headers(upload_key)},
        max_bytes,
    )


def _folder(context: CompletionContext, named: str, content_type: str, filename: str) -> str:
    """Return the folder for a form's file: the one that it names, else the default one for its type.

    A folder that a CDN serves is public. It takes only its purpose's types, and no subfolder, which could look like
    another user's. Raises `UnsupportedFileType`, `InvalidKey`.
    """
    folder = named.strip("/") or keys.DEFAULT_FOLDER
    purpose = purposes.of_key(f"{folder}/", context.bucket.purposes.named.values())
    if purpose is None or not purpose.cdn:
        return folder
    try:
        checks.file_type(purpose, content_type, filename)
    except UnsupportedFileType:
        if named.strip("/"):
            raise
        return keys.OTHER_FOLDER
    if f"{folder}/" != purpose.prefix:
        raise InvalidKey(
            f"The folder {purpose.prefix} is public and takes no folders of yours inside it. Name it alone."
        )
    return folder
