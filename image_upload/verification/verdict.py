"""What a scanner for malware answers."""

from typing import Literal, NamedTuple


class Verdict(NamedTuple):
    """`unscannable`: no scan of these bytes can end otherwise. `waiting`: ask again later.

    `reason` is for the log and the operator: the name of what was found, or why there is no other result.
    """

    result: Literal["clean", "infected", "unscannable", "waiting"]
    reason: str | None = None


CLEAN = Verdict("clean")
