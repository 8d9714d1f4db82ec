"""Choose the language of an answer and translate it: English, or Korean if the client prefers it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from image_upload.languages.wording import Sentence
from image_upload.limits import ACCEPT_LANGUAGE_MAX_BYTES

Language = Literal["en", "ko"]

# The first one is the default.
_LANGUAGES: Final[tuple[Language, ...]] = ("en", "ko")

# Accept-Language: RFC 9110 section 12.5.4. Language range: RFC 4647 section 2.1. Weight: RFC 9110 section 12.4.2.
_RANGE: Final = (
    r"(?ai)[ \t]*(\*|[a-z]{1,8})(?:-[a-z0-9]{1,8})*[ \t]*(?:;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?"
)


class _UntranslatedError(Exception):
    """A sentence has no translation."""


def preferred(headers: Iterable[tuple[bytes, bytes]]) -> Language:
    """Return the language that these request headers prefer: the highest weight, then the first. Names are lower case.

    `ko-KR` counts as `ko` (RFC 4647 section 3.4). A value longer than ACCEPT_LANGUAGE_MAX_BYTES is ignored.
    """
    value = b",".join(value for name, value in headers if name == b"accept-language")
    if not value or len(value) > ACCEPT_LANGUAGE_MAX_BYTES:
        return _LANGUAGES[0]
    weights: dict[str, float] = {}
    for text in value.decode("latin-1").split(","):
        if match := re.fullmatch(_RANGE, text):
            name = match[1].lower()
            weights[name] = max(weights.get(name, 0.0), float(match[2] or 1))
    others = weights.get("*", 0.0)
    order = [*(name for name in weights if name in _LANGUAGES), *_LANGUAGES]
    best = max(order, key=lambda name: weights.get(name, others))
    return "ko" if best == "ko" and weights.get(best, others) > 0 else "en"


def localized(document: Mapping[str, Any], language: Language) -> tuple[dict[str, Any], Language]:
    """Translate a problem document; return it and the language that it is in.

    If one of its sentences has no translation, all of it stays in English: an answer never mixes languages.
    """
    if language == "ko":
        try:
            return _in_korean(document), language
        except _UntranslatedError:
            pass
    return dict(document), "en"


def explained(code: str, title: str, meaning: str, language: Language) -> tuple[str, str]:
    """Return title and meaning of a code in a language."""
    if language == "en":
        return title, meaning
    from image_upload.languages.korean.codes import CODES  # see `_in_korean`

    return CODES[code]


def headers_of(language: Language) -> dict[str, str]:
    """Return Content-Language and Vary for an answer in this language (RFC 9110 sections 8.5 and 12.5.5)."""
    return {"Content-Language": language, "Vary": "Accept-Language"}


def _in_korean(document: Mapping[str, Any]) -> dict[str, Any]:
    from image_upload.languages.korean.codes import CODES  # 1 ms, and most services never answer in it
    from image_upload.languages.korean.details import DETAILS

    def said(value: Any) -> Any:
        if isinstance(value, Sentence):
            if value.template not in DETAILS:
                raise _UntranslatedError
            return DETAILS[value.template].format_map({name: said(fact) for name, fact in value.facts.items()})
        if isinstance(value, Mapping):
            return {name: said(each) for name, each in value.items()}
        if isinstance(value, list):
            return [said(each) for each in value]
        return value

    map_s3_errors: dict[str, Any] = said(document)
    return {**map_s3_errors, "title": CODES[document["code"]][0]}
