"""The key, type and metadata of a file in the bucket, or why it is refused."""

import unicodedata
from collections.abc import Mapping
from typing import Final, NamedTuple

from image_upload.auth.principals import Principal
from image_upload.domain import checks, keys
from image_upload.domain.purposes import Purpose
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
_ANY_TYPE = "application/octet-stream"


class Rules(NamedTuple):
    """The operator's options. If `prefix` is None, keys are made by the purpose."""

    purpose: Purpose
    user_id: str
    class_id: str | None = None
    prefix: str | None = None


def content_type(purpose: Purpose, ext: str) -> str:
    """Return the media type of an extension, if possible one of the purpose's."""
    if "audio/*" in purpose.types and ext in _AUDIO:
        return _AUDIO[ext]
    for media_type, extensions in purpose.types.items():
        if ext in extensions:
            return media_type
    return checks.usual_type(f"x.{ext}") or _AUDIO.get(ext, _ANY_TYPE)


def fit(rules: Rules, path: bytes, size_bytes: int) -> ValidatedUpload:
    """Return key and headers for a file. Raises the 400 problems of minting: size, type, name, key."""
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
            principal=Principal(rules.user_id, signed_in=True),
            filename=name,
            size_bytes=size_bytes,
            metadata={"class_id": rules.class_id} if rules.class_id else {},
        ),
        "multipart",
    )
    if rules.prefix is None:
        return upload
    # In composed form (NFC): macOS writes Hangul decomposed, and browsers request it composed.
    key = unicodedata.normalize("NFC", f"{rules.prefix}/{text}" if rules.prefix else text)
    return upload._replace(key=keys.check(key))
