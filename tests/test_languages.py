"""Which language an answer is in, and that both languages say the same."""

import re
import string
import time
from collections import defaultdict

import httpx
import pytest

from image_upload.errors import BatchRefused, EmptyFile, every_problem
from image_upload.languages import negotiation
from image_upload.languages.korean.codes import CODES
from image_upload.languages.korean.details import DETAILS
from image_upload.languages.wording import Sentence, human_bytes
from tests.conftest import problem
from tests.sentences import VERDICT, details
from tests.test_docs import code_in, read

KOREAN = {"Accept-Language": "ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7"}
HANGUL = re.compile("[가-힣]")
# Names, types and numbers: what is the same in both languages.
FACT = re.compile(
    r"[A-Z]+ /[\w/-]+|[A-Z]{2,}_[A-Z_]+|[a-z]+/[a-z-]+|\bS3\b|`[^`]+`|\d+|[a-z]+[A-Z]\w+|[a-z]+_[a-z_]+", re.ASCII
)


def words_of(sentence: str) -> set[str]:
    return {word for word in FACT.findall(sentence) if word != "0"}


def fields_of(template: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(template) if name)


def for_end_users() -> set[str]:
    """The codes that docs/errors.md says are answered in Korean."""
    found = re.search(r"In Korean are the details of (.*?)\.\n", read("docs/errors.md"), re.DOTALL)
    assert found is not None
    return set(code_in(found[1]))


def sentences_by_code() -> dict[str, set[str | None]]:
    found: dict[str, set[str | None]] = defaultdict(set)
    for code, template, _ in details():
        found[code].add(template)
    found["empty-file"] = {EmptyFile().detail}
    return found


def test_every_code_has_a_title_and_a_meaning_in_korean() -> None:
    assert CODES.keys() == {kind.code for kind in every_problem()}
    assert [code for code, texts in CODES.items() if not all(HANGUL.search(text) for text in texts)] == []


def test_meanings_name_the_same_members_in_both_languages() -> None:
    for kind in every_problem():
        named = {name for name in code_in(kind.__doc__ or "") if re.fullmatch(r"[a-z]+_[a-z_]+|/[a-z]+", name)}
        assert named <= set(re.findall(r"[\w/]+", CODES[kind.code][1])), kind.code


def test_every_sentence_of_a_code_for_end_users_is_there_in_both_languages() -> None:
    sentences = sentences_by_code()
    assert len(for_end_users()) > 30
    missing = {code: sentences[code] - DETAILS.keys() for code in (*for_end_users(), VERDICT)}
    assert {code: left for code, left in missing.items() if left or not sentences[code]} == {}


def test_no_translation_is_left_of_a_sentence_that_is_not_there_any_more() -> None:
    of_code = set().union(*(sentences_by_code()[code] for code in (*for_end_users(), VERDICT)))
    words = {each for each in DETAILS if " " not in each}
    assert words == {"user", "address", "post", "file", "size", "type", "checksum"}
    assert DETAILS.keys() - words == of_code


@pytest.mark.parametrize("english", DETAILS)
def test_both_languages_have_the_same_facts(english: str) -> None:
    korean = DETAILS[english]
    assert HANGUL.search(korean)
    assert fields_of(korean) == fields_of(english)
    assert words_of(korean) == words_of(english)
    assert english.endswith(".") == korean.endswith(".")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("ko", "ko"),
        ("KO-kr", "ko"),
        ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", "ko"),
        ("en-US,en;q=0.9,ko;q=0.8", "en"),
        ("fr, ko;q=0.3", "ko"),
        ("fr;q=1.0 , en;q=0.2 , ko;q=0.3", "ko"),
        ("fr", "en"),
        ("kok, kor", "en"),
        ("*", "en"),
        ("en;q=0, *", "ko"),
        ("ko;q=0", "en"),
        ("ko;q=0, *;q=0.5", "en"),
        ("ko;q=2", "en"),
        ("ko;q=0.1234", "en"),
        ("ko;;q=1", "en"),
        ("", "en"),
        (",,, ko ,,", "ko"),
        ("x" * 9 + ", ko;q=0.1", "ko"),
        ("ko, " + "x, " * 30_000, "en"),
    ],
)
def test_the_language_is_the_one_that_the_client_prefers(header: str, language: str) -> None:
    assert negotiation.preferred([(b"accept-language", header.encode())]) == language


def test_several_headers_count_as_one() -> None:
    assert negotiation.preferred([(b"accept-language", b"fr"), (b"accept-language", b"ko;q=0.5")]) == "ko"


