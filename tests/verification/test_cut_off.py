"""Files that were cut off on their way to the client's disk: found without a decoder, and whole ones never refused."""

import random
import struct
from functools import cache

import pytest

from image_upload.limits import VERIFY_HEAD_BYTES, VERIFY_WHOLE_MAX_BYTES
from image_upload.verification import boxes
from image_upload.verification.window import Unreadable, Window
from tests.verification.files import FORMATS, Bytes, exif, inspected, noise, picture, wanted
from tests.verification.test_mutations import originals

FILM = b"\0\0\0\x18ftypmp42" + random.Random(1).randbytes(300_000).replace(b"\xff\xd9", b"\xff\xda")
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@cache
def files() -> dict[str, bytes]:
    """The ten files of the mutations, and three whose end is in another request than their beginning."""
    large = noise(700, 500)
    return originals() | {
        "JPEG large": picture("JPEG", large, quality=95),
        "JPEG large progressive": picture("JPEG", large, quality=95, progressive=True, exif=exif(6)),
        "PNG large": picture("PNG", large),
    }


def declared(name: str) -> str:
    return FORMATS[name.partition(" ")[0]]


@pytest.mark.parametrize("name", files())
def test_a_file_that_is_cut_off_anywhere_is_not_published(name: str) -> None:
    data = files()[name]
    assert inspected(data, wanted(declared(name))).fault is None
    for place in [*(len(data) * n // 20 for n in range(20)), len(data) - 2]:
        found = inspected(data[:place], wanted(declared(name)))
        assert found.fault in ("undecodable", "disguised"), (name, place, len(data))
        assert found.fault == "undecodable" or place < 16, (name, place)


@pytest.mark.parametrize("strip_location", ["off", "lossless", "all"])
def test_what_is_cut_off_is_found_however_the_file_is_read(strip_location: str) -> None:
    data = picture("JPEG", noise(700, 500), quality=95, exif=exif(with_location=True))
    asked = wanted("image/jpeg", strip_location=strip_location)
    assert inspected(data, asked).fault is None
    assert inspected(data[:-2], asked).fault == "undecodable"


@pytest.mark.parametrize("name", [name for name in files() if "GIF" not in name])
@pytest.mark.parametrize("behind", [EICAR, bytes(300_000), FILM, b"\r\n"], ids=["eicar", "zeros", "film", "line"])
def test_a_whole_file_passes_whatever_follows_its_end(name: str, behind: bytes) -> None:
    assert inspected(files()[name] + behind, wanted(declared(name))).fault is None


def test_a_film_behind_a_jpeg_that_is_cut_off_is_no_end() -> None:
    data = files()["JPEG large"]
    assert inspected(data[: len(data) // 2] + FILM, wanted("image/jpeg")).fault == "undecodable"


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_the_end_costs_one_read_below_64_kib(form: str) -> None:
    source = Bytes(files()[f"{form} large"])
    assert inspected(source, wanted(FORMATS[form])).fault is None
    last = source.size - VERIFY_HEAD_BYTES
    assert source.reads == [(0, VERIFY_HEAD_BYTES), (last, VERIFY_HEAD_BYTES)]


def test_a_jpeg_too_large_to_be_read_whole_is_not_refused_for_what_follows_it() -> None:
    source = Bytes(files()["JPEG"] + bytes(VERIFY_WHOLE_MAX_BYTES))
    assert inspected(source, wanted("image/jpeg")).fault is None
    assert sum(length for _, length in source.reads) <= 2 * VERIFY_HEAD_BYTES


def test_a_webp_may_lack_the_padding_that_it_counts() -> None:
    data = bytearray(picture("WEBP", exif=exif(with_location=True)))
    odd = b"XMP \x03\0\0\0xxx"
    whole = data[:4] + struct.pack("<I", len(data) - 8 + len(odd) + 1) + data[8:] + odd
    assert inspected(bytes(whole), wanted("image/webp")).fault is None
    assert inspected(bytes(whole[:-1]), wanted("image/webp")).fault == "undecodable"


def test_an_avif_that_ends_in_front_of_its_pixels_is_cut_off() -> None:
    data = originals()["AVIF"]
    before = data.index(b"mdat") - 4
    assert inspected(data[:before], wanted("image/avif")).fault == "undecodable"


def test_places_that_take_no_bytes_take_no_time() -> None:
    """4 million extents in 24 KB: their offsets and lengths have no bytes."""
    items = b"".join(struct.pack(">HHH", item, 0, 2_000) for item in range(2_000))
    iloc = struct.pack(">I", 16 + len(items)) + b"iloc" + b"\0\0\0\0" + b"\0\0" + struct.pack(">H", 2_000) + items
    ispe = struct.pack(">I", 20) + b"ispe" + bytes(4) + struct.pack(">II", 8, 8)
    ipco = struct.pack(">I", 8 + len(ispe)) + b"ipco" + ispe
    ipma = struct.pack(">I", 20) + b"ipma" + bytes(4) + struct.pack(">IHBB", 1, 1, 1, 1)
    iprp = struct.pack(">I", 8 + len(ipco) + len(ipma)) + b"iprp" + ipco + ipma
    pitm = struct.pack(">I", 14) + b"pitm" + bytes(4) + struct.pack(">H", 1)
    inside = bytes(4) + pitm + iprp + iloc
    data = struct.pack(">I", 8 + len(inside)) + b"meta" + inside
    with pytest.raises(Unreadable):
        boxes.heif(Window(len(data), data))
