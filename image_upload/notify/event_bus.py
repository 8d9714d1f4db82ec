"""Amazon EventBridge as the receiver: PutEvents, signed without an SDK.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
"""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import httpx

from image_upload.aws import calls
from image_upload.aws.credentials import CredentialSource
from image_upload.aws.endpoints import Address, canonical_host, suffix_of
from image_upload.aws.sigv4 import Signer
from image_upload.errors import CredentialsUnavailable
from image_upload.limits import EVENT_BUS_ANSWER_MAX_BYTES, EVENT_BUS_BATCH
from image_upload.notify.delivery import Delivery, Outcome
from image_upload.outbound.client import NONE, Destinations, open_client
from image_upload.settings.notify import NotifySettings
from image_upload.telemetry.calls import EVENT_BUS, measured, outcome_of

# `source` of every event, which rules of EventBridge match.
SOURCE: Final = "image-upload"

_HEADERS: Final = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AWSEvents.PutEvents"}
# The name of an error in `__type` or `ErrorCode`, without its namespace.
_CODE: Final = re.compile(r"(?:.*#)?([A-Za-z]{1,40})", re.ASCII)


class EventBusTarget:
    """The event bus EVENT_BUS. It receives each event's body as `detail`, and its type as `detail-type`."""

    batch: ClassVar[int] = EVENT_BUS_BATCH

    def __init__(self, settings: NotifySettings) -> None:
        self._bus = settings.event_bus
        self._region = settings.event_bus_region
        self._credentials = CredentialSource(settings)
        url = urlsplit(settings.events_endpoint or f"https://events.{self._region}.{suffix_of(self._region)}")
        self._address = Address("", self._region, url.scheme, canonical_host(url.scheme, url.netloc), "")
        host = frozenset({(url.hostname or "", url.port or (443 if url.scheme == "https" else 80))})
        # An operator names an emulator, at any address; AWS's host may be an interface endpoint in the VPC.
        places = Destinations(NONE, host) if settings.events_endpoint is None else Destinations(host)
        self._client = open_client(places, verify=True)

    async def deliver(self, deliveries: Sequence[Delivery], timeout_s: float | None) -> list[Outcome]:
        """Put up to ten events. Each is accepted or refused by itself."""
        entries = [
            {"Source": SOURCE, "DetailType": each.type, "Detail": each.body, "EventBusName": self._bus}
            for each in deliveries
        ]
        try:
            with measured(EVENT_BUS, "PutEvents") as call:
                async with asyncio.timeout(timeout_s):
                    status, answer = await self._put(json.dumps({"Entries": entries}).encode())
                call.outcome = outcome_of(status)
        except TimeoutError:
            return [Outcome("failed", "timeout")] * len(deliveries)
        except (httpx.HTTPError, CredentialsUnavailable) as error:
            return [Outcome("failed", type(error).__name__)] * len(deliveries)
        return _outcomes(status, answer, len(deliveries))

    async def _put(self, body: bytes) -> tuple[int, bytes]:
        signer = Signer(self._address, await self._credentials.current(), service="events")
        return await calls.post(self._client, signer, _HEADERS, body, most_bytes=EVENT_BUS_ANSWER_MAX_BYTES)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _outcomes(status: int, answer: bytes, count: int) -> list[Outcome]:
    """Return an outcome for each entry. An answer that is not as documented confirms none."""
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        document = None
    match document:
        case {"Entries": [*entries]} if status == 200 and len(entries) == count:
            return [_outcome(entry) for entry in entries]
        case {"__type": str(code)} if status != 200:
            return [Outcome("failed", f"{status} {_name(code)}")] * count
    return [Outcome("failed", f"{status} not understood")] * count


def _outcome(entry: Any) -> Outcome:
    match entry:
        case {"EventId": str(given)} if given and not entry.get("ErrorCode"):
            return Outcome("delivered", "200")
        case {"ErrorCode": str(code)}:
            return Outcome("failed", _name(code))
    return Outcome("failed", "200 not understood")


def _name(code: str) -> str:
    match = _CODE.fullmatch(code)
    return match[1] if match else "unknown"
