"""uvicorn with the service's configuration."""

from types import FrameType
from typing import Any

import uvicorn

from image_upload.limits import KEEP_ALIVE_S
from image_upload.web.connections import ConnectionLimit, default_limit
from image_upload.web.http_protocol import BoundedHttpProtocol


class Configuration(uvicorn.Config):
    """uvicorn's configuration, with the connection limit that all protocols of a server share.

    Its access log is off, because the service's own has the request ids. Its handling of X-Forwarded-For is off,
    because TRUSTED_PROXIES decides about that. WebSockets are off: an `Upgrade` is ignored, see `http_protocol`.
    """

    def __init__(self, app: Any, *, max_connections: int | None = None, **options: Any) -> None:
        super().__init__(
            app,
            http=BoundedHttpProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            **options,
        )
        self.connection_limit = ConnectionLimit(max_connections or default_limit())


class Server(uvicorn.Server):
    """A server that answers all requests in progress after SIGTERM or Ctrl-C, and then ends with status 0."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the shutdown. uvicorn would raise the signal again at the end, and so report a failure."""
        super().handle_exit(sig, frame)
        self._captured_signals.clear()