def test_a_hostile_header_costs_nothing() -> None:
    started = time.process_time()
    for worst in (b"ko," * 22_000, b"ko-" * 22_000, b"ko;q=" * 13_000, b" " * 65_000, b"*;" * 33_000):
        for _ in range(100):
            assert negotiation.preferred([(b"accept-language", worst)]) == "en"
        # The longest that is read, of each.
        negotiation.preferred([(b"accept-language", worst[:512])])
    assert time.process_time() - started < 1


def test_a_problem_is_in_korean_for_those_who_prefer_it(service: str, web: httpx.Client) -> None:
    spec = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 10 * 1024 * 1024 + 1}
    english, korean = (web.post(f"{service}/uploads", json=spec, headers=headers) for headers in ({}, KOREAN))
    told = problem(korean, 400, "file-too-large")
    assert told["title"] == "파일이 너무 큼"
    assert told["detail"] == (
        "파일 크기가 10.1 MiB이고, 이 방식으로는 용도 upload에 최대 10 MiB까지 보낼 수 있습니다. "
        "파일 크기를 줄이거나 다른 용도를 선택해 주세요."
    )
    same = ("type", "status", "code", "max_bytes")
    assert [told[name] for name in same] == [problem(english, 400, "file-too-large")[name] for name in same]
    for response, language in ((english, "en"), (korean, "ko")):
        assert response.headers["content-language"] == language
        assert "Accept-Language" in response.headers["vary"]


def test_a_problem_for_developers_is_in_english_as_a_whole(service: str, web: httpx.Client) -> None:
    response = web.post(f"{service}/uploads", json={"filename": "cat.jpg"}, headers=KOREAN)
    assert problem(response, 422, "validation-failed")["title"] == "Validation failed"
    assert not HANGUL.search(response.text)
    assert response.headers["content-language"] == "en"


def test_a_batch_is_told_in_one_language(service: str, web: httpx.Client) -> None:
    wrong = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 0}
    response = web.post(f"{service}/uploads/batch", json={"uploads": [wrong]}, headers=KOREAN)
    told = problem(response, 400, "batch-refused")
    assert told["errors"] == [{"index": 0, "code": "empty-file", "detail": DETAILS[EmptyFile().detail]}]
    assert told["detail"].endswith(DETAILS[EmptyFile().detail])
    for_developers = wrong | {"size": 5, "purpose": "nonsense"}
    response = web.post(f"{service}/uploads/batch", json={"uploads": [wrong, for_developers]}, headers=KOREAN)
    assert problem(response, 400, "batch-refused")["title"] == BatchRefused.title
    assert not HANGUL.search(response.text)


def test_uppy_shows_its_user_the_same_language(service: str, web: httpx.Client) -> None:
    params = {"filename": "cat.heic", "type": "image/heic"}
    told = problem(web.get(f"{service}/s3/params", params=params, headers=KOREAN), 400, "unsupported-file-type")
    assert HANGUL.search(told["message"])
    assert told["message"] == told["detail"]


def test_the_codes_are_explained_in_korean(service: str, web: httpx.Client) -> None:
    response = web.get(f"{service}/errors", headers=KOREAN)
    assert response.headers["content-language"] == "ko"
    assert {entry["code"]: (entry["title"], entry["meaning"]) for entry in response.json()} == CODES
    one = web.get(f"{service}/errors/empty-file", headers=KOREAN)
    assert (one.json()["title"], one.headers["content-language"]) == ("빈 파일", "ko")
    assert "Accept-Language" in one.headers["vary"]
    assert problem(web.get(f"{service}/errors/none", headers=KOREAN), 404, "not-found")["title"] == "찾을 수 없음"


def test_facts_are_not_read_as_templates() -> None:
    sentence = Sentence("The purpose {purpose} does not take {type}.", {"purpose": "{type}", "type": "{0.__class__}"})
    assert sentence == "The purpose {type} does not take {0.__class__}."
    assert Sentence("Send {this}.") == "Send {this}."


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (10 * 1024**2, "10 MiB"),
        (10 * 1024**2 + 1, "10 MiB"),
        (5 * 1024**3, "5 GiB"),
        (10_000 * 5 * 1024**3, "48.8 TiB"),
        (4_400_000, "4.1 MiB"),
    ],
)
def test_sizes_are_those_that_people_read(count: int, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize("most", [1, 1000, 1023, 1024, 4_400_000, 10 * 1024**2, 5 * 1024**3, 10_000 * 5 * 1024**3])
def test_a_size_above_a_limit_never_looks_like_the_limit(most: int) -> None:
    assert human_bytes(most + 1, up=True) != human_bytes(most)
