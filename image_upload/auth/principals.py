"""Principals: a user id, and the scopes of the token."""

from typing import NamedTuple

from image_upload.limits import SUBJECT_MAX_CHARS

# All rights on all users' files.
ADMIN = "admin"
# Uploads only, as the user in the token: for a server that mints for its users.
MINT = "mint"

ANONYMOUS_ID = "anonymous"


def is_user_id(text: str) -> bool:
    """Return whether a text can be the id of a signed-in user, which becomes part of keys."""
    return bool(text.strip()) and text.isprintable() and len(text) <= SUBJECT_MAX_CHARS and text != ANONYMOUS_ID


class Principal(NamedTuple):
    """A signed-in user's id, or `anonymous`. `scopes` are the token's, without JWT_SCOPE_PREFIX."""

    user_id: str
    signed_in: bool
    scopes: frozenset[str] = frozenset()


ANONYMOUS = Principal(ANONYMOUS_ID, signed_in=False)
