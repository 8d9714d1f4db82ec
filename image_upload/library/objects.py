"""The library without HTTP: store, read, describe, list and delete objects by typed functions.

docs/library.md has examples. The functions raise the errors of `image_upload.errors`, as the routes answer them.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, NamedTuple, Self

from image_upload.auth.principals import ANONYMOUS_ID
from image_upload.completion.announcement import facts_of, owner_of
from image_upload.completion.confirmation import Confirmation, confirm
from image_upload.completion.context import CompletionContext
from image_upload.completion.rejection import rejection
from image_upload.domain import checks, keys, metadata, purposes
from image_upload.errors import (
    AlreadyExists,
    EmptyFile,
    FileTooLarge,
    ObjectMissing,
    StorageUnavailable,
    UploadRejected,
)
from image_upload.library.disposition import content_disposition
from image_upload.library.integrity import Fingerprint, fingerprint_of
from image_upload.library.listing import list_own
from image_upload.library.pages import FilePage, PageTokens, invalid
from image_upload.limits import CHECKING_ASKED_S, LIST_MAX_KEYS, PRESIGN_MAX_S, SCAN_WAIT_S, SWEEP_BATCH
from image_upload.s3 import objects, transfer
from image_upload.s3.errors import map_s3_errors
from image_upload.s3.objects import StoredObject
from image_upload.s3.part_reader import FileSource
from image_upload.settings import Settings, load

LIST_DEFAULT_KEYS = 100
FILE_URL_EXPIRES_S = 3600
# The metadata name of the owner tag of objects whose key has none: existing objects carry it, and stores keep hyphens.
OWNER_TAG = "owner-mark"
# Replaces the user id in tokens for pages of all objects. No user has this id.
_ALL = ""


# What is known of a file of a checked purpose.
ArrivalState = Literal["stored", "checking", "missing"]


class FileUrl(NamedTuple):
    """A presigned GET. `expires_s` is shorter than requested if the service's credentials expire before."""

    url: str
    expires_s: int


