import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_upload.domain import keys, shipped_purposes
from image_upload.domain.purposes import Purpose
from image_upload.errors import InvalidFilename, InvalidKey
from image_upload.limits import COMBINING_RUN_MAX, ENCODINGS_MAX, FILENAME_MAX_CHARS

NOW = datetime(2026, 11, 20, 23, 59, tzinfo=UTC)
PURPOSES = shipped_purposes.PURPOSES.named
ALL = shipped_purposes.PURPOSES.every()


def test_a_key_carries_128_random_bits() -> None:
    made = {keys.make(PURPOSES["upload"], user_id="7", ext="jpg", now=NOW) for _ in range(1000)}
    assert len(made) == 1000
    assert {key[len("uploads/") :][:32] for key in made} == {keys.owner_tag("7")}
    assert len({key[len("uploads/") + 32 :] for key in made}) == 1000
    assert all(len(key) == len("uploads/") + 32 + 32 + len(".jpg") for key in made)


def test_keys_follow_the_table() -> None:
    assert keys.make(PURPOSES["scan"], user_id="7", ext="jpg", now=NOW).startswith("scans/20261120/7/")
    audio = keys.make(PURPOSES["audio"], user_id="7", ext="mp3", class_id="c1", now=NOW)
    assert audio.startswith("audio/c1/")
    assert audio.endswith(".mp3")
    assert "." not in keys.make(PURPOSES["file"], user_id="7", ext="", now=NOW)


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_a_segment_is_safe_and_never_two_names_share_one(first: str, second: str) -> None:
    try:
        one, two = keys.segment(first), keys.segment(second)
    except UnicodeEncodeError:  # half a surrogate pair is no text that a token could carry
        return
    assert keys.check(one) == one
    assert "/" not in one
    assert one.isascii()
    assert (one == two) == (first == second)


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_a_key_says_whose_it_is_and_no_two_users_share_a_mark(first: str, second: str) -> None:
    try:
        made = [keys.make(purpose, user_id=first, ext="jpg", class_id=second, filename="a", now=NOW) for purpose in ALL]
        made.append(keys.make_in(f"a/{keys.segment(second)}", user_id=first, ext=""))
    except (UnicodeEncodeError, InvalidKey):
        return
    assert {keys.owner_tag_in(key) for key in made} == {keys.owner_tag(first)}
    assert (keys.owner_tag(first) == keys.owner_tag(second)) == (first == second)


@given(st.integers(1, 53_687_091_200_000), st.sampled_from(ALL), st.sampled_from(["", "jpg", "0"]))
def test_a_key_carries_its_limit_and_still_its_owner(max_bytes: int, purpose: Purpose, ext: str) -> None:
    named: dict[str, Any] = {"user_id": "7", "ext": ext, "class_id": "c", "filename": "a-ff.jpg", "now": NOW}
    key = keys.make(purpose, max_bytes=max_bytes, **named)
    assert (keys.max_bytes_in(key), keys.owner_tag_in(key)) == (max_bytes, keys.owner_tag("7"))
    assert keys.max_bytes_in(keys.make(purpose, **named)) is None


@pytest.mark.parametrize("tail", ["-", "-g", "-FF", "--1", "-1-1", "-1.jpg.jpg", "-" + "f" * 13, "-1/", "-1/a"])
def test_a_key_of_another_form_says_no_limit(tail: str) -> None:
    assert keys.max_bytes_in(f"uploads/{'0' * 64}{tail}") is None


@pytest.mark.parametrize(
    "key",
    [
        "a.jpg",
        "uploads/a.jpg", "uploads/" + "0" * 32 + ".jpg", "uploads/" + "0" * 63, "0" * 64, "uploads/" + "A" * 64,
        "uploads/" + "0" * 64 + ".JPG", "uploads/" + "0" * 64 + "/", "users/" + "0" * 64, "users/7/" + "0" * 64,
        "users/" + "0" * 64 + "/a/b", "users/7/8/" + "0" * 64, "users/7/" + "0" * 64 + "/a/b", "",
    ],
)  # fmt: skip
def test_a_key_of_another_form_says_nothing_of_its_owner(key: str) -> None:
    assert keys.owner_tag_in(key) is None


@pytest.mark.parametrize(
    "key",
    [
        "", "/", "/etc/passwd", "a/../b", "..", ".", "a/./b", "a/..", "a\\b", "a\x00b", "a\nb", "a\x7fb", "a\u2028b",
        "\ud800", "x" * 1025, "한" * 342,
    ],
)  # fmt: skip
def test_a_key_we_would_never_make_is_refused(key: str) -> None:
    with pytest.raises(InvalidKey):
        keys.check(key)


@pytest.mark.parametrize("key", ["a", "a//b", "사진/고양이 1.jpg", "a+b%20c", "...", "a..b/c", "x" * 1024, "한" * 341])
def test_a_key_in_any_script_is_kept_as_it_is(key: str) -> None:
    assert keys.check(key) == key


@pytest.mark.parametrize(
    "name",
    ["", " ", "../x.jpg", "a/b.jpg", "a\\b.jpg", "a\x00.jpg", "a\nb.jpg", "a\rb.jpg", "..", "x" * 300, "\ud83d.jpg"],
)
def test_a_file_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidFilename):
        keys.check_filename(name)


def test_a_decomposed_name_is_composed() -> None:
    assert keys.check_filename("고양이.jpg") == "고양이.jpg"


@pytest.mark.parametrize("char", ["\u1f82", "ế", "한"])
def test_a_name_may_be_as_long_decomposed_as_it_is_composed(char: str) -> None:
    name = char * FILENAME_MAX_CHARS
    assert keys.check_filename(unicodedata.normalize("NFD", name)) == name


def test_marks_are_not_sorted_before_they_are_counted() -> None:
    assert keys.check_filename("a" + "\u0301" * COMBINING_RUN_MAX)
    # In the wrong order; sorting so many takes minutes.
    pile = "\u0301" * 500_000 + "\u0316" * 500_000
    for name in ("a" + pile, "a" + pile[:COMBINING_RUN_MAX] + "\u0316"):
        with pytest.raises(InvalidFilename):
            keys.check_filename(name)


def test_what_is_encoded_again_and_again_counts_as_climbing() -> None:
    assert keys.check("a%" + "25" * (ENCODINGS_MAX - 1))
    with pytest.raises(InvalidKey):
        keys.check("a%" + "25" * (ENCODINGS_MAX + 1))


@pytest.mark.parametrize(
    ("name", "ext"),
    [("a.JPG", "jpg"), ("a.tar.gz", "gz"), ("a", ""), (".env", ""), ("a.", ""), ("a.jp g", ""), ("a.한글", "")],
)
def test_the_extension_is_the_last_part_in_lower_case(name: str, ext: str) -> None:
    assert keys.extension(name) == ext
