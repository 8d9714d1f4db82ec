"""ThumbHash: some 25 bytes that show a picture while it loads.

https://evanw.github.io/thumbhash/
"""

import base64
import math
from collections.abc import Sequence
from operator import mul


def encode(width: int, height: int, rgba: bytes) -> str:
    """Return the hash of at most 100 x 100 pixels, four bytes each, in base64."""
    average, channels = _channels(rgba)
    has_alpha = average[3] < width * height
    most = 5 if has_alpha else 7
    longest = max(width, height)
    columns, rows = (max(1, round(most * side / longest)) for side in (width, height))
    light, yellow, red, alpha = channels
    l_dc, l_ac, l_scale = _waves(light, width, height, max(3, columns), max(3, rows))
    p_dc, p_ac, p_scale = _waves(yellow, width, height, 3, 3)
    q_dc, q_ac, q_scale = _waves(red, width, height, 3, 3)
    is_landscape = width > height
    head = round(63 * l_dc) | round(31.5 + 31.5 * p_dc) << 6 | round(31.5 + 31.5 * q_dc) << 12
    head |= round(31 * l_scale) << 18 | has_alpha << 23
    tail = (rows if is_landscape else columns) | round(63 * p_scale) << 3 | round(63 * q_scale) << 9
    tail |= is_landscape << 15
    out = bytearray(head.to_bytes(3, "little") + tail.to_bytes(2, "little"))
    waves = [*l_ac, *p_ac, *q_ac]
    if has_alpha:
        a_dc, a_ac, a_scale = _waves(alpha, width, height, 5, 5)
        out.append(round(15 * a_dc) | round(15 * a_scale) << 4)
        waves += a_ac
    halves = [round(15 * each) for each in waves] + [0]
    out += bytes(low | high << 4 for low, high in zip(halves[:-1:2], halves[1::2], strict=False))
    return base64.b64encode(out).decode()


def _channels(rgba: bytes) -> tuple[list[float], list[list[float]]]:
    """Return the sums of red, green, blue and alpha, and the channels of the hash: light, yellow, red, alpha."""
    alphas = [each / 255 for each in rgba[3::4]]
    total = sum(alphas)
    colours = [list(map(mul, (each / 255 for each in rgba[n::4]), alphas)) for n in range(3)]
    mean = [sum(each) / total if total else 0.0 for each in colours]
    # What is behind a transparent pixel is the average.
    reds, greens, blues = (
        [each + average * (1 - alpha) for each, alpha in zip(colour, alphas, strict=True)]
        for colour, average in zip(colours, mean, strict=True)
    )
    light = [(r + g + b) / 3 for r, g, b in zip(reds, greens, blues, strict=True)]
    yellow = [(r + g) / 2 - b for r, g, b in zip(reds, greens, blues, strict=True)]
    red = [r - g for r, g in zip(reds, greens, strict=True)]
    return [*mean, total], [light, yellow, red, alphas]


def _waves(
    channel: Sequence[float], width: int, height: int, columns: int, rows: int
) -> tuple[float, list[float], float]:
    """Return a channel's mean, its waves as 0 to 1, and the largest of them: a discrete cosine transform."""
    mean, found = 0.0, []
    lines = [channel[at : at + width] for at in range(0, width * height, width)]
    # The sums along each line are the same for all waves across.
    across = []
    for cx in range(columns):
        wave = [math.cos(math.pi / width * cx * (x + 0.5)) for x in range(width)]
        across.append([sum(map(mul, wave, line)) for line in lines])
    for cy in range(rows):
        down = [math.cos(math.pi / height * cy * (y + 0.5)) / (width * height) for y in range(height)]
        cx = 0
        while cx * rows < columns * (rows - cy):
            total = sum(map(mul, down, across[cx]))
            if cx or cy:
                found.append(total)
            else:
                mean = total
            cx += 1
    scale = max((abs(each) for each in found), default=0.0)
    return mean, [0.5 + 0.5 / scale * each if scale else each for each in found], scale
