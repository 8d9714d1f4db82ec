"""What the user of a file with a fault is told: what is wrong, and what to do next."""

from collections.abc import Iterable
from typing import Final

from image_upload.languages.wording import Sentence

EMPTY: Final = Sentence("The file is empty. Choose another one.")
UNREADABLE: Final = Sentence(
    "The picture cannot be read: it is damaged, or was cut off on its way. Open it, save it anew, and send that."
)


def disguised(true: str | None, declared: str) -> Sentence:
    """Return the sentence for a file that is something else than it was declared as."""
    if true is None:
        return Sentence(
            "The file was sent as {declared}, but that is not what it holds. Choose the right file.",
            {"declared": declared},
        )
    return Sentence(
        "The file was sent as {declared}, but it is {true}. Choose the right file, or send it as what it is.",
        {"declared": declared, "true": true},
    )


def not_taken(true: str, taken: Iterable[str]) -> Sentence:
    """Return the sentence for a true type that the purpose does not take."""
    return Sentence(
        "The file is {true}, which is not taken here. Convert it to one of these types: {types}.",
        {"true": true, "types": ", ".join(sorted(taken))},
    )


def no_text(charset: str, media_type: str) -> Sentence:
    """Return the sentence for bytes that are no text."""
    return Sentence(
        "The file is no text in {charset}. Save it as UTF-8, or send it with its charset: {type}; charset=euc-kr.",
        {"charset": charset, "type": media_type},
    )


def too_many_pixels(width: int, height: int, most: int) -> Sentence:
    """Return the sentence for a picture above the limit of pixels."""
    return Sentence(
        "The picture has {width} x {height} pixels, more than {limit} million in all. Make it smaller.",
        {"width": width, "height": height, "limit": f"{most / 1_000_000:g}"},
    )


def too_many_frames(most: int) -> Sentence:
    """Return the sentence for an animation above the limit of frames."""
    return Sentence(
        "The animation has more than {limit} frames. Make it shorter, or send it as a film.", {"limit": most}
    )
