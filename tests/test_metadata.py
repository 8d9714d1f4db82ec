"""User metadata goes up and comes back as the same text."""

from datetime import UTC, datetime
from email.header import Header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_upload.domain import keys, metadata
from image_upload.errors import InvalidMetadata

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


def sent(value: str) -> dict[str, str]:
    return metadata.headers_of({"note": value}, user_id="7", filename=None, content_type="image/jpeg", now=NOW)


@given(st.text(max_size=120).filter(lambda text: not keys.NOT_TEXT.search(text)))
def test_every_text_comes_back_as_it_was(value: str) -> None:
    try:
        headers = sent(value)
    except InvalidMetadata:  # too long once it is encoded
        return
    assert all(header.isascii() and header.isprintable() for header in headers.values())
    assert metadata.from_headers(headers)["note"] == value


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("plain", "plain"),
        ("=?UTF-8?B?6rOg7JaR7J20?=", "고양이"),
        ("=?utf-8?q?caf=C3=A9?=", "café"),
        ("=?UTF-8?B?6rOg?= =?UTF-8?B?7JaR7J20?=", "고양이"),  # in two words, as long texts come
        ("보고서", "보고서"),  # some stores give it back raw
        ("=?x-unknown?b?AAAA?=", "=?x-unknown?b?AAAA?="),
        ("=?utf-8?b?A?=", "=?utf-8?b?A?="),
        ("=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        ("a =? b", "a =? b"),
    ],
)
def test_what_s3_gives_back_is_read(header: str, value: str) -> None:
    assert metadata.from_headers({"X-Amz-Meta-Note": header, "content-type": "a/b"}) == {"note": value}


def test_the_standard_names_come_back_with_their_underscores() -> None:
    found = metadata.from_headers({"x-amz-meta-original-filename": "a", "x-amz-meta-other-name": "b"})
    assert found == {"original_filename": "a", "other-name": "b"}


@given(st.text(max_size=120).filter(lambda text: not keys.NOT_TEXT.search(text)))
def test_a_text_is_encoded_as_the_standard_library_would(value: str) -> None:
    try:
        header = sent(value)["x-amz-meta-note"]
    except InvalidMetadata:
        return
    assert header in (value, Header(value, "utf-8", maxlinelen=2**31).encode())


@pytest.mark.parametrize("text", ["", "x", "[" * 100_000, "[1]", "1", '"a"', "null", "{" + " " * 3000 + "}"])
def test_what_is_no_object_of_facts_is_none(text: str) -> None:
    assert metadata.facts_in({metadata.FACTS: text}) == {}


def test_facts_are_read_and_their_name_is_the_services() -> None:
    assert metadata.facts_in({metadata.FACTS: '{"width":4}'}) == {"width": 4}
    with pytest.raises(InvalidMetadata):
        metadata.headers_of({metadata.FACTS: "{}"}, user_id="7", filename=None, content_type="image/jpeg", now=NOW)
