"""The packed package, as tools read it that judge packages, and as a TypeScript application does."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.conftest import CLIENT, HERE
from tests.npm import NPM_SECONDS, installed, tool

pytestmark = pytest.mark.needs("node")

COMPILER = {
    "strict": True,
    "noEmit": True,
    "noUncheckedIndexedAccess": True,
    "exactOptionalPropertyTypes": True,
    "target": "es2022",
    "lib": ["es2022", "dom", "dom.iterable"],
    "jsx": "react-jsx",
    "types": [],
}

Run = Callable[..., str]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as npm would publish it."""
    folder = tmp_path_factory.mktemp("packed")
    command = [tool("node", "npm"), "pack", str(CLIENT), "--json", "--pack-destination", str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=NPM_SECONDS, check=True)
    (told,) = json.loads(done.stdout)
    return folder / str(told["filename"])


@pytest.fixture(scope="module")
def run() -> Run:
    """Run a program of the lock file, which must succeed; returns what it said."""
    programs = installed(HERE, "client") / ".bin"

    def run_one(name: str, *words: str, cwd: Path) -> str:
        command = [str(programs / name), *words]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=NPM_SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run_one


def test_publint_has_nothing_to_say(packed: Path, run: Run) -> None:
    assert "All good!" in run("publint", packed.name, "--strict", cwd=packed.parent)


def test_the_types_are_found_wherever_a_module_is(packed: Path, run: Run) -> None:
    # The package is ESM alone, by design: neither `require` nor a resolution without `exports` (node10) finds it.
    told = json.loads(run("attw", packed.name, "--profile", "esm-only", "--format", "json", cwd=packed.parent))
    assert sorted(told["analysis"]["entrypoints"]) == [".", "./package.json", "./react"]


@pytest.mark.parametrize(("module", "resolution"), [("nodenext", "nodenext"), ("esnext", "bundler")])
def test_an_application_compiles(packed: Path, run: Run, tmp_path: Path, module: str, resolution: str) -> None:
    package = tmp_path / "node_modules" / "image-upload-client"
    package.mkdir(parents=True)
    subprocess.run(["tar", "-xzf", packed, "-C", package, "--strip-components=1"], check=True, timeout=NPM_SECONDS)
    (package.parent / "@types").symlink_to(installed(HERE, "client") / "@types")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "types.tsx").write_bytes((HERE / "types.tsx").read_bytes())
    options = COMPILER | {"module": module, "moduleResolution": resolution, "resolveJsonModule": True}
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["types.tsx"]}))
    run("tsc", "--project", ".", cwd=tmp_path)
