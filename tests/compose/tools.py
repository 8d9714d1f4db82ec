"""Two readers of compose files that are not ours, in an environment of their own."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.compose.stack import ROOT
from tests.contract.servers import INSTALL_WITHIN_S, _installed, _run

PODMAN_COMPOSE = "podman-compose==1.6.0"
# It brings the schema of the Compose specification.
CHECK_JSONSCHEMA = "check-jsonschema==0.39.0"
READ_WITHIN_S = 60.0


def _install(target: Path) -> None:
    log = target / "install.log"
    pip = [str(target / "bin/python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    _run([sys.executable, "-m", "venv", str(target)], os.environ, log, INSTALL_WITHIN_S)
    _run([*pip, PODMAN_COMPOSE, CHECK_JSONSCHEMA], os.environ, log, INSTALL_WITHIN_S)


@cache
def python() -> str:
    """The interpreter that has both, installed now if it is not there."""
    pins = f"{PODMAN_COMPOSE}-{CHECK_JSONSCHEMA}".replace("==", "-")
    version = f"py{sys.version_info.major}.{sys.version_info.minor}"
    return str(_installed(f"{pins}-{version}", _install) / "bin/python")


def podman_compose(*arguments: str) -> list[str]:
    """A command line of podman-compose. The scripts of the environment name the folder it was made in."""
    return [python(), "-m", "podman_compose", *arguments]


def read(command: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a reader at the checkout's root, with nothing in its environment that the file could take."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        command,
        cwd=ROOT,
        env=kept | {"COMPOSE_PROFILES": ""} | environ,
        capture_output=True,
        text=True,
        timeout=READ_WITHIN_S,
        check=False,
    )
