"""The header fields of tus 1.0.0, each with the sentence of its protocol.md."""

import base64
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from image_upload.errors import InvalidUploadHeader
from image_upload.limits import PARTIALS_MAX, UPLOAD_METADATA_MAX_CHARS, UPLOAD_METADATA_MAX_PAIRS
from image_upload.resumable import tus_fields

# What a header may hold on its way here.
VALUES = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=300)
KEYS = st.text("abcXYZ019_-./:;=", min_size=1, max_size=20)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("value", "number"), [("0", 0), ("1", 1), ("007", 7), (str(2**63 - 1), 2**63 - 1), ("9" * 4000, 10**19)]
)
def test_a_count_is_a_number_however_long(value: str, number: int) -> None:
    """The value MUST be a non-negative integer."""
    assert tus_fields.count("Upload-Offset", value) == number


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.0", "1e3", "0x10", "1 2", "1,1", "²", "٣", "NaN"])
def test_a_count_is_nothing_else(value: str) -> None:
    """The value MUST be a non-negative integer."""
    with pytest.raises(InvalidUploadHeader, match="Upload-Length is not a number"):
        tus_fields.count("Upload-Length", value)


@pytest.mark.parametrize("value", ["0", "true", "", "2", "1,1", "-1"])
def test_a_deferred_length_is_one(value: str) -> None:
    """Its value MUST be 1. If the length of an upload is not deferred, this header MUST be omitted."""
    tus_fields.check_deferred("1")
    with pytest.raises(InvalidUploadHeader):
        tus_fields.check_deferred(value)


def test_metadata_of_the_specification_s_example() -> None:
    """The value MAY be empty. In these cases, the space, which would normally separate [them], MAY be left out."""
    value = "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential"
    assert tus_fields.metadata(value) == {"filename": "world_domination_plan.pdf", "is_confidential": ""}
    assert tus_fields.metadata("a ,b") == {"a": "", "b": ""}
    assert tus_fields.metadata("a YQ==, b YQ==") == {"a": "a", "b": "a"}, "also with a space behind the comma"


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        "a YQ==,",
        ",a YQ==",
        " ",
        "a YQ==,a YQ==",  # All keys MUST be unique.
        "ä YQ==",
        "a\tYQ==",
        "a YQ",
        "a YQ==YQ==",
        "a  YQ==",
        "a Y Q",
        "a _w==",
        f"a {base64.b64encode(bytes([0xFF])).decode()}",
        f"{'k' * 256} YQ==",
        "a " + "A" * UPLOAD_METADATA_MAX_CHARS,
        ",".join(f"k{number}" for number in range(UPLOAD_METADATA_MAX_PAIRS + 1)),
    ],
)
def test_broken_metadata_is_refused(value: str) -> None:
    """The key MUST NOT contain spaces and commas and MUST NOT be empty. [...] the value MUST be Base64 encoded."""
    with pytest.raises(InvalidUploadHeader, match="Upload-Metadata cannot be read"):
        tus_fields.metadata(value)


@given(st.dictionaries(KEYS, st.text(max_size=30), min_size=1, max_size=20))
def test_metadata_comes_out_as_it_went_in(pairs: dict[str, str]) -> None:
    value = ",".join(f"{key} {encoded(text)}".rstrip() for key, text in pairs.items())
    assert tus_fields.metadata(value) == pairs


@pytest.mark.parametrize("name", ["sha1", "sha256", "md5", "crc32"])
def test_a_checksum_is_an_algorithm_and_a_digest(name: str) -> None:
    """The header MUST consist of the name of the used checksum algorithm and the Base64 encoded checksum."""
    digest = bytes(tus_fields.CHECKSUM_BYTES[name])
    assert tus_fields.checksum(f"{name} {base64.b64encode(digest).decode()}") == (name, digest)
    with pytest.raises(InvalidUploadHeader, match=f"no digest of {name}"):
        tus_fields.checksum(f"{name} {base64.b64encode(digest + b'1').decode()}")


def test_the_checksum_of_the_specification_s_example() -> None:
    assert tus_fields.checksum("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=")[1].hex() == (
        "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed"
    )


@pytest.mark.parametrize("value", ["", "sha1", "SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha512 YQ==", "sha1  YQ=="])
def test_an_unknown_checksum_is_refused(value: str) -> None:
    """400 Bad Request if the checksum algorithm is not supported by the server."""
    with pytest.raises(InvalidUploadHeader, match="Upload-Checksum"):
        tus_fields.checksum(value)


def test_partial_and_final_are_told_apart() -> None:
    """A semicolon and a space-separated list of partial upload URLs [...] MAY be absolute or relative."""
    assert tus_fields.partials("partial") is None
    urls = "final;/resumable/upl1.a https://any.example/api/resumable/upl1.b?x=1 http://[::1]:80/resumable/upl1%2Ec"
    assert tus_fields.partials(urls) == ["upl1.a", "upl1.b", "upl1.c"]
    assert tus_fields.partials("final; /resumable/a") == ["a"], "tusd takes a space there, too"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "final",
        "final;",
        "final; ",
        "Partial",
        "partial;",
        "whole;/resumable/a",
        "final;/files/a",
        "final;/resumable/",
        "final;a",
        "final;http://[/resumable/a",
        "final;" + " ".join(["/resumable/a"] * (PARTIALS_MAX + 1)),
    ],
)
def test_another_concatenation_is_refused(value: str) -> None:
    with pytest.raises(InvalidUploadHeader, match="Upload-Concat"):
        tus_fields.partials(value)


@pytest.mark.parametrize(
    "read",
    [
        lambda value: tus_fields.count("Upload-Offset", value),
        tus_fields.check_deferred,
        tus_fields.metadata,
        tus_fields.checksum,
        tus_fields.partials,
    ],
)
@given(value=VALUES)
@example(value="final;" + "[" * 200)
@example(value=",".join("abcdefgh"))
def test_any_value_is_read_or_refused(read: Callable[[str], Any], value: str) -> None:
    with contextlib.suppress(InvalidUploadHeader):
        read(value)
