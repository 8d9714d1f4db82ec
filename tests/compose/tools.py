"""Two readers of compose files that are not ours, in an environment of their own."""

import os
import subprocess
from functools import cache
from pathlib import Path

from tests.compose.stack import ROOT
from tests.contract import servers

PODMAN_COMPOSE_VERSION = "1.6.0"
# It brings the schema of the Compose specification.
CHECK_JSONSCHEMA_VERSION = "0.39.0"
READ_WITHIN_S = 300.0


@cache
def python() -> str:
    """The interpreter that has both, installed now if it is not there."""
    wanted = (f"podman-compose=={PODMAN_COMPOSE_VERSION}", f"check-jsonschema=={CHECK_JSONSCHEMA_VERSION}")
    versions = f"{PODMAN_COMPOSE_VERSION}-check-jsonschema-{CHECK_JSONSCHEMA_VERSION}"
    return str(servers.virtual_environment("podman-compose", versions, *wanted) / "bin/python")


def podman_compose(*arguments: str) -> list[str]:
    """A command line of podman-compose."""
    return [python(), str(Path(__file__).with_name("lean_podman_compose.py")), *arguments]


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
