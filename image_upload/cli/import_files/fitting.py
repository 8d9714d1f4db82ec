"""What a file becomes in the bucket: key, type, metadata. Or why it cannot."""

import mimetypes
import unicodedata
from collections.abc import Mapping
from typing import Final, NamedTuple

from image_upload.domain import keys
from image_upload.domain.purposes import DOCUMENT_TYPES, GIF_TYPES, IMAGE_TYPES, Purpose
from image_upload.errors import InvalidFilename
from image_upload.uploads.plans import UploadSpec
from image_upload.uploads.validation import ValidatedUpload, validate

# https://www.iana.org/assignments/media-types/media-types.xhtml#audio, and what browsers play.
_AUDIO: Final[Mapping[str, str]] = {
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "mp4": "audio/mp4",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
    "webm": "audio/webm",
    "weba": "audio/webm",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "amr": "audio/amr",
    "3gp": "audio/3gpp",
    "aif": "audio/aiff",
    "aiff": "audio/aiff",
}
_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {**IMAGE_TYPES, **GIF_TYPES, **DOCUMENT_TYPES}
# Python's own table, without that of this machine: the same file has the same type everywhere.
_REGISTERED = mimetypes.MimeTypes()
_ANY_TYPE = "application/octet-stream"


class Rules(NamedTuple):
    """What the operator asked for. `prefix` None: keys as the purpose makes them."""

    purpose: Purpose
    user_id: str
    class_id: str | None = None
    prefix: str | None = None


def content_type(purpose: Purpose, ext: str) -> str:
    """Return the media type that an extension stands for, where possible one of the purpose's."""
    if "audio/*" in purpose.types and ext in _AUDIO:
        return _AUDIO[ext]
    for types in (purpose.types, _KNOWN):
        for media_type, extensions in types.items():
            if ext in extensions:
                return media_type
    guessed, encoding = _REGISTERED.guess_type(f"x.{ext}")
    if guessed is not None and encoding is None:
        return guessed
    return _AUDIO.get(ext, _ANY_TYPE)


def fit(rules: Rules, path: bytes, size_bytes: int) -> ValidatedUpload:
    """Key and headers for a file. Raises the 400 problems of minting: too large, wrong type, bad name, bad key."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        raise InvalidFilename(
            "The name is no UTF-8. Rename the file; convmv does it for whole folders: convmv -f cp949 -t utf8 -r DIR."
        ) from None
    name = text.rpartition("/")[2]
    upload = validate(
        UploadSpec(
            content_type=content_type(rules.purpose, keys.extension(name)),
            purpose=rules.purpose,
            user_id=rules.user_id,
            filename=name,
            size_bytes=size_bytes,
            metadata={"class_id": rules.class_id} if rules.class_id else {},
        ),
        "multipart",
    )
    if rules.prefix is None:
        return upload
    # Composed, as file names are everywhere here: macOS writes Hangul decomposed, browsers ask for it composed.
    key = unicodedata.normalize("NFC", f"{rules.prefix}/{text}" if rules.prefix else text)
    return upload._replace(key=keys.check(key))
