"""The token of a job, with which its worker posts the result: valid for this job only, until it expires.

`upj1.{end}.{mac}`: the end in seconds since 1970, and HMAC-SHA256 over id and end, with a key derived from JWT_SECRET.
"""

import base64
import hmac
import re
import time
from typing import Final

from image_upload.errors import TokenInvalid
from image_upload.limits import JOBS_KEPT_DAYS
from image_upload.settings.auth import AuthSettings

# The prefix of every token. Logs redact texts that begin with it.
PREFIX: Final = "upj1."

_FORM: Final = re.compile(r"upj1\.([0-9]{1,12})\.[A-Za-z0-9_-]{43}", re.ASCII)


class JobTokens:
    """Make tokens with JWT_SECRET, and check them with it or JWT_PREVIOUS_SECRET."""

    def __init__(self, settings: AuthSettings) -> None:
        secrets = (settings.jwt_secret, settings.jwt_previous_secret)
        # Derived keys, so that the token of a job is never valid as a ticket or a user's token.
        self._keys = tuple(
            hmac.digest(each.get_secret_value().encode(), b"image-upload job v1", "sha256") for each in secrets if each
        )

    def issue(self, job_id: str) -> str:
        """Return a token that is valid as long as its job is kept."""
        return _sealed(job_id, str(int(time.time()) + JOBS_KEPT_DAYS * 86_400), self._keys[0])

    def check(self, token: str, job_id: str) -> None:
        """Raise `TokenInvalid` if this is not the token of this job, or has expired."""
        match = _FORM.fullmatch(token)
        end = match[1] if match else "0"
        is_ours = any(hmac.compare_digest(token.encode(), _sealed(job_id, end, key).encode()) for key in self._keys)
        if not is_ours or time.time() >= int(end):
            raise TokenInvalid("This is not the token of this job, or its week is over. Send the message's token.")


def _sealed(job_id: str, end: str, key: bytes) -> str:
    mac = hmac.digest(key, f"{job_id}\n{end}".encode(), "sha256")
    return f"{PREFIX}{end}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
