"""Who signed in, as values."""

from typing import NamedTuple


class Identity(NamedTuple):
    """What a provider vouches for. `issuer` and `subject` together name a person for ever; an address does not.

    `email_verified`: the provider says that the address is this person's. `provider` is the way it came.
    """

    provider: str
    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    name: str | None


class User(NamedTuple):
    """A row of `users`. `email` is verified, or None."""

    id: int
    email: str | None
    name: str | None


class Renewed(NamedTuple):
    """Whose session it is, and the refresh token that is good from now on."""

    user_id: int
    refresh_token: str
