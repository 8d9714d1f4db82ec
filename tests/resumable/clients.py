"""The published clients, in processes of their own."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.npm import installed, tool

HERE = Path(__file__).resolve().parent
WITHIN_S = 180


class Outcome(NamedTuple):
    """Where an upload went, and the method and status of each answer."""

    location: str
    statuses: list[list[Any]]


def workshop(folder: Path) -> Path:
    """Fill a folder with the scripts and the packages that they import."""
    for source in HERE.glob("*.mjs"):
        shutil.copy(source, folder)
    (folder / "node_modules").symlink_to(installed(HERE, "resumable"))
    return folder


def sent_by_node(packages: Path, path: Path, options: dict[str, Any]) -> Outcome:
    """Send a file by tus-js-client in Node. `options` are the library's."""
    spec = json.dumps({"path": str(path), "options": options})
    done = subprocess.run(
        [tool("node", "node"), "upload.mjs", spec],
        cwd=packages,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    return Outcome(urlsplit(outcome["url"]).path, outcome["statuses"])
