"""`mcp`: serve an agent over standard input and output, until its client closes them.

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from image_upload import missing
from image_upload.cli.agents.service import Service

TOKEN_ENV: Final = "UPLOAD_TOKEN"
# RFC 6750 section 2.1. http.client would refuse other characters with an error that repeats the token.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


def run(arguments: Sequence[str]) -> int:
    """Run `mcp` until standard input ends. Return 2 without the SDK, or if the variable holds no token."""
    options = _parsed(arguments)
    name = options.token_env or TOKEN_ENV
    token = os.environ.get(name, "")
    # Without --token-env the service may be one that requires none.
    if (token or options.token_env) and not _TOKEN.fullmatch(token):
        print(f"{name} holds no bearer token. Put one into it, or start without it.", file=sys.stderr)
        return 2
    try:
        from image_upload.cli.agents.tools import server
    except ModuleNotFoundError as error:
        print(missing.remedy(error, "requirements-dev.txt"), file=sys.stderr)  # the SDK is not in the image
        return 2

    server(Service(options.url, token), may_delete=options.allow_delete).run("stdio")
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m image_upload mcp",
        description="Serve an agent over the Model Context Protocol on standard input and output. Its tools return "
        "curl lines, which the agent runs on this machine: no byte of a file passes the model.",
        epilog="The token of a service that requires one is read from the environment: command lines can be read by "
        "others on the same machine.",
    )
    parser.add_argument(
        "--url", type=_base_url, default="http://localhost:8000", help="base URL of the service (http://localhost:8000)"
    )
    parser.add_argument("--token-env", metavar="NAME", help=f"the variable that holds the bearer token ({TOKEN_ENV})")
    parser.add_argument("--allow-delete", action="store_true", help="add the tool that deletes files")
    return parser.parse_args(arguments)


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
        # Not repeated: it may hold a password.
        raise argparse.ArgumentTypeError("no base URL. Expected: one such as https://uploads.example.com")
    return text.rstrip("/")