class Library:
    """The objects of the context's bucket. Close the connections with `aclose`, or use `async with`."""

    def __init__(self, context: CompletionContext, page_tokens: PageTokens) -> None:
        self._context = context
        self._bucket = context.bucket
        self._page_tokens = page_tokens

    @classmethod
    def of(cls, settings: Settings | Mapping[str, str]) -> "Library":
        """Return the library for the bucket of settings, or of a mapping like `os.environ`. Raises `SettingsError`."""
        known = settings if isinstance(settings, Settings) else load(settings, serving=False)
        return cls(CompletionContext(known), PageTokens(known.auth))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections to S3, and to the database if it counted quotas."""
        await self._context.aclose()

    async def upload_file(
        self,
        path: str | PathLike[str],
        key: str,
        content_type: str = "application/octet-stream",
        *,
        user_id: str = ANONYMOUS_ID,
        extra_metadata: Mapping[str, str] | None = None,
        verify: bool = False,
    ) -> StoredObject:
        """Store a file under a key, compared by its SHA-256; return the stored object.

        It is sent in parts of 8 MiB, several at once, in constant memory. Its metadata has `user_id`,
        `original_filename`, `content_type`, `upload_timestamp` and `extra_metadata` (such as `class_id`). It gets the
        storage class and encryption of its purpose. If this raises, S3 has nothing of the file.

        The file is trusted, and replaces an earlier one. With `verify` it arrives as a client's does where the service
        verifies or scans files of this key, and what was published of it is returned; while another process looks at
        it, the arrival. If S3 fails meanwhile, it stays there until the sweep. Raises `UploadRejected`, and
        `AlreadyExists` for a key that has an object: what is verified replaces none.
        """
        upload_key = self._context.arrivals.upload_key(keys.check(key)) if verify else keys.check(key)
        path = Path(path)
        metadata_headers = metadata.headers_of(
            {**(extra_metadata or {}), OWNER_TAG: keys.owner_tag(user_id)},
            user_id=user_id,
            filename=keys.check_filename(path.name),
            content_type=content_type,
            now=datetime.now(UTC),
        )
        headers = {"Content-Type": content_type, **metadata_headers, **self._bucket.storage_headers(upload_key)}
        with await asyncio.to_thread(path.open, "rb", buffering=0) as file:
            size_bytes = os.fstat(file.fileno()).st_size
            source = FileSource(file, size_bytes)
            async with map_s3_errors():
                if upload_key != key and await objects.head(self._bucket, key) is not None:
                    raise AlreadyExists("There is an object under this key. Choose another one, or delete the object.")
                try:
                    stored = await transfer.store(self._bucket, upload_key, source, headers, expected_bytes=size_bytes)
                except transfer.NothingSent:
                    raise EmptyFile from None
        return stored if upload_key == key else (await self.arrival(key, SCAN_WAIT_S)).stored or stored

    async def download_file(self, key: str, path: str | PathLike[str]) -> StoredObject:
        """Write an object of any size into a file, in constant memory; return its description.

        The file gets its name when it is complete and compared with the digest that S3 stores. Until then, and if this
        raises, a file of that name is unchanged. After a broken connection the download continues.

        Raises `ObjectMissing`; `StorageUnavailable`, also if the bytes do not match S3's digest.
        """
        stored = await self.get_file_metadata(key)
        path = Path(path)
        # In the target's folder, so that the rename stays within one file system.
        partial = path.with_name(f".{secrets.token_hex(8)}.part")
        file = await asyncio.to_thread(partial.open, "xb")
        try:
            with file:
                await self._receive(key, stored, file)
            await asyncio.to_thread(partial.replace, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                partial.unlink()
            raise
        return stored

    async def _receive(self, key: str, stored: StoredObject, file: BinaryIO) -> None:
        fingerprint = await self._fingerprint(key, stored)

        def take(chunk: bytes) -> None:
            file.write(chunk)
            if fingerprint is not None:
                fingerprint.update(chunk)

        async with map_s3_errors(), aclosing(objects.read(self._bucket, stored)) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(take, chunk)
        if fingerprint is not None and not fingerprint.matches():
            raise StorageUnavailable(
                "The bytes of {key} are not those that S3 was given. Try again; if it stays, the object is damaged.",
                facts={"key": key},
                upstream_code="BadDigest",
            )

    async def _fingerprint(self, key: str, stored: StoredObject) -> "Fingerprint | None":
        first = None
        if stored.sha256 is not None and stored.in_parts:
            async with map_s3_errors():
                first = await objects.head(self._bucket, key, part=1)
        return fingerprint_of(stored, first.size_bytes if first else None)

    async def delete_file(self, key: str) -> None:
        """Delete an object, and give back what it held of its user's total quota.

        A missing object is no error. In a versioned bucket earlier versions stay.
        """
        keys.check(key)
        async with map_s3_errors():
            if self._context.arrivals.takes(key):
                await self._context.arrivals.forget(key)
            await objects.delete(self._bucket, key)
        await self._context.quotas.release(key)

    async def arrival(self, key: str, wait_s: float = 0.0) -> Confirmation:
        """Confirm what was sent for a key, and publish it if that is due; wait for its verification up to `wait_s`.

        Raises `UploadRejected`, `ObjectMissing`, the problems of S3.
        """
        keys.check(key)
        until = time.monotonic() + wait_s
        while True:
            confirmation = await confirm(self._context, key, row="if_reachable")
            if not confirmation.is_checking or (left_s := until - time.monotonic()) <= 0:
                break
            # Another process verifies it, and S3 tells only who asks.
            await asyncio.sleep(min(left_s, CHECKING_ASKED_S))  # before S3 is asked again
        if confirmation.fault is not None:
            raise rejection(confirmation.fault, confirmation.why)
        if confirmation.stored is None:
            return confirmation._replace(stored=await self.get_file_metadata(key))
        return confirmation

    def receipt(self, confirmation: Confirmation) -> str | None:
        """Return the signed receipt of what `arrival` has confirmed; None without JWT_SECRET."""
        assert confirmation.stored is not None
        return self._context.receipt(facts_of(confirmation.stored, confirmation.record, self._bucket.purposes))

    async def scan(self, key: str, user_id: str) -> str:
        """Queue the task of a stored file for a worker; return the id of its job, the same for each call.

        `user_id` is the file's user where neither row, metadata nor key tell it. Raises what `arrival` raises,
        `QueueNotConfigured`, `QueueUnavailable`.
        """
        confirmation = await self.arrival(key)
        if confirmation.stored is None or confirmation.is_checking:
            raise ObjectMissing("The file is not verified yet. Try again in a moment.", headers={"Retry-After": "2"})
        owner_id = owner_of(confirmation.stored, confirmation.record, self._bucket.purposes)
        return await self._context.tasks.queue(confirmation.stored, owner_id or user_id)

    async def published(self, key: str) -> ArrivalState | None:
        """Publish the file of a checked purpose, if that is due; return its state. None: its purpose is not checked.

        Raises `UploadRejected`, the problems of S3.
        """
        if not self._context.arrivals.takes(keys.check(key)):
            return None
        async with map_s3_errors():
            if await objects.head(self._bucket, key) is not None:
                return "stored"
        try:
            return "checking" if (await self.arrival(key)).is_checking else "stored"
        except ObjectMissing:
            return "missing"

    async def get_file_url(
        self,
        key: str,
        expires_in: int = FILE_URL_EXPIRES_S,
        *,
        as_download: bool = False,
        filename: str | None = None,
    ) -> FileUrl:
        """Return a presigned GET for `expires_in` seconds (at most seven days), whether or not the object exists.

        S3 is asked only about an upload without a size: one above its limit is removed. Raises `FileTooLarge` then.
        With `as_download` browsers save the file, under `filename` if one is given. They also save every file that is
        not a picture, because a stored page would run on the bucket's host. `<img>` and `<audio>` work anyway.
        """
        keys.check(key)
        _check_expiry(expires_in)
        name = keys.check_filename(filename) if filename is not None else None
        await self._check_size(key)
        purpose = purposes.of_key(keys.published(key), self._bucket.purposes.every())
        is_picture = purpose is not None and purpose.holds_pictures
        disposition = content_disposition(name, attachment=as_download or not is_picture)
        presigner = await self._bucket.presigner(expires_in)
        url = presigner.url("GET", key, query={"response-content-disposition": disposition} if disposition else None)
        return FileUrl(url, presigner.validity.seconds)

    async def _check_size(self, key: str, found: StoredObject | None = None) -> None:
        """Remove an object that is larger than its key allows, and raise `FileTooLarge`. `found` is S3's answer."""
        max_bytes = keys.max_bytes_in(key)
        if max_bytes is None:
            return
        if found is None:
            async with map_s3_errors():
                found = await objects.head(self._bucket, key)
        if found is not None and found.size_bytes > max_bytes:
            await confirm(self._context, key, row="if_reachable", found=found)
            raise checks.too_large(found.size_bytes, max_bytes)

    async def get_upload_url(
        self, key: str, expires_in: int = FILE_URL_EXPIRES_S, content_type: str | None = None
    ) -> FileUrl:
        """Return a presigned PUT for `expires_in` seconds (at most seven days). With a type, S3 takes no other.

        Length and checksum are not signed: `POST /uploads` signs them. Where files of this key are verified or scanned,
        the URL leads to where they arrive: call `arrival` once the file was sent.
        """
        upload_key = self._context.arrivals.upload_key(keys.check(key))
        _check_expiry(expires_in)
        presigner = await self._bucket.presigner(expires_in)
        url = presigner.url("PUT", upload_key, headers={"Content-Type": content_type} if content_type else None)
        return FileUrl(url, presigner.validity.seconds)

    def cdn_url(self, key: str) -> str | None:
        """Return the key's URL on the CDN; None if it has none."""
        return self._bucket.cdn_url(key)

    async def get_file_metadata(self, key: str) -> StoredObject:
        """Return an object's description by S3, published on the way where that is due.

        Raises `ObjectMissing`, `UploadRejected`, `FileTooLarge` as `get_file_url` does.
        """
        stored = await self._look(key)
        if stored is None:
            raise missing()
        return stored

    async def owner_tag(self, key: str) -> str | None:
        """Return the owner tag in an object's metadata, which `upload_file` writes; None without object or tag.

        The metadata `user_id` does not count: other programs write it too, for users of their own.
        """
        keys.check(key)
        async with map_s3_errors():
            stored = await objects.head(self._bucket, key)
        return None if stored is None else stored.metadata.get(OWNER_TAG)

    async def file_exists(self, key: str) -> bool:
        """Return whether the object exists. Raises if S3 refuses or does not answer."""
        try:
            return await self._look(key) is not None
        except (FileTooLarge, UploadRejected):  # it was removed
            return False

    async def _look(self, key: str) -> "StoredObject | None":
        keys.check(key)
        async with map_s3_errors():
            stored = await objects.head(self._bucket, key, checksums=True)
            # S3 answers 404 for a missing bucket too, and a HEAD has no body that distinguishes them.
            if stored is None and await self._bucket.state() == "missing":
                raise StorageUnavailable(
                    "The service's bucket does not exist. Its operator corrects S3_BUCKET_NAME.",
                    upstream_code="NoSuchBucket",
                )
        if stored is None and self._context.arrivals.takes(key):
            stored = await self._arrived(key)
        if stored is not None:
            await self._check_size(key, stored)
        return stored

    async def _arrived(self, key: str) -> StoredObject | None:
        """Publish what has arrived for a key, if that is due; return it. Raises `UploadRejected`."""
        confirmation = await confirm(self._context, key, row="if_reachable")
        if confirmation.fault is not None:
            raise rejection(confirmation.fault, confirmation.why)
        return None if confirmation.is_checking else confirmation.stored

    async def list_files(
        self, prefix: str = "", max_keys: int = LIST_DEFAULT_KEYS, continuation_token: str | None = None
    ) -> FilePage:
        """Return up to `max_keys` (1 to 1,000) objects with a prefix, in the order of their keys' UTF-8 bytes.

        `continuation_token` is the `next_token` of the page before, for the same prefix.
        """
        if prefix:
            keys.check(prefix)
        if not 1 <= max_keys <= LIST_MAX_KEYS:
            raise invalid("max_keys", f"not between 1 and {LIST_MAX_KEYS}")
        after = self._page_tokens.read(continuation_token, _ALL, prefix) if continuation_token is not None else ""
        async with map_s3_errors():
            page = await objects.page(self._bucket, prefix, after=after, max_keys=max_keys)
        more = page.more and bool(page.objects)
        token = self._page_tokens.issue(page.objects[-1].key, _ALL, prefix) if more else None
        return await self._within_limits(FilePage(page.objects, token))

    async def list_own(
        self, user_id: str, prefix: str, max_keys: int, continuation_token: str | None, *, with_untagged: bool
    ) -> FilePage:
        """Return a page of one user's objects; see `listing.list_own`."""
        return await self._within_limits(
            await list_own(
                self._bucket,
                user_id,
                prefix,
                max_keys,
                continuation_token,
                tokens=self._page_tokens,
                with_untagged=with_untagged,
            )
        )

    async def _within_limits(self, page: FilePage) -> FilePage:
        """Return the page without objects that are larger than their keys allow. Remove the first of those."""
        larger = [each for each in page.files if each.size_bytes > (keys.max_bytes_in(each.key) or each.size_bytes)]
        # As many as one sweep asks about at once. The next listing takes the others.
        await asyncio.gather(*(confirm(self._context, each.key, row="if_reachable") for each in larger[:SWEEP_BATCH]))
        return page._replace(files=[each for each in page.files if each not in larger]) if larger else page


def missing(concealed_key: str | None = None) -> ObjectMissing:
    """Return the problem of an object that does not exist, or that belongs to another user (`concealed_key`)."""
    return ObjectMissing(
        "There is no such object of yours. Compare the key with the one you were given.", concealed_key=concealed_key
    )


def _check_expiry(expires_in: int) -> None:
    if not 1 <= expires_in <= PRESIGN_MAX_S:
        raise invalid("expires_in", f"not between 1 and {PRESIGN_MAX_S} seconds")
