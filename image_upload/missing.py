"""What to say where a package is not installed. It needs none itself."""

import shlex
import sys

_OURS = ("image_upload", "infra", "local", "upload")


def remedy(error: ModuleNotFoundError, requirements: str = "requirements.txt") -> str:
    """Return which module is missing, and the line that installs it.

    Raises the error if the module is one of the project.
    """
    if error.name is None or error.name.partition(".")[0] in _OURS:
        raise error
    return f"{error.name} is not installed for this Python. {pip_line(requirements)}"


def pip_line(requirements: str) -> str:
    """Return the command that installs a requirements file, and the environment that has all of it."""
    return (
        f"Install it with:\n  {shlex.quote(sys.executable)} -m pip install -r {requirements}\n"
        "Or run .venv/bin/python instead: `make dev` sets it up."
    )
