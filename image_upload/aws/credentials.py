"""Where the signer's key pair comes from: the settings, or the AWS credential chain."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from image_upload.aws.sigv4 import Credentials
from image_upload.errors import CredentialsUnavailable
from image_upload.settings.aws import AwsSettings

if TYPE_CHECKING:
    from botocore.credentials import Credentials as ChainCredentials

log = logging.getLogger(__name__)


class CredentialSource:
    """The current credentials, refreshed before they end.

    On Lambda (and wherever the environment holds a key pair) they are in the settings and cost
    nothing. Elsewhere botocore's chain is asked (profiles, SSO, ECS, EC2), which may wait for a
    metadata server: in a thread, once, and again only when it says that a refresh is due.
    https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
    """

    def __init__(self, settings: AwsSettings) -> None:
        self._fixed: Credentials | None = None
        self._chain: ChainCredentials | None = None
        if settings.aws_access_key_id and settings.aws_secret_access_key:
            token = settings.aws_session_token
            self._fixed = Credentials(
                settings.aws_access_key_id,
                settings.aws_secret_access_key.get_secret_value(),
                token.get_secret_value() if token else None,
            )

    @property
    def provider(self) -> str:
        """Who gave them: `settings`, or the provider of the chain (`sso`, `iam-role` …) once it was asked."""
        return "settings" if self._fixed is not None else str(getattr(self._chain, "method", "nobody"))

    async def current(self) -> Credentials:
        """Credentials to sign with now. Raises `CredentialsUnavailable`."""
        if self._fixed is not None:
            return self._fixed
        return await asyncio.to_thread(self._ask_chain)

    def _ask_chain(self) -> Credentials:
        if self._chain is None:
            from botocore.session import Session  # 100 ms that a Lambda start must not pay

            self._chain = Session().get_credentials()
        try:
            if self._chain is None:
                raise LookupError("the AWS credential chain is empty")
            frozen = self._chain.get_frozen_credentials()
        except Exception as error:
            # Every provider of the chain has errors of its own; all of them mean the same here.
            log.exception("no credentials to sign with")
            raise CredentialsUnavailable(
                "The service has no AWS credentials to sign with. Its operator sets AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or gives the machine a role."
            ) from error
        # botocore keeps the end of temporary credentials to itself; a test with real ones holds us to the name.
        expires_at = getattr(self._chain, "_expiry_time", None)
        return Credentials(
            frozen.access_key,
            frozen.secret_key,
            frozen.token,
            expires_at.astimezone(UTC) if isinstance(expires_at, datetime) else None,
        )
