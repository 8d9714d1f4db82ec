"""Every pair of what a file is declared as and what it is."""

import zlib

import pytest

from image_upload.domain.purposes import DOCUMENT_TYPES, IMAGE_TYPES
from image_upload.verification import kinds
from image_upload.verification.window import Window
from tests.verification.files import PICTURES, inspected, wanted
from tests.verification.kinds import FILES, WORD, zipped

ANYTHING = frozenset({"*/*"})
FAMILIES = (
    PICTURES,
    {name for name in FILES if name in DOCUMENT_TYPES or name in ("application/rtf", "application/vnd.hancom.hwpx")}
    - {"text/plain"},
    {"audio/mpeg", "audio/wav", "audio/ogg", "video/mp4", "video/webm"},
    {"application/zip", "application/gzip"},
    {"text/html", "image/svg+xml"},
)


@pytest.mark.parametrize("true", FILES)
def test_a_file_is_known_by_its_bytes(true: str) -> None:
    data = FILES[true]
    assert kinds.of(Window(len(data), data)) == true
    assert set(FILES) >= PICTURES


@pytest.mark.parametrize("true", FILES)
def test_within_a_family_the_true_type_counts_and_across_families_a_file_is_disguised(true: str) -> None:
    for declared in FILES:
        counts_or_is_disguised(true, declared)


def counts_or_is_disguised(true: str, declared: str) -> None:
    found = inspected(FILES[true], wanted(declared, ANYTHING))
    assert found.facts is not None
    is_one_family = true == declared or any({true, declared} <= family for family in FAMILIES)
    # Markdown begins with tags, too. Served as text it is harmless.
    is_sent_as_text = declared == "text/plain" and true in ("text/html", "image/svg+xml", "application/rtf")
    zip_of_an_office = declared == "application/zip" and zipped_office(true)
    if is_one_family or zip_of_an_office or is_sent_as_text:
        keeps_declared = is_sent_as_text or (declared.startswith("audio/") and true.startswith(("audio/", "video/")))
        assert (found.fault, found.facts.media_type) == (None, declared if keeps_declared else true), declared
    else:
        assert found.fault == "disguised", declared
        assert declared in str(found.why)


def zipped_office(true: str) -> bool:
    return FILES[true].startswith(b"PK") and true != "application/zip"


@pytest.mark.parametrize("true", FILES)
def test_a_purpose_for_pictures_takes_pictures_alone_whatever_they_are_called(true: str) -> None:
    """The documents' purposes for images take four types; each file is sent as each of them."""
    for declared in IMAGE_TYPES:
        found = inspected(FILES[true], wanted(declared, frozenset(IMAGE_TYPES)))
        if true in IMAGE_TYPES:
            assert found.fault is None, declared
        else:
            assert found.fault == ("type" if true == "image/gif" else "disguised"), declared


@pytest.mark.parametrize("true", FILES)
def test_a_file_without_a_declared_type_is_what_its_bytes_say(true: str) -> None:
    found = inspected(FILES[true], wanted("application/octet-stream", ANYTHING))
    assert found.facts is not None
    assert (found.fault, found.facts.media_type) == (None, true)


def test_bytes_that_say_nothing_pass_as_what_has_no_signature_and_not_as_a_picture() -> None:
    unknown = bytes(range(256)) * 4
    for declared, fault in {"audio/x-speex": None, "application/x-thing": None, "image/png": "disguised"}.items():
        assert inspected(unknown, wanted(declared, ANYTHING)).fault == fault
    assert inspected(FILES["application/zip"], wanted(WORD, ANYTHING)).fault == "disguised"


@pytest.mark.parametrize(
    ("declared", "kept"),
    [("audio/mp4", "video/mp4"), ("audio/x-m4a", "video/mp4"), ("audio/webm;codecs=opus", "video/webm")],
)
def test_a_recording_keeps_its_name_in_a_container_of_films(declared: str, kept: str) -> None:
    found = inspected(FILES[kept], wanted(declared, frozenset({"audio/*"})))
    assert found.facts is not None
    assert (found.fault, found.facts.media_type) == (None, declared.partition(";")[0])


def test_an_office_file_is_known_when_its_parts_are_listed_at_the_end_alone() -> None:
    """LibreOffice and Google write the parts in any order, so the folder may be far behind the first 64 KiB."""
    data = zipped("[Content_Types].xml", *(f"customXml/{n}.xml" for n in range(900)), "word/document.xml")
    assert len(data) > 100_000
    assert inspected(data, wanted(WORD, frozenset(DOCUMENT_TYPES))).fault is None


@pytest.mark.parametrize(
    ("text", "declared", "fault"),
    [
        ("안녕하세요\n".encode(), "text/plain", None),
        ("안녕하세요\n".encode("euc-kr"), "text/csv; charset=euc-kr", None),
        ("안녕하세요\n".encode("euc-kr"), "text/csv", "undecodable"),
        ("안녕하세요\n".encode("utf-16"), "text/plain; charset=utf-16", None),
        (b"a\0b", "text/plain", "undecodable"),
        (b"BMW,4\nAudi,5\n", "text/csv", None),
        (b"MZ is no program\n", "text/plain", None),
        (b'<p align="center">Title</p>\n\n# Text\n', "text/markdown", None),
        (zlib.compress(b"a,b\n"), "text/csv; charset=zlib_codec", "undecodable"),
        (b"\xb0\xa1\n", "text/csv; charset=no-such", "undecodable"),
        (b'{"a": 1}', "application/json", None),
    ],
)
def test_text_is_text_of_its_charset_without_nul(text: bytes, declared: str, fault: str | None) -> None:
    found = inspected(text, wanted(declared, ANYTHING))
    assert found.fault == fault, found.why
    if fault is None:
        assert found.facts is not None
        assert found.facts.media_type == declared.partition(";")[0]


def test_half_a_character_at_the_end_of_the_head_is_no_fault() -> None:
    assert inspected("가".encode() * 30_000, wanted("text/plain", ANYTHING)).fault is None
