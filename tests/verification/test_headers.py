"""What the header of a picture says, in how many reads."""

import pytest

from tests.verification.files import FORMATS, Bytes, exif, inspected, noise, picture, wanted


@pytest.mark.parametrize("form", FORMATS)
def test_type_and_size_come_from_one_read_below_64_kib(form: str) -> None:
    source = Bytes(picture(form, noise(300, 200)))
    found = inspected(source, wanted("image/jpeg"))
    assert found.facts is not None
    assert (found.fault, found.facts.media_type, found.facts.width, found.facts.height) == (
        (None, FORMATS[form], 300, 200)
    )
    assert source.reads[0] == (0, min(source.size, 65_535))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_orientation_and_location_are_found_wherever_the_format_has_them(form: str, orientation: int) -> None:
    found = inspected(picture(form, exif=exif(orientation, with_location=True)), wanted(FORMATS[form]))
    assert found.facts is not None
    assert (found.facts.orientation, found.facts.has_location) == (orientation, True)
