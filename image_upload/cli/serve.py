"""`serve`: run the service as a plain HTTP server, as the container does outside Lambda."""

import argparse
import os
import sys
from collections.abc import Sequence

from image_upload.web.connections import raise_descriptor_limit
from image_upload.web.server import Configuration, Server

# Not test_local.py's port, so that both can run at once.
PORT = "8080"
PORT_MAX = 65_535
MAX_CONNECTIONS_MAX = 65_535


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= PORT_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is no port. Expected: a number from 0 to {PORT_MAX}.")
    return int(text)


def _connections(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= MAX_CONNECTIONS_MAX):
        raise argparse.ArgumentTypeError(
            f"{text[:20]!r} is no number of connections. Expected: a number from 1 to {MAX_CONNECTIONS_MAX}."
        )
    return int(text)


def run(arguments: Sequence[str]) -> int:
    """Run `serve` until SIGTERM or Ctrl-C, and then until the requests that have begun are answered."""
    parser = argparse.ArgumentParser(
        prog="python -m image_upload serve",
        description="Run the service as a plain server until SIGTERM. Requests that have begun are finished first, "
        "each within its own time limit.",
        epilog="Behind a proxy on another host, TRUSTED_PROXIES names the addresses whose X-Forwarded-For is believed.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port",
        type=_port,
        default=os.environ.get("PORT") or PORT,
        help=f"port (PORT from the environment, or {PORT})",
    )
    parser.add_argument(
        "--max-connections",
        type=_connections,
        default=os.environ.get("MAX_CONNECTIONS") or None,
        help="connections held at once (MAX_CONNECTIONS from the environment, or what the limit of open files allows)",
    )
    chosen = parser.parse_args(arguments)
    raise_descriptor_limit()
    server = Server(
        Configuration("upload:app", host=chosen.host, port=chosen.port, max_connections=chosen.max_connections)
    )
    try:
        server.run()
    except SystemExit as ended:
        # A text is the message for wrong settings. A port in use was logged by uvicorn.
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return 2
    return 0
