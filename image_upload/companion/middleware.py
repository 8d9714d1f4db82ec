"""Route Uppy's requests: take the token from the path, and build the routes at the first request."""

import re
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from image_upload.auth.dependencies import PATH_TOKEN

_UPPY_PATH = re.compile(r"(?:/u/(?P<token>[^/]+))?/?(?P<rest>/s3/.*)")


class UppyPath:
    """Route `/u/{token}/s3/…` to `/s3/…`, for Uppy 6, which cannot send an Authorization header.

    Also accept a doubled slash: Uppy 6 appends `/s3` to its endpoint as it is. `open_room` adds the routes at the first
    request: most services never get one, and start 7 ms sooner without them.
    """

    def __init__(self, app: ASGIApp, open_room: Callable[[], None]) -> None:
        self._app = app
        self._open_room = open_room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Rewrite the path of a request of Uppy and pass it on."""
        path = scope.get("path", "")
        if "/s3/" in path and (match := _UPPY_PATH.fullmatch(path)):
            self._open_room()
            # Uppy 5 shows `message` to its user and takes any `error` for a failure.
            scope["companion"] = True
            scope["path"] = match["rest"]
            if match["token"]:
                scope[PATH_TOKEN] = match["token"]
        await self._app(scope, receive, send)
