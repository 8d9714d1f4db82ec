"""Texts for people: sentences that can be said in another language, and sizes as people read them."""

from collections.abc import Mapping
from typing import Any, Final, Self

from image_upload.limits import KIB

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


class Sentence(str):
    """A text in English that remembers its template and the facts in it.

    `languages` fills the same facts into the template's translation. A fact may be a sentence itself.
    """

    __slots__ = ("facts", "template")

    template: str
    facts: Mapping[str, Any]

    def __new__(cls, template: str, facts: Mapping[str, Any] | None = None) -> Self:
        """`facts` by the names in the template's braces. Without facts braces are braces."""
        self = super().__new__(cls, template.format_map(facts) if facts else template)
        self.template = template
        self.facts = facts or {}
        return self


def human_bytes(count: int, *, up: bool = False) -> str:
    """Return a size in the largest unit that fits, with one decimal where it is not whole: `10 MiB`, `48.8 TiB`.

    Rounded down, as a limit has to be; a size above a limit is rounded `up`, so that it never looks the same.
    """
    if count < KIB:
        return "1 byte" if count == 1 else f"{count} bytes"
    unit, length = 0, KIB
    while count >= length * KIB and unit < len(_UNITS) - 1:
        unit, length = unit + 1, length * KIB
    tenths = -(-count * 10 // length) if up else count * 10 // length
    whole, rest = divmod(tenths, 10)
    return f"{whole}.{rest} {_UNITS[unit]}" if rest else f"{whole} {_UNITS[unit]}"
