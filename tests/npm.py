"""Node packages for tests: those of a lock file, installed once."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.needs import unavailable

NPM_SECONDS = 300
ROOT = Path(__file__).resolve().parents[1]


def tool(what: str, *names: str) -> str:
    """The path of the first of these programs that there is. `what` is a key of `tests.needs.NEEDS`."""
    for name in names:
        if found := shutil.which(name):
            return found
    return unavailable(what)


def chromium_program() -> str:
    """The path of a Chromium. Its headless shell has no windows, which take 40 % of the CPU of such tests."""
    names = ("chromium-headless-shell", "chromium", "google-chrome")
    return os.environ.get("CHROMIUM") or tool("chromium", *names)


def installed(folder: Path, name: str, *, beside: Path | None = None) -> Path:
    """The `node_modules` of the lock file in a folder, installed once into the S3 servers' cache.

    `beside` is a folder of this project that the manifest names by its path.
    """
    npm = tool("node", "npm")
    manifests = [folder / manifest for manifest in ("package.json", "package-lock.json", ".npmrc")]
    named = sorted(beside.iterdir()) if beside else []
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in [*manifests, *named])).hexdigest()[:16]
    default = Path.home() / ".cache" / "image-upload-tests"
    cache = Path(os.environ.get("TEST_SERVERS_DIR") or default).absolute()
    target = cache / f"{name}-{digest}"
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.partial-", dir=cache))
        here = partial / folder.relative_to(ROOT) if beside else partial
        here.mkdir(parents=True, exist_ok=True)
        for manifest in manifests:
            shutil.copy(manifest, here)
        if beside:
            shutil.copytree(beside, partial / beside.relative_to(ROOT))
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=NPM_SECONDS, check=False)
        if done.returncode:
            shutil.rmtree(partial)
            pytest.fail(f"npm ci failed:\n{done.stderr[-2000:]}")
        try:
            partial.rename(target)
        except OSError:  # another run was faster
            shutil.rmtree(partial)
    return (target / folder.relative_to(ROOT) if beside else target) / "node_modules"
