"""Who may do what with which key: the one place that decides. docs/decisions/ownership.md says why so."""

from typing import Literal

from image_upload.auth import permissions
from image_upload.auth.principals import Principal
from image_upload.domain import keys
from image_upload.errors import TokenMissing
from image_upload.library.objects import Library, missing
from image_upload.settings.auth import AuthSettings

Action = Literal["read", "delete"]


class Access:
    """The rule. A key that the service made says whose it is; of any other the object itself is asked.

    Outside production and without `AUTH_REQUIRED`, what says nothing is everybody's: a bucket of the developer's own.
    In production strangers neither list nor delete: they share one name, and a listing would give all their keys away.
    """

    def __init__(self, settings: AuthSettings, library: Library) -> None:
        self._library = library
        self._manage_needs_token = permissions.needs_token("manage", settings)
        self.shares_the_rest = not self._manage_needs_token

    async def check(self, principal: Principal, action: Action, key: str) -> str:
        """The key itself, if this principal may do this with it.

        Raises `InvalidKey`, `TokenMissing`, and for another user's key, whether or not there is an object, the
        `ObjectMissing` of one that is not there. For a key that the service did not make also the problems of S3.
        """
        keys.check(key)
        if action != "read":
            self._check_known(principal)
        if not (permissions.sees_all(principal) or await self._is_of(principal, key)):
            raise missing(hides=key)
        return key

    def check_listing(self, principal: Principal, prefix: str) -> str:
        """The prefix itself, if this principal may list at all. Raises `InvalidKey`, `TokenMissing`."""
        self._check_known(principal)
        return keys.check(prefix) if prefix else prefix

    def _check_known(self, principal: Principal) -> None:
        if self._manage_needs_token and not principal.signed_in:
            raise TokenMissing("Listing and deleting need a token. Send it as: Authorization: Bearer <token>.")

    async def _is_of(self, principal: Principal, key: str) -> bool:
        mark = keys.mark_in(key)
        if mark is not None:
            return mark == keys.mark(principal.user_id)
        if self.shares_the_rest:
            return True
        # One call whatever comes out of it, so that the time does not tell a missing object from another user's.
        return await self._library.owner_mark(key) == keys.mark(principal.user_id)
