"""`python -m image_upload COMMAND`: the operator's commands."""

import importlib
import sys
from collections.abc import Sequence
from typing import Final

from image_upload import missing

# Command → its module in `cli`, and what it does.
COMMANDS: Final = {
    "bucket-rules": ("bucket_rules", "show what a bucket is set to against what it must be, and set it"),
    "cost": ("cost", "estimate what AWS takes in a month for so many uploads"),
    "deliveries": ("deliveries", "list events that the application did not get, and send them again"),
    "doctor": ("doctor", "check a set-up or a deployment against what the code expects, a line a check"),
    "import": ("import_files.command", "move files from local storage into the bucket, resumable at any point"),
    "mcp": ("agents.command", "serve an agent: tools that return a curl line for a file to store or to read"),
    "migrate-db": ("migrate_db", "bring the database to the tables this version needs"),
    "put": ("put.command", "store files by a running service: in parts, in parallel, resumable at any point"),
    "serve": ("serve", "run the service as a plain server, as the container does outside Lambda"),
    "smoke": ("smoke", "store pictures in a running service in every way, compare the bytes, delete them"),
    "sweep": ("sweep", "end the records whose upload never came, and verify what still waits"),
    "token": ("make_token", "sign a bearer token with JWT_SECRET, and print it"),
}


def usage() -> str:
    """Return the list of commands, a line for each."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: python -m image_upload COMMAND [--help]",
            "",
            *(f"  {name:{width}}  {does}" for name, (_, does) in COMMANDS.items()),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default the process's own; return its exit code."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name not in COMMANDS:
        print(f"There is no command {name!r}.\n{usage()}", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(f"image_upload.cli.{COMMANDS[name][0]}")
        code: int = module.run(rest)
    except ModuleNotFoundError as error:
        print(missing.remedy(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130  # a shell's exit code for a program that Ctrl-C ended
    return code


if __name__ == "__main__":
    sys.exit(main())
