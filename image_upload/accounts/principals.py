"""Who is asking, and what for: a principal and the scopes of their token."""

from typing import NamedTuple

# Everything, for everybody's files.
ADMIN = "admin"
# Uploads only, as the user the token names: for a server that mints on behalf of its users.
MINT = "mint"

ANONYMOUS_ID = "anonymous"


class Principal(NamedTuple):
    """A signed-in user's id, or `anonymous`. `scopes` are those of `ADMIN` and `MINT` that the token carries."""

    user_id: str
    signed_in: bool
    scopes: frozenset[str] = frozenset()


ANONYMOUS = Principal(ANONYMOUS_ID, signed_in=False)
