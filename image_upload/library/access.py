"""Who may do what with which key: the one place that decides."""

from typing import Literal

from image_upload import keys
from image_upload.accounts.principals import Principal
from image_upload.errors import NotSignedIn
from image_upload.settings import Settings

Action = Literal["read", "list", "delete"]


class Access:
    """The rule. Nobody's key is hidden from those who may come in, but in production strangers do not list or delete.

    To read takes the key, which holds 128 random bits; a listing would give all keys away.
    """

    def __init__(self, settings: Settings) -> None:
        self._strangers_manage = settings.environment != "production"

    def check(self, principal: Principal, action: Action, key: str) -> str:
        """The key itself (for `list` a prefix, which may be empty), if this principal may do this with it.

        Raises `InvalidKey`, `NotSignedIn`.
        """
        if action != "read" and not (principal.signed_in or self._strangers_manage):
            raise NotSignedIn("Listing and deleting need a token. Send it as: Authorization: Bearer <token>.")
        return key if action == "list" and not key else keys.check(key)
