"""docs/purposes.md: the purposes, and the types that they take."""

from collections.abc import Mapping
from typing import Final

from generate.blocks import fill, table
from image_upload.domain import purposes
from image_upload.domain.purposes import Purpose
from image_upload.languages.wording import human_bytes

_GROUPS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "images": purposes.IMAGE_TYPES,
    "images, with `ALLOW_GIF`": purposes.GIF_TYPES,
    "audio": purposes.AUDIO_TYPES,
    "documents": purposes.DOCUMENT_TYPES,
    "any": purposes.ANY_TYPE,
}
_COLUMNS: Final = ("Key", "Kept", "Types", "Largest", "CDN", "Cools")


def page(text: str) -> str:
    """docs/purposes.md."""
    named = [(f"`{name}`", *_facts(purpose)) for name, purpose in purposes.table(allow_gif=False).items()]
    types = [
        (group, f"`{media_type}`", " ".join(f"`{each}`" for each in extensions) or "any")
        for group, taken in _GROUPS.items()
        for media_type, extensions in taken.items()
    ]
    return fill(
        text,
        {
            "purposes": table(("Purpose", *_COLUMNS), named),
            "internal purpose": table(
                ("Minted by", *_COLUMNS), [("`POST /files/upload-url`", *_facts(purposes.USER_FILE))]
            ),
            "types": table(("Group", "Type", "Extensions"), types),
        },
    )


def _facts(purpose: Purpose) -> tuple[str, ...]:
    (group,) = (group for group, taken in _GROUPS.items() if taken == purpose.types)
    return (
        f"`{purpose.key}`",
        f"{purpose.kept_days} days" if purpose.kept_days else "for ever",
        group,
        human_bytes(purpose.max_bytes),
        "yes" if purpose.cdn else "no",
        "yes" if purpose.cools else "no",
    )
