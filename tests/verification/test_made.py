"""What is made of a picture: smaller ones, a placeholder, WebP of HEIC."""

import base64
import io
import random

import pytest
from PIL import Image

from image_upload.domain.purposes import Variant
from image_upload.verification import thumbhash
from tests.verification.files import FORMATS, exif, inspected, picture, wanted

REFERENCE = "H/gBDIL6jWeYWFwmgzWwyPhgww=="
BOTH = (Variant("thumb", 40, "webp"), Variant("card", 100, "avif"))


def arrow(size: tuple[int, int] = (160, 80)) -> Image.Image:
    """Red above on the left, green on the right, blue below: turned wrongly, it is seen."""
    image = Image.new("RGB", size, "blue")
    image.paste("red", (0, 0, size[0] // 2, size[1] // 2))
    image.paste("lime", (size[0] // 2, 0, size[0], size[1] // 2))
    return image


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


# Orientation of Exif → what the stored pixels were turned by.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def is_upright(image: Image.Image) -> bool:
    corners = [
        image.convert("RGB").getpixel((int(image.width * x), int(image.height * y)))
        for x, y in ((0.2, 0.2), (0.8, 0.2), (0.5, 0.8))
    ]
    return [max(range(3), key=lambda n, found=found: found[n]) for found in corners] == [0, 1, 2]  # type: ignore[misc]  # a default


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_variants_are_upright_of_the_width_that_is_asked_for_and_without_metadata(form: str, orientation: int) -> None:
    turn = STORED[orientation]
    stored = arrow() if turn is None else arrow().transpose(turn)
    data = picture(form, stored, exif=exif(orientation, with_location=True))
    found = inspected(data, wanted(FORMATS[form], variants=BOTH))
    assert found.fault is None
    assert {name: media_type for name, (_, media_type) in found.variants.items()} == {
        "thumb": "image/webp",
        "card": "image/avif",
    }
    for name, size in {"thumb": (40, 20), "card": (100, 50)}.items():
        image = opened(found.variants[name][0])
        assert (image.size, is_upright(image)) == (size, True), name
        assert dict(image.getexif()) == {}
        assert {"exif", "xmp", "icc_profile"}.isdisjoint(image.info)
    assert found.replacement is None


@pytest.mark.parametrize("form", FORMATS)
def test_a_variant_is_never_larger_than_the_picture(form: str) -> None:
    found = inspected(picture(form, arrow((30, 15))), wanted(FORMATS[form], variants=BOTH))
    assert {name: opened(data).size for name, (data, _) in found.variants.items()} == {
        "thumb": (30, 15),
        "card": (30, 15),
    }


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_every_colour_model_becomes_a_variant(mode: str) -> None:
    image = Image.new("I;16", (60, 30), 30_000) if mode == "I;16" else arrow((60, 30)).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(100)
    form = "JPEG" if mode == "CMYK" else "PNG"
    found = inspected(picture(form, image), wanted(FORMATS[form], variants=BOTH))
    assert found.fault is None
    thumb = opened(found.variants["thumb"][0])
    assert thumb.size == (40, 20)
    if mode == "I;16":
        tones = thumb.convert("L").histogram()
        assert 110 < tones.index(max(tones)) < 125
    assert thumb.mode == ("RGBA" if mode in ("LA", "RGBA") else "RGB")


def test_a_picture_of_several_pictures_is_decoded() -> None:
    """Phones write such files; Pillow opens them by a module that it imports on demand."""
    out = io.BytesIO()
    arrow().save(out, "MPO", save_all=True, append_images=[arrow((80, 40))])
    found = inspected(out.getvalue(), wanted("image/jpeg", variants=BOTH))
    assert (found.fault, set(found.variants)) == (None, {"thumb", "card"})


def test_the_placeholder_is_the_hash_of_the_reference() -> None:
    """The value is thumbhash-py's, which fails for every transparent picture (0.1.2)."""
    of_all = random.Random(1)
    pixels = bytes(of_all.randrange(256) if at % 4 < 3 else 255 for at in range(32 * 20 * 4))
    assert thumbhash.encode(32, 20, pixels) == REFERENCE
    found = inspected(picture("PNG", arrow()), wanted("image/png", variants=BOTH))
    assert found.facts is not None
    assert found.facts.placeholder is not None
    assert 15 <= len(base64.b64decode(found.facts.placeholder)) <= 30


def test_a_transparent_placeholder_has_the_average_colour_of_what_is_seen() -> None:
    pixels = b"".join(bytes((200, 40, 20, 255)) if x < 16 else bytes(4) for _ in range(32) for x in range(32))
    head = int.from_bytes(base64.b64decode(thumbhash.encode(32, 32, pixels))[:3], "little")
    light, yellow = (head & 63) / 63, (head >> 6 & 63) / 31.5 - 1
    assert head >> 23 & 1
    assert light == pytest.approx((200 + 40 + 20) / 3 / 255, abs=0.02)
    assert yellow == pytest.approx((240 / 2 - 20) / 255, abs=0.04)


def heic(orientation: int = 1) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    turn = STORED[orientation]
    stored = arrow() if turn is None else arrow().transpose(turn)
    pillow_heif.from_pillow(stored).save(out, exif=exif(orientation, with_location=True).tobytes())
    return out.getvalue()


@pytest.mark.parametrize("orientation", [1, 6])
def test_heic_is_published_as_webp_upright_and_without_metadata(orientation: int) -> None:
    found = inspected(
        heic(orientation),
        wanted("image/heic", frozenset({"image/heic"}), variants=BOTH, strip_location="lossless"),
    )
    assert found.facts is not None
    assert (found.fault, found.replacement_type) == (None, "image/webp")
    assert found.replacement is not None
    image = opened(found.replacement)
    assert (image.format, image.size, is_upright(image), dict(image.getexif())) == ("WEBP", (160, 80), True, {})
    facts = found.facts
    assert (facts.media_type, facts.width, facts.height, facts.orientation) == ("image/heic", 160, 80, 1)
    assert (facts.has_location, facts.location_is_left, set(found.variants)) == (True, False, {"thumb", "card"})


def test_heic_is_refused_where_it_is_not_taken() -> None:
    assert inspected(heic(), wanted("image/heic")).fault == "type"
    assert inspected(heic(), wanted("image/jpeg")).fault == "type"
