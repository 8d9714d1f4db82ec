"""The Python calls of version 1 clients, over `image_upload.library`: their names, their keywords, True or False.

`s3_service` is for code that awaits, `S3Service` for plain functions. Both read the settings from the environment when
they are first used, and work on a thread of their own, so that a call does not need a running event loop. New code
uses `image_upload.library.Library`, which says what went wrong.
"""

import asyncio
import atexit
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from os import PathLike
from typing import Final, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from image_upload.errors import Problem
from image_upload.library import Library
from image_upload.library.objects import FILE_URL_EXPIRES_S

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
# A path: `str`, or `pathlib.Path`.
FilePath = str | PathLike[str]

_ANY_TYPE: Final = "application/octet-stream"


class _Worker:
    """The library on an event loop in a thread, started by the first call.

    `environ` has the shape of `os.environ`. Raises `SettingsError` from the first call.
    """

    def __init__(self, environ: Mapping[str, str] | None) -> None:
        self._environ = environ
        self._ending = contextlib.ExitStack()
        self._opened: tuple[BlockingPortal, Library] | None = None

    def open(self) -> tuple[BlockingPortal, Library]:
        """The loop, and the library whose connections belong to it."""
        if self._opened is None:
            library = Library.of(os.environ if self._environ is None else self._environ)
            portal = self._ending.enter_context(start_blocking_portal("asyncio"))
            self._ending.callback(portal.call, library.aclose)
            self._opened = portal, library
            atexit.register(self.close)
        return self._opened

    def call(self, work: Callable[[Library], Awaitable[Answer]]) -> Answer:
        """Do it, and wait."""
        portal, library = self.open()
        return portal.call(work, library)

    async def await_call(self, work: Callable[[Library], Awaitable[Answer]]) -> Answer:
        """Do it while the caller's own loop goes on."""
        portal, library = self.open()
        return await asyncio.wrap_future(portal.start_task_soon(work, library))

    def close(self) -> None:
        """Close the connections, and end the thread. The next call opens them again."""
        self._opened = None
        self._ending.close()
        atexit.unregister(self.close)


class _Urls:
    """The calls that return a URL. They are plain calls in both classes."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._worker = _Worker(environ)

    def get_file_url(self, s3_key: str, expires_in: int = FILE_URL_EXPIRES_S) -> str:
        """A presigned GET for `expires_in` seconds, at most seven days.

        A file that is verified first is published on the way. Raises `InvalidKey`, `ValidationFailed`; `UploadRejected`
        for a file that verification keeps out; `FileTooLarge` for an upload without a size above its limit.
        """
        return self._worker.call(_reading(s3_key, expires_in, as_download=False))

    def generate_download_url(self, s3_key: str, expires_in: int = FILE_URL_EXPIRES_S) -> str:
        """A presigned GET that makes browsers save the file. Raises what `get_file_url` raises."""
        return self._worker.call(_reading(s3_key, expires_in, as_download=True))

    def generate_presigned_url(
        self, s3_key: str, expires_in: int = FILE_URL_EXPIRES_S, content_type: str | None = None
    ) -> str:
        """A presigned PUT for `expires_in` seconds; with a type, S3 takes no other.

        Length and checksum are not signed: `POST /uploads` signs them. Raises `InvalidKey`, `ValidationFailed`.
        """

        async def sign(library: Library) -> str:
            return (await library.get_upload_url(s3_key, expires_in, content_type)).url

        return self._worker.call(sign)

    def close(self) -> None:
        """Close the connections to S3. The next call opens them again."""
        self._worker.close()


class S3Service(_Urls):
    """Plain calls. Each waits until S3 has answered."""

    def upload_file(self, file_path: FilePath, s3_key: str, content_type: str | None = None) -> bool:
        """Store a file under a key: whether S3 has it, every byte compared. The log says why not."""
        return self._worker.call(_upload(file_path, s3_key, content_type))

    def download_file(self, s3_key: str, local_path: FilePath) -> bool:
        """Write an object into a file: whether it is there, whole. An earlier file stays where it is not."""
        return self._worker.call(_download(s3_key, local_path))

    def delete_file(self, s3_key: str) -> bool:
        """Delete an object: whether S3 has none under this key now."""
        return self._worker.call(_delete(s3_key))


class AsyncS3Service(_Urls):
    """The same for code that awaits; the calls that only sign stay plain."""

    async def upload_file(self, file_path: FilePath, s3_key: str, content_type: str | None = None) -> bool:
        """Store a file under a key: whether S3 has it, every byte compared. The log says why not."""
        return await self._worker.await_call(_upload(file_path, s3_key, content_type))

    async def download_file(self, s3_key: str, local_path: FilePath) -> bool:
        """Write an object into a file: whether it is there, whole. An earlier file stays where it is not."""
        return await self._worker.await_call(_download(s3_key, local_path))

    async def delete_file(self, s3_key: str) -> bool:
        """Delete an object: whether S3 has none under this key now."""
        return await self._worker.await_call(_delete(s3_key))


Work = Callable[[Library], Awaitable[bool]]


def _reading(key: str, expires_in: int, *, as_download: bool) -> Callable[[Library], Awaitable[str]]:
    async def sign(library: Library) -> str:
        await library.published(key)
        return (await library.get_file_url(key, expires_in, as_download=as_download)).url

    return sign


def _upload(path: FilePath, key: str, content_type: str | None) -> Work:
    async def upload(library: Library) -> bool:
        with _logged("upload_file") as failed:
            await library.upload_file(path, key, content_type or _ANY_TYPE)
        return not failed

    return upload


def _download(key: str, path: FilePath) -> Work:
    async def download(library: Library) -> bool:
        with _logged("download_file") as failed:
            await library.download_file(key, path)
        return not failed

    return download


def _delete(key: str) -> Work:
    async def delete(library: Library) -> bool:
        with _logged("delete_file") as failed:
            await library.delete_file(key)
        return not failed

    return delete


@contextlib.contextmanager
def _logged(call: str) -> Iterator[list[str]]:
    """Log what a call raises, in place of raising it. Yields a list that is empty where the call succeeded."""
    failed: list[str] = []
    try:
        yield failed
    except (Problem, OSError) as error:
        failed.append(error.code if isinstance(error, Problem) else type(error).__name__)
        log.warning("a call failed", extra={"fields": {"call": call, "code": failed[0], "detail": str(error)}})


s3_service: Final = AsyncS3Service()
