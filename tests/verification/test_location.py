"""The location of a picture is blanked in place: nothing else changes."""

import io
from pathlib import Path

import pytest
from PIL import Image, ImageChops, PngImagePlugin

from tests.contract.servers import UnsupportedError
from tests.needs import unavailable
from tests.verification import exiftool
from tests.verification.files import FORMATS, Bytes, exif, inspected, noise, picture, wanted

XMP = b"""<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 exif:GPSLatitude="37,33.975N" exif:GPSLongitude='126,58.67E'><exif:GPSAltitude>38/1</exif:GPSAltitude>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Seoul by night</rdf:li></rdf:Alt></dc:title>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"""
CLEANED = ["JPEG", "PNG", "WEBP", "AVIF"]


def with_location(form: str, orientation: int = 6) -> bytes:
    """A picture with a location in Exif and in XMP."""
    if form == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        return picture(form, noise(), exif=exif(orientation, with_location=True), pnginfo=info)
    return picture(form, noise(), exif=exif(orientation, with_location=True), xmp=XMP)


def pixels(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as found:
        found.load()
        return found


@pytest.mark.parametrize("form", CLEANED)
def test_location_is_blanked_and_pixels_orientation_and_length_stay(form: str) -> None:
    data = with_location(form)
    found = inspected(data, wanted(FORMATS[form], strip_location="lossless"))
    assert found.facts is not None
    assert (found.fault, found.facts.has_location, found.facts.location_is_left) == (None, True, False)
    assert found.replacement is not None
    assert (len(found.replacement), found.replacement_type) == (len(data), FORMATS[form])
    before, after = pixels(data), pixels(found.replacement)
    assert ImageChops.difference(before, after).getbbox() is None
    # Pillow reads the GPS directory as empty, and the other tags as before.
    assert after.getexif().get_ifd(0x8825) == {}
    assert dict(after.getexif()).keys() == dict(before.getexif()).keys()
    assert after.getexif()[0x0112] == 6
    for word in (b"GPSLatitude=", b"126,58.67E", b"<exif:GPSAltitude"):
        assert word in data
        assert word not in found.replacement
    assert b"Seoul by night" in found.replacement
    again = inspected(found.replacement, wanted(FORMATS[form], strip_location="lossless"))
    assert again.facts is not None
    assert (again.fault, again.facts.has_location, again.replacement) == (None, False, None)


@pytest.mark.parametrize("form", CLEANED)
def test_off_reports_the_location_and_changes_nothing(form: str) -> None:
    source = Bytes(with_location(form))
    found = inspected(source, wanted(FORMATS[form], strip_location="off"))
    assert found.facts is not None
    assert (found.facts.has_location, found.facts.location_is_left, found.replacement) == (True, True, None)


@pytest.mark.parametrize("form", FORMATS)
def test_a_picture_without_location_is_published_as_it_is(form: str) -> None:
    source = Bytes(picture(form, noise(), exif=exif(3)) if form != "GIF" else picture(form))
    found = inspected(source, wanted(FORMATS[form], strip_location="lossless"))
    assert found.facts is not None
    assert (found.facts.has_location, found.replacement) == (False, None)


def test_a_picture_above_the_limit_keeps_its_location_and_its_facts_say_so() -> None:
    data = with_location("JPEG") + bytes(17 * 1024 * 1024)
    found = inspected(data, wanted("image/jpeg", strip_location="lossless"))
    assert found.facts is not None
    assert (found.fault, found.replacement) == (None, None)
    assert (found.facts.location_is_left, found.facts.is_whole) == (True, False)


def film() -> bytes:
    """What a phone puts behind a motion photo's end: a film with an atom of its location."""
    place = b"\0\x12\x15\xc7+37.5665+126.97/"
    atom = (len(place) + 8).to_bytes(4) + b"\xa9xyz" + place
    return b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + (len(atom) + 8).to_bytes(4) + b"moov" + atom


def test_a_motion_photo_is_reported_and_with_all_its_film_is_cut_off() -> None:
    photo = with_location("JPEG")
    found = inspected(photo + film(), wanted("image/jpeg", strip_location="lossless"))
    assert found.facts is not None
    assert found.replacement is not None
    assert (found.facts.location_is_left, len(found.replacement)) == (True, len(photo + film()))
    found = inspected(photo + film(), wanted("image/jpeg", strip_location="all"))
    assert found.facts is not None
    assert found.replacement is not None
    assert (found.facts.location_is_left, len(found.replacement)) == (False, len(photo))
    assert ImageChops.difference(pixels(photo), pixels(found.replacement)).getbbox() is None


def test_the_location_of_further_pictures_in_the_file_is_blanked_too() -> None:
    """A JPEG of several pictures: each has Exif of its own."""
    second = picture("JPEG", noise(64, 48), exif=exif(1, with_location=True))
    for strip in ("lossless", "all"):
        found = inspected(with_location("JPEG") + second, wanted("image/jpeg", strip_location=strip))
        assert found.replacement is not None
        assert b"GPSLatitude" not in found.replacement
        at = found.replacement.find(b"Exif\0\0", 2_000)
        assert (at < 0) == (strip == "all")
        if at >= 0:
            assert pixels(found.replacement[found.replacement.rindex(b"\xff\xd8") :]).getexif().get_ifd(0x8825) == {}


def test_exif_behind_the_pixels_of_a_png_is_found() -> None:
    data = with_location("PNG")
    at = data.index(b"eXIf") - 4
    chunk = data[at : at + 12 + int.from_bytes(data[at : at + 4])]
    rest = data.replace(chunk, b"")
    moved = rest[:-12] + chunk + rest[-12:]
    big = moved + b""
    found = inspected(big, wanted("image/png", strip_location="lossless"))
    assert found.replacement is not None
    assert pixels(found.replacement).getexif().get_ifd(0x8825) == {}


@pytest.mark.needs("exiftool")
@pytest.mark.parametrize("strip", ["lossless", "all"])
@pytest.mark.parametrize("form", CLEANED)
def test_exiftool_finds_no_location_any_more_and_the_same_pixels(form: str, strip: str, tmp_path: Path) -> None:
    data = with_location(form) + (film() if form == "JPEG" and strip == "all" else b"")
    path = tmp_path / "before"
    path.write_bytes(data)
    try:
        before = exiftool.location(path)
    except UnsupportedError as error:
        unavailable("exiftool", error)
    assert any("Latitude" in name for name in before), before
    found = inspected(data, wanted(FORMATS[form], strip_location=strip))
    assert found.replacement is not None
    path = tmp_path / "after"
    path.write_bytes(found.replacement)
    assert exiftool.location(path) == {}
    after = exiftool.metadata(path)
    assert [value for name, value in after.items() if name.endswith(":Orientation")][:1] == [6] or form == "AVIF"
    assert "ExifTool:Error" not in after
    assert "Seoul by night" in str(after)
    assert ImageChops.difference(pixels(data), pixels(found.replacement)).getbbox() is None
