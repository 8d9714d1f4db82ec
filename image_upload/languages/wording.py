"""Texts for users: sentences that can be translated, and sizes in readable units."""

from collections.abc import Mapping
from typing import Any, Final, Self

from image_upload.limits import KIB

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


class Sentence(str):
    """An English text with its template and facts.

    `negotiation` fills the same facts into the template's translation. A fact may be a sentence too.
    """

    __slots__ = ("facts", "template")

    template: str
    facts: Mapping[str, Any]

    def __new__(cls, template: str, facts: Mapping[str, Any] | None = None) -> Self:
        """Fill `facts` into the template by the names in its braces. Without facts the template is used as it is."""
        self = super().__new__(cls, template.format_map(facts) if facts else template)
        self.template = template
        self.facts = facts or {}
        return self


def human_bytes(count: int, *, up: bool = False) -> str:
    """Return a size in the largest unit that fits, with one decimal unless it is whole: `10 MiB`, `48.8 TiB`.

    It is rounded down, as for a limit. With `up` it is rounded up: use that for a size above a limit, so that both
    never read the same.
    """
    if count < KIB:
        return "1 byte" if count == 1 else f"{count} bytes"
    unit, length = 0, KIB
    while count >= length * KIB and unit < len(_UNITS) - 1:
        unit, length = unit + 1, length * KIB
    tenths = -(-count * 10 // length) if up else count * 10 // length
    whole, rest = divmod(tenths, 10)
    return f"{whole}.{rest} {_UNITS[unit]}" if rest else f"{whole} {_UNITS[unit]}"
