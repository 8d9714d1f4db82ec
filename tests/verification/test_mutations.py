"""Real pictures, damaged at random: each gets a verdict in time, and the service goes on."""

import asyncio
import random
import time
from collections import Counter

import pytest
from PIL import Image

from image_upload.domain.purposes import Variant
from image_upload.verification.inspection import inspect
from tests.tiers import FIRST
from tests.verification.files import FORMATS, Bytes, exif, noise, picture, wanted
from tests.verification.test_location import with_location

MUTATIONS = {FIRST: 160}
REST_MUTATIONS = 20_000
LONGEST_S = 120.0  # the limits of eight children that wait for two places, on a busy machine


def originals() -> dict[str, bytes]:
    """Ten files: each format, animated, progressive, with all metadata, with a palette."""
    frames = [noise(40, 30) for _ in range(4)]
    animated = {"save_all": True, "append_images": frames[1:], "duration": 50}
    return {
        "JPEG": with_location("JPEG"),
        "JPEG progressive": picture("JPEG", noise(90, 60), progressive=True, exif=exif(5)),
        "PNG": with_location("PNG"),
        "PNG palette": picture("PNG", noise(50, 50).convert("P")),
        "PNG animated": picture("PNG", frames[0], **animated),
        "WEBP": with_location("WEBP"),
        "WEBP animated": picture("WEBP", frames[0], **animated),
        "WEBP lossless": picture("WEBP", noise(60, 40), lossless=True),
        "AVIF": with_location("AVIF"),
        "GIF animated": picture("GIF", frames[0].quantize(32), **animated),
    }


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A copy with bytes changed, removed, repeated or exchanged, most of them near its beginning."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if not found:
            break
        span = min(len(found), chance.choice((64, 600, len(found))))
        at = chance.randrange(span)
        match chance.randrange(6):
            case 0:
                found[at] ^= 1 << chance.randrange(8)
            case 1:
                found[at : at + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\0\0\1"))
            case 2:
                del found[at : at + chance.randrange(1, 200)]
            case 3:
                found[at:at] = found[at : at + chance.randrange(1, 300)]
            case 4:
                del found[max(at, 4) :]
            case _:
                found[at : at + 16] = chance.randbytes(16)
    return bytes(found)


async def _verdicts(count: int, seed: int) -> Counter[str]:
    chance = random.Random(seed)
    kept = list(originals().items())
    tally: Counter[str] = Counter()
    strips = ("off", "lossless", "all")
    thumb = (Variant("thumb", 32, "webp"),)

    async def one(name: str, data: bytes, strip: str) -> None:
        began = time.monotonic()
        asked = wanted(FORMATS[name.partition(" ")[0]], strip_location=strip, variants=thumb, max_pixels=4_000_000)
        found = await inspect(Bytes(data), asked)
        assert time.monotonic() - began < LONGEST_S, (name, seed)
        assert found.fault is not None or found.facts is not None
        if found.fault is None and found.facts is not None and found.facts.is_whole and not found.variants:
            pytest.fail(f"{name} of seed {seed} has neither a fault nor a variant")
        tally[found.fault or "good"] += 1

    for first in range(0, count, 8):
        batch = [chance.choice(kept) for _ in range(min(8, count - first))]
        await asyncio.gather(*(one(name, mutated(data, chance), chance.choice(strips)) for name, data in batch))
    return tally


@pytest.mark.parametrize("seed", range(8))
def test_every_mutation_has_a_verdict_in_time(seed: int, tier: str) -> None:
    count = MUTATIONS.get(tier, REST_MUTATIONS) // 8
    tally = asyncio.run(_verdicts(count, seed))
    assert tally.total() == count
    assert tally["good"], "damage beside what decides leaves a picture good"
    assert tally["undecodable"]


def test_the_originals_are_good() -> None:
    thumb = (Variant("thumb", 32, "webp"),)
    for name, data in originals().items():
        found = asyncio.run(inspect(Bytes(data), wanted(FORMATS[name.partition(" ")[0]], variants=thumb)))
        assert (name, found.fault, set(found.variants)) == (name, None, {"thumb"})
    assert Image.MAX_IMAGE_PIXELS is not None
