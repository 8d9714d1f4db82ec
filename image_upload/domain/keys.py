"""Make object keys, and check keys and file names.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

import functools
import hashlib
import re
import secrets
import unicodedata
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from image_upload.domain.purposes import USER_FILE, Purpose
from image_upload.errors import InvalidFilename, InvalidKey
from image_upload.limits import COMBINING_RUN_MAX, ENCODINGS_MAX, FILENAME_MAX_CHARS, S3_KEY_MAX_BYTES

ID_BYTES = 16  # 128 bits: a key cannot be guessed, and no two uploads get the same one
OWNER_TAG_BYTES = 16  # 128 bits: a second user id with the same tag cannot be found

# The folder for uploads that name neither purpose nor folder.
DEFAULT_FOLDER = "uploads"
OTHER_FOLDER = "files"

# Folders of the service's own. What was not verified yet, what is malware, and the verdicts on what was removed are not
# readable through the service.
INCOMING = "incoming/"
QUARANTINE = "quarantine/"
REJECTED = "rejected/"
VARIANTS = "variants/"
UNREADABLE = (INCOMING, QUARANTINE, REJECTED)
# The state of jobs, and pieces of files that are still arriving: no files at all.
JOBS = "jobs/"
RESUMABLE = "resumable/"
OWN_FOLDERS = (*UNREADABLE, VARIANTS, JOBS, RESUMABLE)

# A key that is made leaves room for `variants/` in front of it and a variant's name behind it.
_MADE_MAX_BYTES = S3_KEY_MAX_BYTES - 64

# UAX 15 section 2: decomposed, no text is more than four times as long as composed.
_DECOMPOSED_MAX = 4
_KEY_TOO_LONG = f"The object key is longer than {S3_KEY_MAX_BYTES} bytes. Send a shorter name or folder."

# Control characters (Cc), line separators (Zl, Zp), lone surrogates (Cs), and U+FFFD, which stands for invalid UTF-8.
NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffd]")

_EXTENSION = re.compile(r"[a-z0-9]{1,10}", re.ASCII)
# In hexadecimal, where S3 does not enforce it. 48.8 TiB has 12 digits.
_LIMIT = r"(?:-([0-9a-f]{1,12}))?"
_ID = re.compile(
    rf"([0-9a-f]{{{2 * OWNER_TAG_BYTES}}})[0-9a-f]{{{2 * ID_BYTES}}}{_LIMIT}(?:\.{_EXTENSION.pattern})?", re.ASCII
)

# The only keys whose last segment is a client's file name. Their id is in the segment before.
_NAMED = USER_FILE.key.split("/")


@functools.lru_cache(maxsize=1024)
def owner_tag(user_id: str) -> str:
    """Return what the ids in all keys of this user begin with: 128 bits of SHA-256, as 32 hexadecimal digits."""
    return hashlib.sha256(b"image-upload owner v1\0" + user_id.encode()).hexdigest()[: 2 * OWNER_TAG_BYTES]


def published(key: str) -> str:
    """Return the key without the folder of the service's own in front of it: that of the file it belongs to."""
    folder, _, rest = key.partition("/")
    if f"{folder}/" in UNREADABLE:
        return rest
    return rest.rpartition("/")[0] if f"{folder}/" == VARIANTS else key


def variant(key: str, name: str, ext: str) -> str:
    """Return the key of a smaller picture of a file."""
    return f"{VARIANTS}{key}/{name}.{ext}"


def owner_tag_in(key: str) -> str | None:
    """Return the tag of the user for whom this service made a key; None for a key that it did not make."""
    match = _id_in(key)
    return match[1] if match else None


def max_bytes_in(key: str) -> int | None:
    """Return the largest allowed size of the key's object in bytes; None if S3 enforced it, and for other keys.

    A presigned PUT without a length takes any, so its key carries the limit: docs/decisions/unsized-uploads.md.
    """
    match = _id_in(key)
    return int(match[2], 16) if match and match[2] else None


def _id_in(key: str) -> re.Match[str] | None:
    """Return the match of the key's id: owner tag, limit."""
    key = published(key)
    parts = key.split("/")
    if not key.startswith(USER_FILE.prefix):
        name = parts[-1] if len(parts) > 1 else ""
    else:
        name = parts[_NAMED.index("{id}")] if len(parts) == len(_NAMED) else ""
    return _ID.fullmatch(name)


def user_in(key: str, purpose: Purpose) -> str | None:
    """Return the id of the user in a key of this purpose; None where its pattern has none."""
    names, parts = purpose.key.split("/"), key.split("/")
    if "{user}" not in names or len(names) != len(parts):
        return None
    return unquote(parts[names.index("{user}")].replace("~", "%"))


def new_id(user_id: str, seed: bytes | None = None) -> str:
    """Return the user's tag and 128 bits, in hexadecimal: random ones, or the 16 bytes of `seed`."""
    return owner_tag(user_id) + (secrets.token_bytes(ID_BYTES) if seed is None else seed).hex()


def make(
    purpose: Purpose,
    *,
    user_id: str,
    ext: str,
    class_id: str = "",
    filename: str = "",
    max_bytes: int | None = None,
    now: datetime,
    seed: bytes | None = None,
) -> str:
    """Return a key for a purpose: a new one, or the one of `seed` and the day. With `ext` empty it has no dot.

    `filename` must have passed `check_filename`. `max_bytes` is what `max_bytes_in` returns. `seed` has 16 bytes that
    cannot be guessed.
    """
    name = new_id(user_id, seed)
    key = purpose.key.format(
        id=name if max_bytes is None else f"{name}-{max_bytes:x}",
        yyyymmdd=now.astimezone(UTC).strftime("%Y%m%d") if "{yyyymmdd}" in purpose.key else "",
        user=segment(user_id),
        class_id=segment(class_id) if class_id else "",
        ext=ext,
        filename=filename,
    )
    return _check_made(key.removesuffix("."))


