"""`mcp`: serve an agent over standard input and output, until its client closes them.

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from image_upload import missing
from image_upload.cli.agents.service import Service
from image_upload.cli.service_access import BEARER_TOKEN, base_url

TOKEN_ENV: Final = "UPLOAD_TOKEN"


def run(arguments: Sequence[str]) -> int:
    """Run `mcp` until standard input ends. Return 2 without the SDK, or if the variable holds no token."""
    options = _parsed(arguments)
    name = options.token_env or TOKEN_ENV
    token = os.environ.get(name, "")
    # Without --token-env the service may be one that requires none.
    if (token or options.token_env) and not BEARER_TOKEN.fullmatch(token):
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
        "--url", type=base_url, default="http://localhost:8000", help="base URL of the service (http://localhost:8000)"
    )
    parser.add_argument("--token-env", metavar="NAME", help=f"the variable that holds the bearer token ({TOKEN_ENV})")
    parser.add_argument("--allow-delete", action="store_true", help="add the tool that deletes files")
    return parser.parse_args(arguments)
