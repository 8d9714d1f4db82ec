"""The table of purposes: the folder of an upload, its life time, and its types and size.

Keys, checks at mint, lifecycle rules and documentation are derived from this table. Add a purpose here only.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from image_upload.limits import GIB, MIB, S3_OBJECT_MAX_BYTES

# Media type → its file extensions, the usual one first.
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
# Recorders use different names for one format (audio/x-m4a, audio/mp4, audio/m4a), so any audio
# type agrees with any audio extension.
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
    """One row. `key` is a pattern for `keys.make`. `kept_days` is the life time; None means for ever.

    `types` maps media types (or `audio/*`, `*/*`) to the extensions that agree with them; without extensions, any
    agrees. `cdn`: a CDN in front of the bucket may serve the object publicly, by a URL without a signature. `cools`: it
    is seldom read after some time, so a lifecycle rule may move it to cheaper storage.
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
        """The folder of all its keys, and of no other purpose's: `scans/`."""
        return self.key.partition("/")[0] + "/"

    def extensions_of(self, content_type: str) -> tuple[str, ...] | None:
        """Return the extensions that agree with a media type (lower case, no parameters); None if it is not allowed."""
        for pattern in (content_type, content_type.partition("/")[0] + "/*", "*/*"):
            if pattern in self.types:
                return self.types[pattern]
        return None


# The keys of POST /files/upload-url (version 1). A client cannot name this purpose.
USER_FILE: Final = Purpose("user-file", "users/{user}/{id}/{filename}", None, ANY_TYPE, 5 * GIB, cdn=False, cools=True)


def table(*, allow_gif: bool) -> Mapping[str, Purpose]:
    """Return the purposes that a client can name, by name. GIF is an image only with `allow_gif`."""
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
    """Return all purposes, with `USER_FILE`: for rules that are derived from keys and life times."""
    return (*table(allow_gif=False).values(), USER_FILE)


def of_key(key: str, purposes: Iterable[Purpose]) -> Purpose | None:
    """Return the purpose whose folder a key is in, None if it is in none."""
    return next((purpose for purpose in purposes if key.startswith(purpose.prefix)), None)
