"""The settings of what the application is told: webhooks, EventBridge."""

import base64
import re

from pydantic import SecretStr

from image_upload.limits import WEBHOOK_SECRET_MAX_BYTES, WEBHOOK_SECRET_MIN_BYTES, WEBHOOK_URL_MAX_CHARS
from image_upload.settings.aws import AwsSettings
from image_upload.settings.section import Known, setting
from image_upload.settings.values import checked_url

_SECRET_PREFIX = "whsec_"

# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html (EventBusName)
_BUS = r"(?a)(?:arn:[a-z0-9-]+:events:(?P<region>[a-z0-9-]{1,32}):\d{12}:event-bus/)?(?P<name>[A-Za-z0-9._/-]{1,256})"


def _webhook_url(value: str | None, known: Known) -> str | None:
    if value is not None:
        parts = checked_url(value, ("https", "http"))
        if parts.username is not None or parts.fragment:
            raise ValueError("a user name or a fragment does not belong into it")
        if parts.scheme == "http" and known.production:
            raise ValueError("plain http is possible only outside production")
        if len(value) > WEBHOOK_URL_MAX_CHARS or not value.isascii():
            raise ValueError(f"longer than {WEBHOOK_URL_MAX_CHARS} characters, or not ASCII")
    return value


def _webhook_secret(value: SecretStr | None, known: Known) -> SecretStr | None:
    if value is None and known.serving and known.get("webhook_url") is not None:
        raise ValueError("missing; what goes to WEBHOOK_URL is signed with it")
    return _well_formed(value)


def _webhook_previous_secret(value: SecretStr | None, known: Known) -> SecretStr | None:
    if known.serving and value is not None and known.get("webhook_secret") is None:
        raise ValueError("it goes together with a WEBHOOK_SECRET")
    return _well_formed(value)


def _well_formed(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        text = value.get_secret_value()
        if not text.startswith(_SECRET_PREFIX):
            raise ValueError(f"it does not begin with {_SECRET_PREFIX}")
        try:
            key = base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
        except ValueError:
            raise ValueError(f"what follows {_SECRET_PREFIX} is not base64") from None
        if not WEBHOOK_SECRET_MIN_BYTES <= len(key) <= WEBHOOK_SECRET_MAX_BYTES:
            raise ValueError(f"not {WEBHOOK_SECRET_MIN_BYTES} to {WEBHOOK_SECRET_MAX_BYTES} bytes")
    return value


def _event_bus(value: str | None, _: Known) -> str | None:
    if value is not None and not re.fullmatch(_BUS, value):
        raise ValueError("neither the name nor the ARN of an event bus")
    return value


def _events_endpoint(value: str | None, known: Known) -> str | None:
    if value is not None:
        checked_url(value, ("https", "http"))
        if known.production:
            raise ValueError("it is possible only outside production")
    return value


class NotifySettings(AwsSettings):
    """Where events go, and what they are signed with. Calls of EventBridge are signed with the key pair."""

    # --- Events ----------------------------------------------------------------------------------------

    webhook_url: str | None = setting(
        "WEBHOOK_URL",
        default=None,
        description="https://host[:port]/path of your application; http only outside production",
        check=_webhook_url,
    )
    """Where each event is sent by POST, signed: docs/webhooks.md. The host must have a public address, outside
    production also a private one. Redirects are not followed. With `DATABASE_URL` a delivery that fails is repeated
    for three days; without it each event is sent once."""

    webhook_secret: SecretStr | None = setting(
        "WEBHOOK_SECRET",
        default=None,
        description=f"{_SECRET_PREFIX} and base64 of {WEBHOOK_SECRET_MIN_BYTES} to {WEBHOOK_SECRET_MAX_BYTES} random "
        f'bytes, such as the output of: echo "{_SECRET_PREFIX}$(openssl rand -base64 32)"',
        check=_webhook_secret,
    )
    """Signs what goes to `WEBHOOK_URL`, by HMAC-SHA256. Your application verifies with the same secret."""

    webhook_previous_secret: SecretStr | None = setting(
        "WEBHOOK_PREVIOUS_SECRET",
        default=None,
        description="the WEBHOOK_SECRET of before, while your application still verifies with it",
        check=_webhook_previous_secret,
    )
    """With it each event has two signatures, and a receiver accepts either: docs/webhooks.md#change-the-secret."""

    event_bus: str | None = setting(
        "EVENT_BUS",
        default=None,
        description="name or ARN of an event bus of Amazon EventBridge",
        check=_event_bus,
    )
    """Where events go in place of a webhook, or beside it: the same bodies, as `detail`. The role needs
    `events:PutEvents` on the bus."""

    events_endpoint: str | None = setting(
        "AWS_ENDPOINT_URL_EVENTBRIDGE",
        default=None,
        description="scheme://host[:port] of an emulated EventBridge; only outside production",
        check=_events_endpoint,
    )
    """The address of EventBridge in local runs. Without it that of AWS."""

    @property
    def event_bus_region(self) -> str:
        """The region of the event bus: that of its ARN, else the service's."""
        match = re.fullmatch(_BUS, self.event_bus or "")
        return (match and match["region"]) or self.aws_region
