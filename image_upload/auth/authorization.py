"""The operator's own check of uploads: a Python function, named by AUTHORIZE, that may refuse an upload or narrow it.

It is asked last, when everything else allows the upload, and can widen nothing. docs/purposes.md has an example.
"""

import asyncio
import contextlib
import contextvars
import inspect
import logging
from collections.abc import Callable, Collection, Mapping
from threading import Thread
from types import MappingProxyType
from typing import Any, NamedTuple

from image_upload.auth.principals import Principal
from image_upload.domain import checks
from image_upload.errors import AuthorizationUnavailable, UnsupportedFileType, UploadRefused
from image_upload.limits import AUTHORIZE_THREADS_MAX, AUTHORIZE_TIMEOUT_S

log = logging.getLogger(__name__)


class WantedUpload(NamedTuple):
    """An upload, as the function sees it.

    `purpose` is a name; None for a form that goes to a folder of its own choice. `folder` is what its key begins with,
    without a slash at its end. `filename` and `size_bytes` are None where the client did not say them. `expires_s` is
    the validity of the URL in seconds; None for a multipart upload or a form. `metadata` is what the client sent.
    """

    purpose: str | None
    folder: str
    content_type: str
    filename: str | None
    size_bytes: int | None
    max_bytes: int
    expires_s: int | None
    metadata: Mapping[str, str]


class Narrowed(NamedTuple):
    """What the function may return: None, or less than was allowed. What would be more has no effect.

    `types` are media types, `image/*` or `*/*`. `metadata` is stored with the object beside that of the client, whose
    PUT must then send more headers.
    """

    max_bytes: int | None = None
    types: Collection[str] | None = None
    expires_s: int | None = None
    metadata: Mapping[str, str] | None = None


class Authorization:
    """The function, with a limit of its time. One that is not `async` runs in a thread of its own."""

    def __init__(self, function: Callable[[Principal, WantedUpload], Any]) -> None:
        self._function = function
        called = getattr(function, "__call__", None)  # noqa: B004  an object with an `async def __call__`
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)
        # A thread cannot be stopped. Those that never end leave no room for others, and uploads are refused.
        self._threads = asyncio.Semaphore(AUTHORIZE_THREADS_MAX)

    async def check(
        self,
        principal: Principal,
        *,
        purpose: str | None,
        folder: str,
        content_type: str,
        filename: str | None,
        size_bytes: int | None,
        max_bytes: int,
        metadata: Mapping[str, str],
        expires_s: int | None = None,
    ) -> Narrowed:
        """Return what the function narrows of an upload; see `WantedUpload`.

        Raises `UploadRefused`, `UnsupportedFileType`, and `AuthorizationUnavailable` if it fails, takes longer than
        `AUTHORIZE_TIMEOUT_S`, or returns anything else.
        """
        seen = MappingProxyType(dict(metadata))
        upload = WantedUpload(purpose, folder, content_type, filename, size_bytes, max_bytes, expires_s, seen)
        asking = asyncio.ensure_future(self._in_task(principal, upload))
        try:
            # Not `asyncio.timeout`: a function may swallow the cancellation.
            await asyncio.wait({asking}, timeout=AUTHORIZE_TIMEOUT_S)
            if not asking.done() or asking.cancelled():
                raise self._unavailable("it did not answer in time")
            try:
                narrowed = Narrowed() if asking.result() is None else asking.result()
            except UploadRefused:
                raise
            except Exception as error:  # noqa: BLE001  the function is the operator's, and may raise anything
                raise self._unavailable("it failed", error) from None
        finally:
            asking.cancel()
        if not _is_narrowed(narrowed):
            raise self._unavailable("it returned neither None nor a Narrowed with values of its types")
        _check_type(upload.content_type, narrowed.types)
        return narrowed

    async def _in_task(self, principal: Principal, upload: WantedUpload) -> Any:
        if not self._is_async:
            return await self._in_thread(principal, upload)
        try:
            return await self._function(principal, upload)
        except SystemExit:
            raise RuntimeError("SystemExit") from None  # it would end the process

    async def _in_thread(self, principal: Principal, upload: WantedUpload) -> Any:
        """Call the function in a daemon thread: the process can end while it hangs."""
        await self._threads.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def settle(value: Any, error: BaseException | None) -> None:
            self._threads.release()
            if answer.cancelled():
                return
            if error is None:
                answer.set_result(value)
            else:
                answer.set_exception(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))

        def call() -> None:
            value, error = None, None
            try:
                value = self._function(principal, upload)
            except BaseException as raised:  # noqa: BLE001  also SystemExit is an answer, and must be passed on
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(settle, value, error)

        Thread(target=contextvars.copy_context().run, args=(call,), name="authorize", daemon=True).start()
        return await answer

    @staticmethod
    def _unavailable(reason: str, error: Exception | None = None) -> AuthorizationUnavailable:
        log.error("the function of AUTHORIZE cannot be used: %s", reason, exc_info=error)
        return AuthorizationUnavailable(
            "This service has a check of its own for uploads, which does not answer. Nothing was stored. Try again "
            "later."
        )


def _is_narrowed(answer: Any) -> bool:
    """Return whether a function returned what it may."""
    if not isinstance(answer, Narrowed):
        return False
    values: tuple[Any, ...] = answer
    max_bytes, types, expires_s, metadata = values
    return (
        all(each is None or (type(each) is int and each >= 1) for each in (max_bytes, expires_s))
        and (types is None or (isinstance(types, Collection) and not isinstance(types, str) and _are_texts(types)))
        and (metadata is None or (isinstance(metadata, Mapping) and _are_texts([*metadata, *metadata.values()])))
    )


def _are_texts(values: Collection[Any]) -> bool:
    return all(isinstance(each, str) for each in values)


def _check_type(content_type: str, types: Collection[str] | None) -> None:
    """Raise `UnsupportedFileType` for a type that is not among those that are left."""
    plain = checks.media_type(content_type)
    if types is not None and not {plain, plain.partition("/")[0] + "/*", "*/*"} & set(types):
        raise UnsupportedFileType(
            "You may not upload files of the type {content_type} here. Choose another file.",
            facts={"content_type": plain},
            allowed=sorted(types),
        )
