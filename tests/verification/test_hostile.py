"""Files that are made to mislead, to break a decoder, or to take what the machine has."""

import random
import struct
import time
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, PngImagePlugin

from image_upload.domain.purposes import Variant
from image_upload.verification import exif as exif_reader
from tests.verification.files import FORMATS, PICTURES, Bytes, exif, inspected, noise, picture, wanted
from tests.verification.kinds import FILES, zipped

THUMB = (Variant("thumb", 64, "webp"),)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


# --- polyglots ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        b"GIF89a/*" + b" " * 40 + b"*/=1;alert(document.domain)//",
        b"<script>alert(1)</script>",
        b"<?xml version='1.0'?><!-- x --><svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"\xef\xbb\xbf  <html>" + FILES["image/jpeg"],
        b"<html><!--" + FILES["application/pdf"],
    ],
)
@pytest.mark.parametrize("declared", sorted(PICTURES | {"application/pdf"}))
def test_a_script_is_no_picture_and_no_document(script: bytes, declared: str) -> None:
    assert inspected(script, wanted(declared, frozenset({"*/*"}))).fault == "disguised"


def test_a_gif_of_which_a_script_is_made_does_not_decode() -> None:
    """A GIF whose size reads as the beginning of a comment of JavaScript, with a NUL so that it is no text."""
    found = inspected(b"GIF89a/*\0\0\0" + b"*/=1;alert(1)//" * 20, wanted("image/gif"))
    assert found.fault == "undecodable"


def test_what_follows_a_picture_does_not_make_it_something_else() -> None:
    """A JPEG with a ZIP behind it is served as image/jpeg, whatever it was declared as."""
    for form, media_type in FORMATS.items():
        data = picture(form) + zipped("evil.class")
        found = inspected(data, wanted("image/jpeg"))
        assert found.facts is not None
        assert (found.fault, found.facts.media_type) == (None, media_type)
        assert inspected(data, wanted("application/zip", frozenset({"*/*"}))).fault == "disguised"


def test_variants_carry_nothing_of_what_was_hidden() -> None:
    data = picture("JPEG", comment=b"<script>alert(1)</script>") + zipped("evil.class")
    found = inspected(data, wanted("image/jpeg", variants=THUMB))
    assert found.fault is None
    assert b"script" not in found.variants["thumb"][0]
    assert b"PK\x03\x04" not in found.variants["thumb"][0]


# --- bombs ----------------------------------------------------------------------------------------


def test_too_many_pixels_are_refused_by_the_header_without_reading_on() -> None:
    bomb = png(60_000, 60_000, chunk(b"IDAT", zlib.compress(bytes(4_000_000), 9)), chunk(b"IDAT", bytes(100_000)))
    source = Bytes(bomb)
    found = inspected(source, wanted("image/png", variants=THUMB))
    assert found.fault == "too-many-pixels"
    assert "60000 x 60000" in str(found.why)
    assert found.facts is not None
    assert (found.facts.width, found.facts.height) == (60_000, 60_000)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "GIF"])
def test_the_limit_of_pixels_holds_for_every_format(form: str) -> None:
    data = picture(form, noise(200, 100))
    assert inspected(data, wanted(FORMATS[form], max_pixels=20_000)).fault is None
    assert inspected(data, wanted(FORMATS[form], max_pixels=19_999)).fault == "too-many-pixels"


def test_pixels_that_the_header_does_not_announce_are_not_decoded() -> None:
    """The header says 8 x 8; the pixels behind it, packed a thousand times, are of a picture of 8,000 x 8,000."""
    bomb = png(8, 8, chunk(b"IDAT", zlib.compress(bytes(64_000_000), 1)))
    began = time.monotonic()
    found = inspected(bomb, wanted("image/png", variants=THUMB))
    assert found.fault in (None, "undecodable")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
def test_too_many_frames_are_refused(form: str) -> None:
    frames = [noise(16, 16) for _ in range(12)]
    data = picture(form, frames[0], save_all=True, append_images=frames[1:], duration=40)
    assert inspected(data, wanted(FORMATS[form], max_frames=12)).fault is None
    found = inspected(data, wanted(FORMATS[form], max_frames=11))
    assert found.fault == "too-many-frames"
    assert "11" in str(found.why)
    whole = inspected(data, wanted(FORMATS[form]))
    assert whole.facts is not None
    assert whole.facts.frames == 12


def test_a_gif_of_a_million_frames_is_counted_to_the_limit_alone() -> None:
    frame = b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x4c\1\0"
    bomb = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * 1_000_000 + b";"
    began = time.monotonic()
    assert inspected(bomb, wanted("image/gif")).fault == "too-many-frames"
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("place", ["iCCP", "zTXt", "iTXt"])
def test_packed_metadata_does_not_unpack_beyond_the_limits(place: str) -> None:
    """100 MB of zeros in 450 KB: as a colour profile, as a text."""
    packed = zlib.compress(bytes(100_000_000), 1)
    before = {"iCCP": b"icc\0\0", "zTXt": b"a\0\0", "iTXt": b"XML:com.adobe.xmp\0\1\0\0\0"}[place]
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 9 * 8))
    began = time.monotonic()
    found = inspected(png(8, 8, chunk(place.encode(), before + packed), pixels), wanted("image/png", variants=THUMB))
    assert found.fault in (None, "undecodable")
    assert time.monotonic() - began < 20


