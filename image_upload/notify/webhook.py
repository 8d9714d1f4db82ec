"""Webhooks by the Standard Webhooks specification 1.0.0: a signed POST of each event.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final
from urllib.parse import urlsplit

import httpx
from standardwebhooks import Webhook

from image_upload.limits import DELIVERY_RETRY_AFTER_MAX_S
from image_upload.notify.delivery import Delivery, Outcome
from image_upload.outbound.client import NONE, AddressRefused, Destinations, Resolver, open_client, resolve
from image_upload.outbound.retry import retry_after_s
from image_upload.settings.notify import NotifySettings
from image_upload.settings.values import is_loopback
from image_upload.telemetry import trace
from image_upload.telemetry.calls import WEBHOOK, measured, outcome_of

_GONE: Final = 410
# Those whose Retry-After counts: the receiver has too much to do.
_BUSY: Final = frozenset({429, 502, 503, 504})


class WebhookTarget:
    """The receiver at WEBHOOK_URL."""

    batch: ClassVar[int] = 1

    def __init__(self, settings: NotifySettings, resolver: Resolver = resolve) -> None:
        if settings.webhook_url is None or settings.webhook_secret is None:
            raise ValueError("there is no WEBHOOK_URL or no WEBHOOK_SECRET")
        self._url = settings.webhook_url
        secrets = (settings.webhook_secret, settings.webhook_previous_secret)
        # While the secret changes a receiver may have either.
        self._signers = [Webhook(secret.get_secret_value()) for secret in secrets if secret is not None]
        self._client = open_client(_destinations(settings, resolver), verify=True)

    async def deliver(self, deliveries: Sequence[Delivery], timeout_s: float | None) -> list[Outcome]:
        """Send one event. Only the head of the answer is read: its body says nothing that counts."""
        (delivery,) = deliveries
        try:
            with measured(WEBHOOK, "webhook") as call:
                async with (
                    asyncio.timeout(timeout_s),
                    self._client.stream(
                        "POST", self._url, content=delivery.body.encode(), headers=self._headers(delivery)
                    ) as response,
                ):
                    call.outcome = outcome_of(response.status_code)
                    return [_outcome(response)]
        except TimeoutError:
            return [Outcome("failed", "timeout")]
        except AddressRefused:
            return [Outcome("failed", "address not public")]
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            # UnicodeError: the host is no name that DNS knows, such as one with a label of 64 letters.
            return [Outcome("failed", type(error).__name__)]

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        now = datetime.now(UTC)
        return {
            "Content-Type": "application/json",
            "User-Agent": "image-upload",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(delivery.id, now, delivery.body) for signer in self._signers),
            **trace.header(),
        }

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _destinations(settings: NotifySettings, resolver: Resolver) -> Destinations:
    """Return where the receiver may be: at public addresses; outside production also on this machine or network."""
    parts = urlsplit(settings.webhook_url or "")
    host = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    if settings.production:
        return Destinations(NONE, resolver=resolver)
    # A metadata service is neither loopback nor one of the private networks that `Destinations` allows.
    return Destinations(frozenset({host}) if is_loopback(host[0]) else NONE, frozenset({host}), resolver)


def _outcome(response: httpx.Response) -> Outcome:
    status = response.status_code
    if response.is_success:
        return Outcome("delivered", str(status))
    if status == _GONE:
        return Outcome("gone", str(status))
    asked = response.headers.get("Retry-After") if status in _BUSY else None
    return Outcome("failed", str(status), retry_after_s(asked, datetime.now(UTC), DELIVERY_RETRY_AFTER_MAX_S))
