"""The examples without a framework: a file that is chosen in them is stored."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from image_upload.settings import load
from local.service import local_environ
from tests.browser.storage import Storage
from tests.client.conftest import Open, stored_on
from tests.conftest import serving
from tests.npm import NPM_SECONDS, installed
from tests.pages import served

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "examples/photo.jpg"

pytestmark = [pytest.mark.needs("chromium", "node"), pytest.mark.full]

Beside = Callable[[Path], tuple[str, Storage]]


@pytest.fixture
def beside() -> Iterator[Beside]:
    """Serve a folder beside a service as `make dev` runs it; return the page's URL, and the bucket."""
    with ExitStack() as stack:

        def begin(folder: Path) -> tuple[str, Storage]:
            page = stack.enter_context(served(folder))
            storage = stack.enter_context(stored_on("seaweedfs", page))
            settings = load(local_environ({}, storage.environ) | {"CORS_ALLOW_ORIGINS": page, "VERIFY": "publish"})
            return f"{page}/?service={stack.enter_context(serving(settings))}", storage

        yield begin


def test_the_plain_page_stores_a_file_and_links_it(beside: Beside, open_tab: Open) -> None:
    url, storage = beside(ROOT / "examples/plain")
    tab = open_tab(init="", url=url)
    tab.until("document.querySelector('input').onchange")
    tab.choose(PHOTO)
    tab.until("document.querySelector('[role=status]').textContent === 'photo.jpg is stored.'")
    (key,) = storage.keys("uploads/")
    assert key in tab.run("return document.querySelector('li a').href")
    length = tab.run(
        "return (await fetch(document.querySelector('li a').href)).arrayBuffer().then((all) => all.byteLength)"
    )
    assert length == PHOTO.stat().st_size


def test_uppys_dashboard_stores_a_file(beside: Beside, open_tab: Open, tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "examples/uppy", tmp_path / "uppy", ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(installed(ROOT / "examples/uppy", "uppy-example"))
    build = [str(folder / "node_modules/.bin/esbuild"), "main.js", "--bundle", "--outfile=bundle.js"]
    subprocess.run(build, cwd=folder, check=True, capture_output=True, timeout=NPM_SECONDS)
    url, storage = beside(folder)
    tab = open_tab(init="", url=url)
    tab.choose(PHOTO)
    tab.until("document.querySelector('.uppy-StatusBar-actionBtn--upload')")
    tab.run("document.querySelector('.uppy-StatusBar-actionBtn--upload').click()")
    tab.until("document.querySelector('.uppy-StatusBar.is-complete')")
    (key,) = storage.keys("files/")
    assert storage.client.get_object(Bucket="uppy-uploads", Key=key)["Body"].read() == PHOTO.read_bytes()
