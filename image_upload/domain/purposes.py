"""The table of purposes: where an upload goes, how long it stays, what it may be.

Everything that depends on a purpose is derived from this table: keys, checks at mint, lifecycle
rules, documentation. A purpose is added here and nowhere else.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from image_upload.limits import GIB, MIB, S3_OBJECT_MAX_BYTES

# Media type → file extensions that may stand for it, the usual one first.
# https://www.iana.org/assignments/media-types/media-types.xhtml
IMAGE_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "image/jpeg": ("jpg", "jpeg"),
    "image/png": ("png",),
    "image/webp": ("webp",),
    "image/avif": ("avif",),
}
GIF_TYPES: Final[Mapping[str, tuple[str, ...]]] = {"image/gif": ("gif",)}

_AUDIO_EXTENSIONS: Final = (
    "mp3", "m4a", "wav", "ogg", "oga", "opus", "webm", "weba", "flac", "aac", "mp4", "amr", "3gp", "aif", "aiff",
)  # fmt: skip
# Recorders disagree about names (audio/x-m4a, audio/mp4, audio/m4a are one format), so any audio
# type goes with any audio extension.
AUDIO_TYPES: Final[Mapping[str, tuple[str, ...]]] = {"audio/*": _AUDIO_EXTENSIONS}

_OOXML = "application/vnd.openxmlformats-officedocument"
DOCUMENT_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "application/pdf": ("pdf",),
    "application/msword": ("doc",),
    f"{_OOXML}.wordprocessingml.document": ("docx",),
    "application/vnd.ms-excel": ("xls",),
    f"{_OOXML}.spreadsheetml.sheet": ("xlsx",),
    "application/vnd.ms-powerpoint": ("ppt",),
    f"{_OOXML}.presentationml.presentation": ("pptx",),
    "application/vnd.oasis.opendocument.text": ("odt",),
    "application/vnd.oasis.opendocument.spreadsheet": ("ods",),
    "application/vnd.oasis.opendocument.presentation": ("odp",),
    # Hancom Office, the office suite of Korean administrations.
    "application/x-hwp": ("hwp",),
    "application/haansofthwp": ("hwp",),
    "application/vnd.hancom.hwp": ("hwp",),
    "application/vnd.hancom.hwpx": ("hwpx",),
    "application/rtf": ("rtf",),
    "text/rtf": ("rtf",),
    "text/plain": ("txt", "text", "log", "md"),
    "text/markdown": ("md", "markdown"),
    "text/csv": ("csv",),
}
ANY_TYPE: Final[Mapping[str, tuple[str, ...]]] = {"*/*": ()}


class Purpose(NamedTuple):
    """One row: `key` is a pattern for `keys.make`, `kept_days` None means for ever.

    `types` maps media types (or `audio/*`, `*/*`) to the extensions that agree with them; no
    extensions means that any agrees. `cdn`: a CDN in front of the bucket may serve it to anybody who
    knows its address, for such an address needs no signature. `cools`: seldom read after a while, so it
    may move to cheaper storage as it ages.
    """

    name: str
    key: str
    kept_days: int | None
    types: Mapping[str, tuple[str, ...]]
    max_bytes: int
    cdn: bool
    cools: bool

    @property
    def prefix(self) -> str:
        """The folder that all its keys begin with, and those of no other purpose: `scans/`."""
        return self.key.partition("/")[0] + "/"

    def extensions_of(self, content_type: str) -> tuple[str, ...] | None:
        """Return the extensions that agree with a media type (lower case, no parameters), None if it is not taken."""
        for pattern in (content_type, content_type.partition("/")[0] + "/*", "*/*"):
            if pattern in self.types:
                return self.types[pattern]
        return None


# The documents' POST /files/upload-url keeps its own key; it is no purpose that a client can name.
USER_FILE: Final = Purpose("user-file", "users/{user}/{id}/{filename}", None, ANY_TYPE, 5 * GIB, cdn=False, cools=True)


def table(*, allow_gif: bool) -> Mapping[str, Purpose]:
    """Return all purposes by name; GIF counts as an image only where the operator says so."""
    images = {**IMAGE_TYPES, **GIF_TYPES} if allow_gif else IMAGE_TYPES
    rows = (
        Purpose("upload", "uploads/{id}.{ext}", None, images, 10 * MIB, cdn=True, cools=False),
        Purpose("scan", "scans/{yyyymmdd}/{user}/{id}", 30, images, 10 * MIB, cdn=True, cools=False),
        Purpose("profile", "profiles/{user}/{id}", None, images, 10 * MIB, cdn=True, cools=False),
        Purpose("chat", "chat/{yyyymmdd}/{user}/{id}", 7, images, 10 * MIB, cdn=True, cools=False),
        Purpose("audio", "audio/{class_id}/{id}.{ext}", None, AUDIO_TYPES, 5 * GIB, cdn=False, cools=True),
        Purpose("document", "documents/{user}/{id}.{ext}", None, DOCUMENT_TYPES, 5 * GIB, cdn=False, cools=True),
        Purpose("file", "files/{user}/{id}.{ext}", None, ANY_TYPE, S3_OBJECT_MAX_BYTES, cdn=False, cools=True),
    )
    return {row.name: row for row in rows}


def every() -> tuple[Purpose, ...]:
    """Return all purposes, also the one that no client can name: for what is derived from keys and life times."""
    return (*table(allow_gif=False).values(), USER_FILE)


def of_key(key: str, purposes: Iterable[Purpose]) -> Purpose | None:
    """Return the purpose whose folder a key is in, None if it is in none."""
    return next((purpose for purpose in purposes if key.startswith(purpose.prefix)), None)
