"""Compare what a file is with what it was declared as, and with what its purpose takes."""

from collections.abc import Collection
from typing import Final, NamedTuple

from image_upload.verification import kinds

UNTYPED: Final = "application/octet-stream"

# Names of one type: the bytes cannot tell them apart, so the declared one is kept.
_SAME: Final = (
    frozenset({"application/x-hwp", "application/haansofthwp", "application/vnd.hancom.hwp"}),
    frozenset({"application/rtf", "text/rtf"}),
    frozenset({"image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence"}),
    frozenset({"image/png", "image/apng"}),
    frozenset({"application/zip", "application/x-zip-compressed"}),
)
# Recorders put sound alone into containers of films, and name it in many ways: audio/mp4, audio/x-m4a, audio/webm.
_CONTAINERS: Final = frozenset({"video/mp4", "video/quicktime", "video/webm", "video/x-matroska", "video/3gpp"})
_DOCUMENTS: Final = (
    *(
        "application/pdf",
        "application/msword",
        "application/vnd.ms-",
        "application/vnd.openxml",
        "application/vnd.oasis",
    ),
    *("application/vnd.hancom", "application/x-hwp", "application/haansofthwp", "application/rtf", "text/rtf"),
    *("application/epub", kinds.OLE),
)
_ZIPPED: Final = ("application/vnd.openxml", "application/vnd.oasis", "application/vnd.hancom.hwpx", "application/epub")
_ARCHIVES: Final = (
    *(kinds.ZIP, "application/x-zip", "application/gzip", "application/x-tar", "application/x-7z", "application/x-rar"),
    *("application/x-bzip2", "application/x-xz", "application/zstd", "application/x-l"),
)
_MARKUP: Final = ("text/html", "application/xhtml", "image/svg", "application/xml", "text/xml")
_TEXTS: Final = ("text/", "application/json", "application/javascript", "application/x-ndjson", "application/yaml")
# A file that is one of these begins with its signature. Of other types, such as most of audio, some have none.
_SIGNED: Final = (
    *("image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/hei", "image/tiff", "image/bmp"),
    *(_DOCUMENTS + _ARCHIVES + _MARKUP),
)
# XML that is more than a text.
_ACTIVE: Final = frozenset({"text/html", "application/xhtml+xml", "image/svg+xml", "application/xml", "text/xml"})


class Agreement(NamedTuple):
    """`media_type` is the true type. `fault` is None, `disguised` (another family than declared) or `type`."""

    media_type: str
    fault: str | None = None


def is_textual(media_type: str) -> bool:
    """Return whether files of this type are plain text, and no markup."""
    return _family(media_type) == "text"


def of(true: str | None, declared: str, taken: Collection[str]) -> Agreement:
    """Return the type that counts. `true` is what the bytes say, None if nothing; `declared` is plain, in lower case.

    `taken` are the types and patterns (`audio/*`, `*/*`) of the purpose. The true type counts, not the declared one.
    Both may differ within a family: a PNG that is declared as JPEG is a PNG. Across families the file is disguised.
    """
    if declared in ("", UNTYPED):
        found = true or UNTYPED
    elif true is None:
        if declared.startswith(_SIGNED):
            return Agreement(UNTYPED, "disguised")
        found = declared
    elif _is_same(true, declared):
        found = declared
    elif _family(true) != _family(declared) and not _is_zip_inside(true, declared):
        return Agreement(true, "disguised")
    else:
        found = true
    return Agreement(found, None if _is_taken(found, taken) else "type")


def _is_same(true: str, declared: str) -> bool:
    if true == declared or any(true in names and declared in names for names in _SAME):
        return True
    if declared.startswith("audio/") and (true in _CONTAINERS or true.startswith("audio/")):
        return True
    if is_textual(declared):
        return true == kinds.TEXT
    return declared.endswith(("+json", "+xml")) and _family(true) in ("text", "markup") and declared not in _ACTIVE


def _is_zip_inside(true: str, declared: str) -> bool:
    """Return whether both are ZIPs, and one name says what is inside."""
    return true.startswith(_ZIPPED) and declared.startswith((kinds.ZIP, "application/x-zip"))


def _family(media_type: str) -> str:
    """Return what a person would call it: picture, media, document, archive, markup, text, or its own type."""
    for prefixes, name in (
        (_MARKUP, "markup"),
        (_DOCUMENTS, "document"),
        (_ARCHIVES, "archive"),
        (_TEXTS, "text"),
        (("image/",), "picture"),
        (("audio/", "video/", "application/ogg"), "media"),
        (("font/", "application/font"), "font"),
    ):
        if media_type.startswith(prefixes):
            return name
    return media_type


def _is_taken(media_type: str, taken: Collection[str]) -> bool:
    return any(each in taken for each in (media_type, media_type.partition("/")[0] + "/*", "*/*"))
