"""The message for a package that is not installed. This module imports only the standard library."""

import shlex
import sys

_OURS = ("image_upload", "infra", "local", "upload")


def remedy(error: ModuleNotFoundError, requirements: str = "requirements.txt") -> str:
    """Return the name of the missing module, and the command that installs it. Re-raise for a module of the project."""
    if error.name is None or error.name.partition(".")[0] in _OURS:
        raise error
    return f"{error.name} is not installed for this Python. {pip_line(requirements)}"


def pip_line(requirements: str) -> str:
    """Return the command that installs a requirements file, and the environment that has all of it."""
    return (
        f"Install it with:\n  {shlex.quote(sys.executable)} -m pip install -r {requirements}\n"
        "Or run .venv/bin/python instead: `make dev` sets it up."
    )
