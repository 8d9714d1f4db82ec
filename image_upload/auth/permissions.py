"""Who may do what. Every route states one right, in one word; whose file it is, decides with it.

| scopes of the token | mint | go on with an upload | read | manage |
|---|---|---|---|---|
| none | yes | theirs | what is theirs | what is theirs |
| `mint` | yes, as the user it names | that user's | no | no |
| `admin` | yes | anybody's | everything | everything |
"""

from typing import Literal

from image_upload.auth.principals import ADMIN, MINT, Principal
from image_upload.settings.auth import AuthSettings

# mint: ask for an upload, go on with it, end it. read: look at what is stored. manage: change, list or remove it.
Right = Literal["mint", "read", "manage"]


def has(principal: Principal, right: Right) -> bool:
    """Whether the principal's token allows such a thing at all."""
    return right == "mint" or MINT not in principal.scopes or ADMIN in principal.scopes


def needs_token(right: Right, settings: AuthSettings) -> bool:
    """Whether a request without a token may not use this right.

    In production that holds for `manage` always: users without a token share one name, so that a listing would give
    the keys of all of them away.
    """
    return settings.auth_required or (right == "manage" and settings.production)


def may_mint(principal: Principal) -> bool:
    """Whether the principal may start uploads. They are always the principal's own."""
    return has(principal, "mint")


def may_go_on(principal: Principal, owner_id: str) -> bool:
    """Whether the principal may go on with, end or give up an upload that this owner has begun."""
    return _reaches(principal, "mint", owner_id)


def sees_all(principal: Principal) -> bool:
    """Whether nothing is hidden from the principal, whosever it is."""
    return ADMIN in principal.scopes


def may_read(principal: Principal, owner_id: str) -> bool:
    """Whether the principal may look at a file of this owner."""
    return _reaches(principal, "read", owner_id)


def may_manage(principal: Principal, owner_id: str) -> bool:
    """Whether the principal may change or remove a file of this owner."""
    return _reaches(principal, "manage", owner_id)


def _reaches(principal: Principal, right: Right, owner_id: str) -> bool:
    return has(principal, right) and (ADMIN in principal.scopes or principal.user_id == owner_id)
