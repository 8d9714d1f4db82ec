"""Debian's exiftool: a second opinion on metadata."""

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.contract import servers


def _command() -> tuple[list[str], dict[str, str]]:
    """The program, and its environment; it is fetched where it is missing. Raises `servers.UnsupportedError`."""
    servers.must_be_wanted("exiftool")
    if found := shutil.which("exiftool"):
        return [found], dict(os.environ)
    if not shutil.which("apt-get") or not shutil.which("perl"):
        raise servers.UnsupportedError("there is no exiftool on this machine, and no apt-get or no Perl to run it")
    install = functools.partial(servers.install_packages, ("libimage-exiftool-perl",))
    root = servers._installed(f"exiftool-{servers._release()}", install)
    return ["perl", str(root / "usr/bin/exiftool")], dict(os.environ) | {"PERL5LIB": str(root / "usr/share/perl5")}


def metadata(path: Path) -> dict[str, Any]:
    """All that exiftool finds in a file, also in films and pictures behind its end, by group and name."""
    command, environ = _command()
    out = subprocess.run(
        [*command, "-j", "-a", "-G1", "-ee", "-n", str(path)], env=environ, check=False, capture_output=True
    )
    found: dict[str, Any] = json.loads(out.stdout)[0]
    return found


def location(path: Path) -> dict[str, Any]:
    """What exiftool knows of where a picture was taken, but for the version of the directory."""
    return {
        name: value
        for name, value in metadata(path).items()
        if ("GPS" in name or "Location" in name) and not name.endswith("VersionID")
    }
