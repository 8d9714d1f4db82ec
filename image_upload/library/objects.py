"""The library without HTTP: what can be done with stored objects, as typed functions.

docs/library.md shows it in use. Errors are those of `image_upload.errors`, as the routes answer them.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

from image_upload.auth.principals import ANONYMOUS_ID
from image_upload.domain import keys, metadata, purposes
from image_upload.errors import EmptyFile, ObjectMissing, StorageUnavailable
from image_upload.library.disposition import content_disposition
from image_upload.library.pages import FilePage, PageTokens, invalid
from image_upload.limits import LIST_MAX_KEYS, PRESIGN_MAX_S
from image_upload.s3 import objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import map_s3_errors
from image_upload.settings import Settings, load

if TYPE_CHECKING:
    from image_upload.library.integrity import Fingerprint
    from image_upload.s3.objects import StoredObject

LIST_DEFAULT_KEYS = 100
FILE_URL_EXPIRES_S = 3600
_READ_BYTES = 1024 * 1024
# The metadata under which an object says whose it is, where its key does not. A hyphen comes back from every store.
OWNER_MARK = "owner-mark"
# In the place of a user id in tokens for pages of everybody's objects: no user has it.
_ALL = ""


class FileUrl(NamedTuple):
    """A presigned GET. `expires_s` is shorter than was asked for where the service's credentials end before."""

    url: str
    expires_s: int


