"""Pictures for the page, drawn here: hills below a sun."""

import math
import random
from pathlib import Path

from PIL import Image, ImageDraw

# Name, size, the colours of the sky from top to bottom, and of the sun.
_SCENES = (
    ("Harbour at dawn.jpg", (1200, 900), (60, 80, 140), (250, 180, 130), (255, 230, 190)),
    ("mountain-ridge.jpg", (1200, 800), (110, 170, 220), (210, 230, 235), (255, 250, 230)),
    ("설악산 가을.jpg", (1000, 1000), (200, 110, 70), (250, 200, 120), (255, 240, 200)),
    ("lake.png", (800, 600), (40, 90, 110), (150, 210, 200), (240, 250, 240)),
)

_Colour = tuple[int, int, int]


def pictures(folder: Path) -> list[str]:
    """Draw them into a folder; return their paths."""
    for number, scene in enumerate(_SCENES):
        _draw(folder, number, *scene)
    return [str(folder / name) for name, *_ in _SCENES]


def _draw(
    folder: Path, seed: int, name: str, size: tuple[int, int], top: _Colour, bottom: _Colour, sun: _Colour
) -> None:
    shape = random.Random(seed)
    width, height = size
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    for y in range(height):
        draw.line(
            [(0, y), (width, y)], tuple(round(a + (b - a) * y / height) for a, b in zip(top, bottom, strict=True))
        )
    left, above = width * 0.62, height * 0.18
    draw.ellipse([left, above, left + height * 0.22, above + height * 0.22], sun)
    for layer in range(4):
        base, phase = height * (0.55 + 0.12 * layer), shape.random() * 9
        hills = [
            (x, base - math.sin(x / width * 6 + phase) * height * 0.06 - math.sin(x / width * 17) * height * 0.03)
            for x in range(0, width + 8, 8)
        ]
        draw.polygon([(0, height), *hills, (width, height)], tuple(round(c * (0.62 - 0.13 * layer)) for c in bottom))
    image.save(folder / name)