def test_a_broken_colour_profile_does_not_refuse_a_picture() -> None:
    for profile in (b"junk" * 100, random.Random(5).randbytes(100_000)):
        found = inspected(picture("JPEG", icc_profile=profile), wanted("image/jpeg", variants=THUMB))
        assert found.fault is None
        assert set(found.variants) == {"thumb"}


# --- broken ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", sorted(PICTURES))
@pytest.mark.parametrize("length", [0, 1, 3, 4, 8, 11, 12, 100, 70_000])
def test_empty_and_random_files_have_a_verdict(length: int, declared: str) -> None:
    data = random.Random(length).randbytes(length)
    assert inspected(data, wanted(declared, variants=THUMB)).fault in ("undecodable", "disguised")


@pytest.mark.parametrize("form", FORMATS)
def test_a_truncated_picture_is_undecodable_where_it_is_decoded(form: str) -> None:
    data = picture(form, noise(400, 300))
    found = inspected(data[: len(data) * 2 // 3], wanted(FORMATS[form], variants=THUMB))
    assert (found.fault, found.variants) == ("undecodable", {})
    assert "damaged" in str(found.why)


@pytest.mark.parametrize("form", FORMATS)
def test_each_length_of_a_cut_header_has_a_verdict(form: str) -> None:
    data = picture(form, noise(32, 32))
    for length in (*range(1, 60), *range(60, min(len(data), 400), 11)):
        found = inspected(data[:length], wanted(FORMATS[form]))
        assert found.fault in (None, "undecodable", "disguised")


def test_a_source_that_has_less_than_it_says_is_undecodable() -> None:
    class Short(Bytes):
        async def read(self, first: int, length: int) -> bytes:
            return (await super().read(first, length))[: length // 2]

    assert inspected(Short(picture("JPEG")), wanted("image/jpeg", variants=THUMB)).fault == "undecodable"


def test_exif_that_leads_in_circles_ends() -> None:
    """IFD0 names itself as the next directory, as its own Exif directory, and as its GPS directory."""
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, 8) for tag in (0x8769, 0x8825, 0xA005))
    data = b"MM\0*\0\0\0\x08" + struct.pack(">H", 3) + entries + struct.pack(">I", 8)
    assert exif_reader.read(data).orientation == 1
    chain = b"MM\0*\0\0\0\x08" + b"".join(struct.pack(">HI", 0, 8 + 6 * (n + 1)) for n in range(5_000))
    assert exif_reader.read(chain).location == ()
    block = exif()
    block[0x0132] = "x"
    found = inspected(
        picture("JPEG", exif=b"Exif\0\0" + data), wanted("image/jpeg", strip_location="lossless", variants=THUMB)
    )
    assert found.fault is None


@pytest.mark.parametrize(
    "attack",
    [
        lambda: b"\xff\xd8" + b"\xff" * 5_000_000,
        lambda: b"\xff\xd8" + b"\xff\xe1\0\2" * 1_000_000,
        lambda: b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"tEXt", b"") * 400_000,
        lambda: b"RIFF\xff\xff\xff\xffWEBP" + b"ABCD\0\0\0\0" * 600_000,
        lambda: b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + b"\0\0\0\x08free" * 600_000,
        lambda: b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + b"\0\x0f\xff\xffmeta" + b"\0" * 0xFFFF7,
        lambda: b"GIF89a\1\0\1\0\0\0\0" + b"\x21\xfe" + b"\1a" * 5_000_000 + b"\0;",
        lambda: b"PK\x03\x04" * 1_000_000,
        lambda: b"\xff\xd8\xff\xe1\xff\xffhttp://ns.adobe.com/xap/1.0/\0" + b"<a:GPSx " * 9_000,
    ],
)
def test_no_header_takes_longer_than_a_second_or_many_reads(attack: Callable[[], bytes]) -> None:
    source = Bytes(attack())
    began = time.process_time()
    found = inspected(source, wanted("image/png", frozenset({"*/*"})))
    assert time.process_time() - began < 2
    assert len(source.reads) <= 8
    assert found.fault is not None


def test_a_picture_of_which_readers_would_see_another_size_is_undecodable() -> None:
    data = picture("JPEG", noise(64, 64))
    at = data.index(b"\xff\xc0")
    second = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4])].replace(b"\0\x40\0\x40", b"\x40\0\x40\0")
    assert inspected(data[:at] + second + data[at:], wanted("image/jpeg")).fault == "undecodable"


def test_private_chunks_and_text_are_no_fault() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "<script>" * 1000)
    assert inspected(picture("PNG", pnginfo=info), wanted("image/png", variants=THUMB)).fault is None
    assert Image.MAX_IMAGE_PIXELS == 89_478_485, "the limit of this process is not the child's"
