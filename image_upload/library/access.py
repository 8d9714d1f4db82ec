"""Decide who may do what with a key. docs/decisions/ownership.md gives the reasons."""

from typing import Literal

from image_upload.auth import permissions
from image_upload.auth.principals import Principal
from image_upload.domain import keys
from image_upload.errors import TokenMissing
from image_upload.library.objects import Library, missing
from image_upload.settings.auth import AuthSettings

Action = Literal["read", "complete", "delete"]


class Access:
    """The rule of ownership. A key of this service has an owner tag; other objects may have one in their metadata.

    Outside production and without `AUTH_REQUIRED`, an object without an owner tag is visible to every user: it is in a
    developer's bucket. In production anonymous users can neither list nor delete: they share one user id, and a listing
    would reveal all their keys.
    """

    def __init__(self, settings: AuthSettings, library: Library) -> None:
        self._library = library
        self._manage_needs_token = permissions.needs_token("manage", settings)
        self.shares_the_rest = not self._manage_needs_token

    async def check(self, principal: Principal, action: Action, key: str) -> str:
        """Return the key, if the principal may do this with it.

        Raises `InvalidKey`, `TokenMissing`, and for another user's key `ObjectMissing`, whether or not the object
        exists. For a key without an owner tag also the problems of S3.
        """
        keys.check(key)
        if key.startswith((*keys.UNREADABLE, keys.JOBS, keys.RESUMABLE)):
            # The state of jobs, and bytes that were not verified or did not pass. An operator reads them with the
            # bucket's own tools.
            raise missing(concealed_key=key)
        if action == "delete":
            self._check_known(principal)
        if not (permissions.sees_all(principal) or await self._is_of(principal, key)):
            raise missing(concealed_key=key)
        return key

    def check_listing(self, principal: Principal, prefix: str) -> str:
        """Return the prefix, if the principal may list. Raises `InvalidKey`, `TokenMissing`."""
        self._check_known(principal)
        return keys.check(prefix) if prefix else prefix

    def _check_known(self, principal: Principal) -> None:
        if self._manage_needs_token and not principal.signed_in:
            raise TokenMissing("Listing and deleting need a token. Send it as: Authorization: Bearer <token>.")

    async def _is_of(self, principal: Principal, key: str) -> bool:
        tag = keys.owner_tag_in(key)
        if tag is not None:
            return tag == keys.owner_tag(principal.user_id)
        if self.shares_the_rest:
            return True
        # One call in every case, so that the time does not distinguish a missing object from another user's.
        return await self._library.owner_tag(key) == keys.owner_tag(principal.user_id)
