"""The service as a plain server: what the container runs where there is no Lambda."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import uvicorn

# Other than test_local.py's, so that both can run beside each other.
PORT = "8080"
PORT_MAX = 65_535


def configuration(app: Any, **options: Any) -> uvicorn.Config:
    """Uvicorn as everything here runs it.

    Its access log is off, because ours has the request ids; and so is what it makes of X-Forwarded-For, because
    TRUSTED_PROXIES decides about that.
    """
    return uvicorn.Config(app, log_config=None, access_log=False, server_header=False, proxy_headers=False, **options)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= PORT_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is no port. Expected: a number from 0 to {PORT_MAX}.")
    return int(text)


def run(arguments: Sequence[str]) -> int:
    """`serve`: until SIGTERM or Ctrl-C, and then until the requests that have begun are answered."""
    parser = argparse.ArgumentParser(
        prog="python -m image_upload serve",
        description="Run the service as a plain server until SIGTERM. Requests that have begun are finished first, "
        "however long they take: whoever sends the signal decides when to insist.",
        epilog="Behind a proxy on another host, TRUSTED_PROXIES names the addresses whose X-Forwarded-For is believed.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port",
        type=_port,
        default=os.environ.get("PORT") or PORT,
        help=f"port (PORT from the environment, or {PORT})",
    )
    chosen = parser.parse_args(arguments)
    server = uvicorn.Server(configuration("upload:app", host=chosen.host, port=chosen.port))
    try:
        server.run()
    except SystemExit as ended:
        # Wrong settings, with their message; or a port that is taken, which uvicorn has logged.
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return 2
    return 0
