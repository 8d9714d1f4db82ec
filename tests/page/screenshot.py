"""`make screenshot`: write docs/images/page.png, the picture of the README: the page as it is, with pictures stored."""

import contextlib
import shutil
import tempfile
from pathlib import Path

from PIL import Image

from image_upload.app import create_app
from image_upload.settings import load
from local.ports import claim_port
from local.service import WIRED, local_environ, running
from local.stores import opened_stores
from tests.browser.conftest import driven
from tests.npm import chromium_program, installed
from tests.page.pictures import pictures

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "page.png"
SIZE = (1000, 880)
# Name, size in bytes, type.
SLOW = [("Interview with the harbour master.wav", 9_000_000, "audio/wav"), ("report.pdf", 2_500_000, "application/pdf")]


def main() -> None:
    """Take the picture."""
    here = Path(__file__).resolve().parent
    chromium = chromium_program()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="screenshot-")))
        shutil.copy(here / "browse.mjs", folder)
        (folder / "node_modules").symlink_to(installed(here, "page"))
        stores = stack.enter_context(opened_stores("auto", {}, folder))
        app = create_app(load(WIRED | local_environ({}, stores.environ)))
        url = stack.enter_context(running(app, claim_port("127.0.0.1", 0, "PORT")))
        browser = stack.enter_context(driven("browse.mjs", chromium, folder))
        taken = folder / "page.png"
        browser.run(
            {
                "scenario": "picture",
                "page": f"{url}/",
                "context": {"viewport": dict(zip(("width", "height"), SIZE, strict=True))},
                "files": pictures(folder),
                "slow": SLOW,
                "path": str(taken),
            }
        )
        PICTURE.parent.mkdir(exist_ok=True)
        Image.open(taken).convert("RGB").save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
