"""What `pip install` of the checkout brings: `image-upload put`, in any folder, with a few packages."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.cli.putting import ROOT
from tests.cli.test_missing_packages import linked, required_by

pytestmark = pytest.mark.full

# What `put` imports. The wheel names all that the service needs, too.
NEEDED = ("httpx", "tenacity", "tqdm")


def pip(*arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", *map(str, arguments), "--no-index", "--no-deps", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (built,) = folder.iterdir()
    return built


def test_the_wheel_holds_the_package_and_the_client_of_the_page(wheel: Path) -> None:
    package = {
        path for path in (ROOT / "image_upload").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    wanted = {str(path.relative_to(ROOT)) for path in package}
    if (ROOT / "client/upload.js").exists():
        wanted.add("image_upload/page/upload.js")
    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert held == wanted


def test_image_upload_put_stores_a_file_in_another_folder(
    wheel: Path, service: str, tmp_path: Path, jpeg: bytes
) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv/bin/python"
    pip("--python", python, "install", wheel)
    packages = tmp_path / "packages"
    packages.mkdir()
    linked({each for name in NEEDED for each in required_by(name)}, packages)
    (tmp_path / "photo.jpg").write_bytes(jpeg)
    done = subprocess.run(
        [python.with_name("image-upload"), "put", "photo.jpg", "--service", service],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "1 of 1 files stored.\n")
    assert done.stdout.startswith("stored   photo.jpg: uploads/")
    assert list((tmp_path / ".local/state/image-upload").iterdir()) == []
