"""The options of `put`."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from image_upload.cli.put.senders import SENDERS
from image_upload.cli.put.token import TokenSource
from image_upload.cli.service_access import base_url
from image_upload.limits import PUT_PARALLEL, PUT_PARALLEL_MAX, PUT_WAIT_S

SERVICE_ENV: Final = "IMAGE_UPLOAD_SERVICE"
TOKEN_ENV: Final = "IMAGE_UPLOAD_TOKEN"
STDIN: Final = "-"

_EPILOG: Final = (
    f"The token of a service that requires one is read from {TOKEN_ENV}, or from --token-file: command lines can be "
    "read by others on the same machine. After Ctrl-C or a lost line the same command goes on where it was. The exit "
    "code is 0 when every file is stored, 1 when some are not, 2 when it could not begin, 130 when it was interrupted. "
    "docs/put.md has more."
)


def _parallel(text: str) -> int:
    parallel = int(text)
    if not 1 <= parallel <= PUT_PARALLEL_MAX:
        raise ValueError
    return parallel


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 86_400:
        raise ValueError
    return seconds


def _accepts(text: str) -> list[str]:
    accepts = text.split(",")
    if not accepts or not set(accepts) <= SENDERS.keys():
        raise ValueError
    return accepts


def _metadata(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError
    return name, value


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the options; `token` becomes a `TokenSource`. End the process with 2 if they cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m image_upload put",
        description="Store files by a running service. They go straight to its store, large ones in parts.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help=f"a file, a folder with --recursive, or {STDIN} for standard input")
    add("--service", type=base_url, metavar="URL", help=f"base URL of the service ({SERVICE_ENV})")
    add("--token-file", type=Path, metavar="PATH", help="a file that holds the bearer token and nothing else")
    add(
        "--token", metavar="TOKEN", help="the bearer token itself, on a machine whose processes other users cannot list"
    )
    add("--recursive", "-r", action="store_true", help="store the files of folders, and of all folders below")
    add("--purpose", help="decides key, types and largest size (the service's first purpose)")
    add("--type", metavar="TYPE", help="media type of the files (the usual one of each name's extension)")
    add("--name", metavar="NAME", help=f"the name of a single file; {STDIN} needs one")
    add(
        "--metadata",
        action="append",
        default=[],
        type=_metadata,
        metavar="NAME=VALUE",
        help="text to store with each file; several times for several",
    )
    add(
        "--accepts",
        type=_accepts,
        default=list(SENDERS),
        metavar="STRATEGY,…",
        help=f"how files may be sent, of which the service chooses ({','.join(SENDERS)}); resumable or "
        "proxy where only the service can be reached",
    )
    add(
        "--parallel",
        type=_parallel,
        default=PUT_PARALLEL,
        metavar="N",
        help=f"files and parts at once, 1 to {PUT_PARALLEL_MAX} (%(default)s)",
    )
    add(
        "--wait",
        type=_seconds,
        default=PUT_WAIT_S,
        metavar="SECONDS",
        help="how long to wait for the verdict on a file that is stored (%(default)g)",
    )
    add("--no-resume", action="store_true", help="begin anew, and keep nothing to go on with")
    add("--json", action="store_true", help="print one line of JSON for each file")
    add("--quiet", "-q", action="store_true", help="print failures alone, and the lines of --json")
    options = parser.parse_args(arguments)
    if options.service is None:
        try:
            options.service = base_url(os.environ.get(SERVICE_ENV, ""))
        except argparse.ArgumentTypeError:
            parser.error(f"name the service: --service URL, or {SERVICE_ENV}=https://uploads.example.com")
    if options.name is not None and (len(options.files) > 1 or options.recursive):
        parser.error("--name is the name of one file; send the others by another command")
    if STDIN in options.files and options.name is None:
        parser.error(f"{STDIN} needs a name for what is read, and no other file: --name dump.sql")
    try:
        given = options.token if options.token is not None else os.environ.get(TOKEN_ENV, "")
        options.token = TokenSource(given, None if options.token is not None else options.token_file)
    except OSError as error:
        parser.error(f"--token-file cannot be read: {error.strerror}")
    except ValueError:  # also of a file that is not UTF-8
        parser.error(f"--token-file, --token or {TOKEN_ENV} holds no bearer token")
    return options
