"""Identities and users, as values."""

from typing import NamedTuple


class Identity(NamedTuple):
    """A user's identity at a provider. `issuer` and `subject` together identify a user for ever; an address does not.

    `email_verified`: the provider has verified the address. `provider` is the name in the sign-in's route.
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
    """The user of a session, and its new refresh token."""

    user_id: int
    refresh_token: str
