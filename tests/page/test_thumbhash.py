"""The page shows a picture by its ThumbHash as verification has made it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from image_upload.verification import thumbhash
from tests.npm import tool
from tests.page.pictures import pictures

pytestmark = pytest.mark.needs("node")

HERE = Path(__file__).resolve().parent
MODULE = HERE.parents[1] / "image_upload" / "page" / "modules" / "thumbhash.js"
MEAN_OFF_MAX = 32  # of 255: a hash holds a few waves, and no edges


def decoded(*hashes: str) -> list[dict[str, Any]]:
    command = [tool("node", "node"), str(HERE / "thumbhash.mjs"), str(MODULE)]
    done = subprocess.run(command, input=json.dumps(hashes), capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def on_white(image: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def hash_of(image: Image.Image) -> str:
    return thumbhash.encode(*image.size, image.tobytes())


def test_what_is_drawn_of_a_hash_resembles_its_picture(tmp_path: Path) -> None:
    shown = []
    for path in pictures(tmp_path):
        image = Image.open(path).convert("RGBA")
        image.thumbnail((100, 100))
        faded = image.copy()
        faded.putalpha(Image.linear_gradient("L").resize(image.size))
        shown += [image, image.rotate(90, expand=True), faded]
    for image, found in zip(shown, decoded(*map(hash_of, shown)), strict=True):
        size = (found["width"], found["height"])
        assert max(size) == 16
        assert abs(size[0] / size[1] - image.width / image.height) < 0.2
        drawn = Image.frombytes("RGBA", size, bytes(found["data"]))
        off = ImageStat.Stat(ImageChops.difference(on_white(drawn), on_white(image.resize(size))))
        assert max(off.mean) < MEAN_OFF_MAX


def test_a_hash_that_is_cut_off_or_strange_still_has_at_most_16_by_16_pixels() -> None:
    for found in decoded("", "AA==", "////////////////////////////", "AAAAAAAAAAAAAAAA", "gIA" + "A" * 400):
        assert 1 <= found["width"] <= 16
        assert 1 <= found["height"] <= 16
        assert len(found["data"]) == found["width"] * found["height"] * 4
