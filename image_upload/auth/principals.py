"""Who is asking, and what for: a principal and the scopes of their token."""

from typing import NamedTuple

from image_upload.limits import SUBJECT_MAX_CHARS

# Everything, for everybody's files.
ADMIN = "admin"
# Uploads only, as the user the token names: for a server that mints on behalf of its users.
MINT = "mint"

ANONYMOUS_ID = "anonymous"


def is_user_id(text: str) -> bool:
    """Return whether this can be the id of a signed-in user. It becomes part of keys."""
    return bool(text.strip()) and text.isprintable() and len(text) <= SUBJECT_MAX_CHARS and text != ANONYMOUS_ID


class Principal(NamedTuple):
    """A signed-in user's id, or `anonymous`. `scopes` are those of `ADMIN` and `MINT` that the token carries."""

    user_id: str
    signed_in: bool
    scopes: frozenset[str] = frozenset()


ANONYMOUS = Principal(ANONYMOUS_ID, signed_in=False)
