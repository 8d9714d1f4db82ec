"""A purpose: the folder of an upload, its life time, and its types and size.

Keys, checks at mint, lifecycle rules and documentation are derived from it. The purposes themselves are the operator's:
`purposes.toml`, which `purpose_file` reads.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple, get_args

from image_upload.limits import GIB

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

# A browser runs the scripts of an SVG that it opens.
_UNSAFE_IMAGES: Final = frozenset({"image/*", "image/svg+xml"})

# The groups that `types` in a file of purposes may name.
GROUPS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "images": IMAGE_TYPES,
    "audio": AUDIO_TYPES,
    "documents": DOCUMENT_TYPES,
    "any": ANY_TYPE,
}


VariantFormat = Literal["webp", "avif"]
VARIANT_FORMATS: Final[tuple[VariantFormat, ...]] = get_args(VariantFormat)


class Variant(NamedTuple):
    """A smaller picture to make of each arrival: `width` pixels wide, under this name."""

    name: str
    width: int
    format: VariantFormat


class Purpose(NamedTuple):
    """One row. `key` is a pattern for `keys.make`. `kept_days` is the life time; None means for ever.

    `types` maps media types (or `audio/*`, `*/*`) to the extensions that agree with them; without extensions, any
    agrees. `cdn`: a CDN in front of the bucket may serve the object publicly, by a URL without a signature. `cools`: it
    is seldom read after some time, so a lifecycle rule may move it to cheaper storage. `scope`: the scope that a token
    needs to upload; None for none. `checked`: its files are verified before they are served. `variants`: what to make
    of its pictures; only of a checked purpose. `task`: the job that each arrival starts; None for none.
    `files_per_day`: how many uploads a user may begin in a day of UTC; None for any number.
    """

    name: str
    key: str
    kept_days: int | None
    types: Mapping[str, tuple[str, ...]]
    max_bytes: int
    cdn: bool
    cools: bool
    scope: str | None = None
    checked: bool = False
    variants: tuple[Variant, ...] = ()
    task: str | None = None
    files_per_day: int | None = None

    @property
    def prefix(self) -> str:
        """The folder of all its keys, and of no other purpose's: `scans/`."""
        return self.key.partition("/")[0] + "/"

    @property
    def holds_pictures(self) -> bool:
        """Whether every type is an image that a browser shows and does not run, as it would an SVG."""
        return all(each.startswith("image/") and each not in _UNSAFE_IMAGES for each in self.types)

    def extensions_of(self, content_type: str) -> tuple[str, ...] | None:
        """Return the extensions that agree with a media type (lower case, no parameters); None if it is not allowed."""
        for pattern in (content_type, content_type.partition("/")[0] + "/*", "*/*"):
            if pattern in self.types:
                return self.types[pattern]
        return None


# The purpose of POST /files/upload-url (version 1), unless a file changes it. A client cannot name it.
USER_FILE: Final = Purpose("user-file", "users/{user}/{id}/{filename}", None, ANY_TYPE, 5 * GIB, cdn=False, cools=True)


class Purposes(NamedTuple):
    """The purposes of a service. `named`: those that a client can name, by name; the first one is the default.

    `user_file` is the purpose of POST /files/upload-url: `USER_FILE`, or the operator's changes of it.
    """

    named: Mapping[str, Purpose]
    user_file: Purpose = USER_FILE

    @classmethod
    def of(cls, *rows: Purpose, user_file: Purpose = USER_FILE) -> "Purposes":
        """Return these purposes, in their order."""
        return cls({row.name: row for row in rows}, user_file)

    @property
    def default(self) -> Purpose:
        """The purpose of an upload that names none."""
        return next(iter(self.named.values()))

    def get(self, name: str) -> Purpose | None:
        """Return the purpose of a name, without regard to case; None if there is none."""
        found = self.named.get(name)
        if found is None:
            found = next((row for row in self.named.values() if row.name.lower() == name.lower()), None)
        return found

    def every(self) -> tuple[Purpose, ...]:
        """Return all purposes, with `user_file`: for rules that are derived from keys and life times."""
        return (*self.named.values(), self.user_file)

    def with_gif(self) -> "Purposes":
        """Return the same purposes; those that take all `images` take GIF too."""
        return Purposes.of(
            *(
                row._replace(types={**row.types, **GIF_TYPES}) if IMAGE_TYPES.keys() <= row.types.keys() else row
                for row in self.named.values()
            ),
            user_file=self.user_file,
        )


def of_key(key: str, purposes: Iterable[Purpose]) -> Purpose | None:
    """Return the purpose whose folder a key is in, None if it is in none."""
    return next((purpose for purpose in purposes if key.startswith(purpose.prefix)), None)
