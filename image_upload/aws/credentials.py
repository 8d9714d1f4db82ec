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

    If the environment holds a key pair, as on Lambda, it is used as it is. Otherwise botocore's chain is
    used (profiles, SSO, ECS, EC2). It may wait for a metadata server, so it runs in a thread. It refreshes
    temporary credentials when they are due.
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
        """Where they came from: `settings`, or the provider of the chain (`sso`, `iam-role` …) after the first use."""
        return "settings" if self._fixed is not None else str(getattr(self._chain, "method", "none"))

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
            # Each provider of the chain raises errors of its own.
            log.exception("no credentials to sign with")
            raise CredentialsUnavailable(
                "The service has no AWS credentials to sign with. Its operator sets AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or gives the machine a role."
            ) from error
        # botocore has no public name for the expiry; a test with real credentials holds this one.
        expires_at = getattr(self._chain, "_expiry_time", None)
        return Credentials(
            frozen.access_key,
            frozen.secret_key,
            frozen.token,
            expires_at.astimezone(UTC) if isinstance(expires_at, datetime) else None,
        )
