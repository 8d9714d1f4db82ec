"""uvicorn as everything here runs it."""

from types import FrameType
from typing import Any

import uvicorn

from image_upload.limits import KEEP_ALIVE_S
from image_upload.web.connections import ConnectionLimit, default_limit
from image_upload.web.http_protocol import BoundedHttpProtocol


class Configuration(uvicorn.Config):
    """uvicorn's configuration, and the limit of connections that all protocols of a server share.

    Its access log is off, because ours has the request ids; and so is what it makes of X-Forwarded-For, because
    TRUSTED_PROXIES decides about that. WebSockets are off: an `Upgrade` is ignored, see `http_protocol`.
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
    """A server that ends with status 0 after SIGTERM or Ctrl-C, once every request that had begun is answered."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end. uvicorn would raise the signal again at its end, and so report a failure."""
        super().handle_exit(sig, frame)
        self._captured_signals.clear()
