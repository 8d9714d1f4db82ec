"""The header fields of draft-ietf-httpbis-resumable-upload, each with its sentence."""

import base64
import contextlib
import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from image_upload.errors import InvalidUploadHeader
from image_upload.resumable import ietf_fields
from tests.resumable.test_tus_fields import VALUES

SHA256 = base64.b64encode(hashlib.sha256(b"hello").digest()).decode()
SHA512 = base64.b64encode(hashlib.sha512(b"hello").digest()).decode()


@pytest.mark.parametrize(("value", "number"), [("0", 0), (" 5 ", 5), ("5;a=b", 5), ("999999999999999", 10**15 - 1)])
def test_a_count_is_a_non_negative_integer(value: str, number: int) -> None:
    """Its value is a non-negative Integer; RFC 9651 section 3.3.1 gives it 15 digits."""
    assert ietf_fields.count(value) == number


@pytest.mark.parametrize(
    "value",
    [None, "", "-1", "1.0", "?1", '"5"', ":NQ==:", "5, 5", "five", "1" + "0" * 15, "5" * 2000, "@5", "²"],
)
def test_another_count_is_ignored(value: str | None) -> None:
    """Other values MUST cause the entire header field to be ignored."""
    assert ietf_fields.count(value) is None


def test_completeness_is_a_boolean() -> None:
    """Its value is a Boolean."""
    assert [ietf_fields.is_true(value) for value in ("?1", "?0", "?1;a", " ?0")] == [True, False, True, False]


@pytest.mark.parametrize("value", [None, "", "1", "0", "true", "?2", "?", "?1, ?1", '"?1"'])
def test_another_completeness_is_ignored(value: str | None) -> None:
    """Other values MUST cause the entire header field to be ignored."""
    assert ietf_fields.is_true(value) is None


def test_the_strongest_digest_is_taken_and_unknown_ones_are_ignored() -> None:
    """RFC 9530 section 2: A recipient MAY ignore any or all Content-Digests."""
    both = f"md5=:AAAA:, sha-256=:{SHA256}:, sha-512=:{SHA512}:"
    assert ietf_fields.digest("Content-Digest", both) == ("sha-512", hashlib.sha512(b"hello").digest())
    assert ietf_fields.digest("Content-Digest", f"sha-256=:{SHA256}:") == ("sha-256", hashlib.sha256(b"hello").digest())
    for ignored in (None, "", "md5=:AAAA:", "sha-256=", "?1", "sha-256=:" + "A" * 2000 + ":"):
        assert ietf_fields.digest("Content-Digest", ignored) is None


@pytest.mark.parametrize("value", ["sha-256=:AAAA:", "sha-512=5", "sha-256", f"sha-512=:{SHA256}:"])
def test_a_digest_of_another_length_is_refused(value: str) -> None:
    with pytest.raises(InvalidUploadHeader, match=r"Repr-Digest has no sha-\d+ of"):
        ietf_fields.digest("Repr-Digest", value)


@given(value=VALUES)
@example(value="@999999999999999")
@example(value="(" * 300)
@example(value="sha-256=(:AA==:)")
def test_any_value_is_read_or_ignored(value: str) -> None:
    count, complete, version = ietf_fields.count(value), ietf_fields.is_true(value), ietf_fields.version(value)
    assert count is None or count >= 0
    assert complete in (None, True, False)
    assert version is None or type(version) is int
    with contextlib.suppress(InvalidUploadHeader):
        ietf_fields.digest("Content-Digest", value)


@given(st.integers(0, 10**15 - 1), st.booleans())
def test_what_is_written_is_read(number: int, complete: bool) -> None:
    assert ietf_fields.count(str(number)) == number
    assert ietf_fields.is_true(ietf_fields.as_boolean(complete)) is complete
