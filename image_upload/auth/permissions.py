"""The permissions. Every route states one right; the right and the file's owner decide.

| scopes of the token | mint | go on with an upload | read | manage |
|---|---|---|---|---|
| none | yes | own | own files | own files |
| `mint` | yes, as the user it names | that user's | no | no |
| `admin` | yes | all | all files | all files |

A purpose may ask for one more scope (`Purpose.scope`).
"""

from typing import Literal

from image_upload.auth.principals import ADMIN, MINT, Principal
from image_upload.domain.purposes import Purpose
from image_upload.errors import ScopeMissing
from image_upload.settings.auth import AuthSettings

# mint: ask for an upload, continue it, end it. read: read a stored file. manage: change, list or delete files.
Right = Literal["mint", "read", "manage"]


def has(principal: Principal, right: Right) -> bool:
    """Return whether the principal's token has the right."""
    return right == "mint" or MINT not in principal.scopes or ADMIN in principal.scopes


def needs_token(right: Right, settings: AuthSettings) -> bool:
    """Return whether the right needs a token.

    In production `manage` always does: anonymous users share one user id, and a listing would reveal all their keys.
    """
    return settings.auth_required or (right == "manage" and settings.production)


def may_mint(principal: Principal) -> bool:
    """Return whether the principal may start uploads, which are always their own."""
    return has(principal, "mint")


def may_upload_for(principal: Principal, purpose: Purpose) -> bool:
    """Return whether the principal may start uploads for a purpose."""
    return purpose.scope is None or not principal.scopes.isdisjoint((purpose.scope, ADMIN))


def check_purpose(principal: Principal, purpose: Purpose) -> Purpose:
    """Return the purpose, if the principal may start uploads for it. Raises `ScopeMissing`."""
    if not may_upload_for(principal, purpose):
        raise ScopeMissing(f"The purpose {purpose.name} needs a token with the scope {purpose.scope}.")
    return purpose


def may_go_on(principal: Principal, owner_id: str) -> bool:
    """Return whether the principal may continue, complete or abort an upload of this owner."""
    return _reaches(principal, "mint", owner_id)


def sees_all(principal: Principal) -> bool:
    """Return whether the principal may see the files of all users."""
    return ADMIN in principal.scopes


def may_read(principal: Principal, owner_id: str) -> bool:
    """Return whether the principal may read a file of this owner."""
    return _reaches(principal, "read", owner_id)


def may_manage(principal: Principal, owner_id: str) -> bool:
    """Return whether the principal may change or delete a file of this owner."""
    return _reaches(principal, "manage", owner_id)


def _reaches(principal: Principal, right: Right, owner_id: str) -> bool:
    return has(principal, right) and (ADMIN in principal.scopes or principal.user_id == owner_id)
