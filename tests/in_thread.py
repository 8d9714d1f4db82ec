"""Servers of Python's standard library, each in a thread of its own."""

import contextlib
import threading
from collections.abc import Iterator
from socketserver import BaseServer

# They look so often whether they are to end: of the usual half second, a test with one waits a quarter.
_POLL_S = 0.02


@contextlib.contextmanager
def answering(server: BaseServer) -> Iterator[None]:
    """Let the server answer until the block ends, and close it."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