def make_in(folder: str, *, user_id: str, ext: str) -> str:
    """Return a new key in a folder that the client names: `{folder}/{user}/{id}.{ext}`. Raises `InvalidKey`."""
    folder = check(folder.strip("/") or DEFAULT_FOLDER)
    if f"{folder}/".startswith(OWN_FOLDERS):
        raise InvalidKey(f"The folder {folder.partition('/')[0]}/ is the service's own. Name another one.")
    key = _check_made(f"{folder}/{segment(user_id)}/{new_id(user_id)}.{ext}".removesuffix("."))
    if owner_tag_in(key) != owner_tag(user_id):
        raise InvalidKey(f"The folder {USER_FILE.prefix} belongs to POST /files/upload-url. Name another one.")
    return key


def _check_made(key: str) -> str:
    if len(key.encode()) > _MADE_MAX_BYTES:
        raise InvalidKey(_KEY_TOO_LONG)
    return check(key)


@functools.lru_cache(maxsize=1024)
def segment(name: str) -> str:
    """Encode a client's name as one path segment: injective, ASCII, never `.`, `..` or empty.

    Everything outside A-Z a-z 0-9 - _ . @ becomes `~hh` of its UTF-8 bytes. Percent-encoding is not used,
    because a proxy or CDN in front of the bucket may decode it once more.
    """
    if not name:
        raise InvalidKey("A name that becomes part of the object key is empty. Send one, or leave the field out.")
    escaped = quote(name, safe="@").replace("~", "%7E").replace("%", "~")
    return escaped.replace(".", "~2E") if set(escaped) == {"."} else escaped


def check(key: str) -> str:
    """Return the key, if S3 and all HTTP clients on the way transmit it unchanged; else raise `InvalidKey`."""
    if not key:
        raise InvalidKey("The object key is empty. Pass the objectKey you were given.")
    if len(key) > S3_KEY_MAX_BYTES:
        raise InvalidKey(_KEY_TOO_LONG)
    if NOT_TEXT.search(key):
        raise InvalidKey(
            "The object key holds control characters or half a character pair. Pass the objectKey you were given."
        )
    if len(key.encode()) > S3_KEY_MAX_BYTES:
        raise InvalidKey(_KEY_TOO_LONG)
    if _climbs(key):
        raise InvalidKey(
            "The object key must not start with '/', hold '\\', or climb with '.' or '..'. Pass the objectKey you "
            "were given."
        )
    return key


_STEPS = frozenset({".", ".."})


def _climbs(path: str) -> bool:
    """Return whether a path is absolute, has a backslash, or has a segment `.` or `..`.

    Test it percent-decoded too, any number of times: a proxy or a CDN may decode it. Return True for a path that is
    encoded more than `ENCODINGS_MAX` times: only an attack needs that.
    """
    for _ in range(ENCODINGS_MAX + 1):
        if path.startswith("/") or "\\" in path or not _STEPS.isdisjoint(path.split("/")):
            return True
        decoded = unquote(path) if "%" in path else path
        if decoded == path:
            return False
        path = decoded
    return True


def check_filename(filename: str) -> str:
    """Return the file name in Unicode's composed form (NFC), if it is a bare name; else raise `InvalidFilename`.

    macOS sends Hangul decomposed (NFD). In composed form the same name compares equal everywhere. Lengths are checked
    first, because normalising a run of combining marks takes quadratic time.
    """
    if len(filename) > _DECOMPOSED_MAX * FILENAME_MAX_CHARS:
        raise _too_long()
    if not filename.strip():
        raise InvalidFilename("The file name is empty. Send the name the file has, such as cat.jpg.")
    if NOT_TEXT.search(filename):
        raise InvalidFilename("The file name holds control characters. Send a printable name.")
    if not filename.isascii() and _longest_run(filename) > COMBINING_RUN_MAX:
        raise InvalidFilename(
            "The file name piles more than {limit} accents onto a letter. Rename the file and try again.",
            facts={"limit": COMBINING_RUN_MAX},
        )
    composed = unicodedata.normalize("NFC", filename)
    if len(composed) > FILENAME_MAX_CHARS:
        raise _too_long()
    if "/" in composed or _climbs(composed):
        raise InvalidFilename("The file name holds a path. Send the bare name, such as cat.jpg.")
    return composed


def _too_long() -> InvalidFilename:
    return InvalidFilename(
        "The file name is longer than {limit} characters. Shorten it and try again.",
        facts={"limit": FILENAME_MAX_CHARS},
    )


def _longest_run(text: str) -> int:
    """Return the length of the longest run of combining marks."""
    longest = run = 0
    for char in text:
        run = run + 1 if unicodedata.combining(char) else 0
        longest = max(longest, run)
    return longest


def extension(filename: str) -> str:
    """Return the extension in lower case without its dot, or "" if there is none that fits a key."""
    stem, dot, ext = filename.rpartition(".")
    ext = ext.lower()
    return ext if dot and stem and _EXTENSION.fullmatch(ext) else ""
