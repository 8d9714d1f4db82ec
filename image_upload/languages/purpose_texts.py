"""What a purpose takes, in a line that a front end can show: English and Korean."""

from collections.abc import Mapping
from typing import Final

from image_upload.languages.negotiation import Language
from image_upload.languages.wording import human_bytes

# By the main type that all types of the purpose have.
_NOUNS: Final[Mapping[str, Mapping[Language, str]]] = {
    "*": {"en": "Any file", "ko": "모든 파일"},
    "image": {"en": "Images", "ko": "이미지"},
    "audio": {"en": "Audio files", "ko": "오디오 파일"},
    "video": {"en": "Videos", "ko": "동영상"},
}
_FILES: Final[Mapping[Language, str]] = {"en": "Files", "ko": "파일"}


def texts_of(types: Mapping[str, tuple[str, ...]], max_bytes: int, kept_days: int | None) -> dict[Language, str]:
    """Return `Images (JPG, PNG), up to 10 MiB. Kept for 30 days.` in each language.

    `types` are media types with their extensions, the usual one first. The last sentence is only for a life time.
    """
    mains = {each.partition("/")[0] for each in types}
    nouns = _NOUNS.get(mains.pop(), _FILES) if len(mains) == 1 else _FILES
    usual = dict.fromkeys(ext for name, each in types.items() for ext in (each if name.endswith("/*") else each[:1]))
    formats = f" ({', '.join(each.upper() for each in usual)})" if usual else ""
    limit = human_bytes(max_bytes)
    english, korean = f"{nouns['en']}{formats}, up to {limit}.", f"{nouns['ko']}{formats}, 최대 {limit}."
    if kept_days is not None:
        english += f" Kept for {kept_days} day{'s' if kept_days > 1 else ''}."
        korean += f" {kept_days}일 동안 보관됩니다."
    return {"en": english, "ko": korean}
