"""The examples in a real browser, beside a service and a strict S3."""

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.client.conftest import browser, open_tab, origin, workshop

__all__ = ["browser", "open_tab", "origin", "workshop"]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The origin of a web server for a folder."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="example", daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