class Library:
    """The objects of one bucket. Open connections end with `aclose`, or with the `async with` block."""

    def __init__(self, bucket: Bucket, page_tokens: PageTokens) -> None:
        self._bucket = bucket
        self._page_tokens = page_tokens

    @classmethod
    def of(cls, settings: Settings | Mapping[str, str]) -> "Library":
        """The library over the bucket of settings, or of a mapping shaped like `os.environ`. Raises `SettingsError`."""
        known = settings if isinstance(settings, Settings) else load(settings, serving=False)
        return cls(Bucket(known), PageTokens(known))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections to S3."""
        await self._bucket.aclose()

    async def upload_file(
        self,
        path: str | PathLike[str],
        key: str,
        content_type: str = "application/octet-stream",
        *,
        user_id: str = ANONYMOUS_ID,
        extra_metadata: Mapping[str, str] | None = None,
    ) -> "StoredObject":
        """Store a file under a key: what S3 has then, every byte compared by its SHA-256.

        In parts of 8 MiB, several at once, in constant memory. The object carries `user_id`, `original_filename`,
        `content_type`, `upload_timestamp` and `extra_metadata` (such as `class_id`), and gets the storage class and
        encryption of its purpose. If this raises, nothing of the file is in S3.
        """
        from image_upload.s3 import transfer  # hashlib's threads are not the routes' to pay

        keys.check(key)
        path = Path(path)
        told = metadata.headers_of(
            {**(extra_metadata or {}), OWNER_MARK: keys.mark(user_id)},
            user_id=user_id,
            filename=keys.check_filename(path.name),
            content_type=content_type,
            now=datetime.now(UTC),
        )
        headers = {"Content-Type": content_type, **told, **self._bucket.at_rest(key)}
        with await asyncio.to_thread(path.open, "rb") as file:
            async with aclosing(_chunks(file)) as chunks, map_s3_errors():
                try:
                    return await transfer.store(self._bucket, key, chunks, headers, expected_bytes=path.stat().st_size)
                except transfer.NothingSent:
                    raise EmptyFile from None

    async def download_file(self, key: str, path: str | PathLike[str]) -> "StoredObject":
        """Write an object into a file: the object as it was described before. Constant memory, any size.

        The file appears under its name when it is whole and compared with the digest that S3 keeps; until then, and
        if this raises, there is what was there before. A broken connection is gone on with.
        Raises `ObjectMissing`, `StorageUnavailable` also for other bytes than S3 had been given.
        """
        stored = await self.get_file_metadata(key)
        path = Path(path)
        # Beside its goal, so that the rename stays within one file system.
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

    async def _receive(self, key: str, stored: "StoredObject", file: BinaryIO) -> None:
        fingerprint = await self._fingerprint(key, stored)

        def take(chunk: bytes) -> None:
            file.write(chunk)
            if fingerprint is not None:
                fingerprint.update(chunk)

        async with map_s3_errors(), aclosing(objects.read(self._bucket, key, stored)) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(take, chunk)
        if fingerprint is not None and not fingerprint.matches():
            raise StorageUnavailable(
                "The bytes of {key} are not those that S3 was given. Try again; if it stays, the object is damaged.",
                facts={"key": key},
                upstream_code="BadDigest",
            )

    async def _fingerprint(self, key: str, stored: "StoredObject") -> "Fingerprint | None":
        from image_upload.library.integrity import fingerprint_of  # only downloads need it

        first = None
        if stored.sha256 is not None and "-" in stored.sha256 + stored.etag:
            async with map_s3_errors():
                first = await objects.head(self._bucket, key, part=1)
        return fingerprint_of(stored, first.size_bytes if first else None)

    async def delete_file(self, key: str) -> None:
        """Delete an object; nothing there is no error. In a bucket with versions the earlier ones stay."""
        keys.check(key)
        async with map_s3_errors():
            await objects.delete(self._bucket, key)

    async def get_file_url(
        self,
        key: str,
        expires_in: int = FILE_URL_EXPIRES_S,
        *,
        as_download: bool = False,
        filename: str | None = None,
    ) -> FileUrl:
        """A presigned GET for `expires_in` seconds (at most seven days), whether or not the object exists.

        `as_download` makes browsers save the file, under `filename` where one is given. So does every key that is not
        a picture's: a page shown from the bucket's host could run there. `<img>` and `<audio>` play it all the same.
        """
        keys.check(key)
        _check_expiry(expires_in)
        name = keys.check_filename(filename) if filename is not None else None
        purpose = purposes.of_key(key, purposes.every())
        is_picture = purpose is not None and all(each.startswith("image/") for each in purpose.types)
        disposition = content_disposition(name, attachment=as_download or not is_picture)
        presigner = await self._bucket.presigner(expires_in)
        url = presigner.url("GET", key, query={"response-content-disposition": disposition} if disposition else None)
        return FileUrl(url, presigner.validity.seconds)

    async def get_upload_url(
        self, key: str, expires_in: int = FILE_URL_EXPIRES_S, content_type: str | None = None
    ) -> FileUrl:
        """A presigned PUT for `expires_in` seconds (at most seven days). With a type, S3 takes no other.

        Length and checksum are not signed: `POST /uploads` signs them.
        """
        keys.check(key)
        _check_expiry(expires_in)
        presigner = await self._bucket.presigner(expires_in)
        url = presigner.url("PUT", key, headers={"Content-Type": content_type} if content_type else None)
        return FileUrl(url, presigner.validity.seconds)

    def cdn_url(self, key: str) -> str | None:
        """The key's address on the CDN, None where it has none."""
        return self._bucket.cdn_url(key)

    async def get_file_metadata(self, key: str) -> "StoredObject":
        """What S3 says of an object. Raises `ObjectMissing`."""
        stored = await self._look(key)
        if stored is None:
            raise missing()
        return stored

    async def owner_mark(self, key: str) -> str | None:
        """The mark of the owner in an object's metadata, which `upload_file` writes; None without object or mark.

        The `user_id` in metadata does not count: other programs write theirs into it, and mean their own users.
        """
        keys.check(key)
        async with map_s3_errors():
            stored = await objects.head(self._bucket, key)
        return None if stored is None else stored.metadata.get(OWNER_MARK)

    async def file_exists(self, key: str) -> bool:
        """Whether there is such an object. A refusal or silence of S3 is an error, never False."""
        return await self._look(key) is not None

    async def _look(self, key: str) -> "StoredObject | None":
        keys.check(key)
        async with map_s3_errors():
            stored = await objects.head(self._bucket, key, checksums=True)
            # S3 says 404 for a bucket that is not there, too, and HEAD has no body that would tell.
            if stored is None and await self._bucket.state() == "missing":
                raise StorageUnavailable(
                    "The service's bucket does not exist. Its operator corrects S3_BUCKET_NAME.",
                    upstream_code="NoSuchBucket",
                )
            return stored

    async def list_files(
        self, prefix: str = "", max_keys: int = LIST_DEFAULT_KEYS, continuation_token: str | None = None
    ) -> FilePage:
        """Up to `max_keys` (1 to 1,000) objects whose keys begin with a prefix, in the order of their UTF-8 bytes.

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
        return FilePage(page.objects, self._page_tokens.issue(page.objects[-1].key, _ALL, prefix) if more else None)

    async def list_own(
        self, user_id: str, prefix: str, max_keys: int, continuation_token: str | None, *, with_unmarked: bool
    ) -> FilePage:
        """A page of the objects of one user; see `listing.list_own`."""
        from image_upload.library.listing import list_own  # minting does not list

        return await list_own(
            self._bucket,
            user_id,
            prefix,
            max_keys,
            continuation_token,
            tokens=self._page_tokens,
            with_unmarked=with_unmarked,
        )


def missing(hides: str | None = None) -> ObjectMissing:
    """The problem of an object that is not there, and of one that is somebody else's (`hides`)."""
    return ObjectMissing("There is no such object of yours. Compare the key with the one you were given.", hides=hides)


def _check_expiry(expires_in: int) -> None:
    if not 1 <= expires_in <= PRESIGN_MAX_S:
        raise invalid("expires_in", f"not between 1 and {PRESIGN_MAX_S} seconds")


async def _chunks(file: BinaryIO) -> AsyncGenerator[memoryview, None]:
    while chunk := await asyncio.to_thread(file.read, _READ_BYTES):
        yield memoryview(chunk)
