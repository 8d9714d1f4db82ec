"""A queue of Amazon SQS: SendMessage by its JSON protocol, signed without an SDK.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
"""

import asyncio
import json
import re
from typing import Final
from urllib.parse import urlsplit

import httpx

from image_upload.aws import calls
from image_upload.aws.credentials import CredentialSource
from image_upload.aws.endpoints import Address, canonical_host
from image_upload.aws.sigv4 import Signer
from image_upload.errors import CredentialsUnavailable
from image_upload.jobs.queue import unavailable
from image_upload.limits import QUEUE_ANSWER_MAX_BYTES, QUEUE_TIMEOUT_S
from image_upload.outbound.client import NONE, Destinations, open_client
from image_upload.settings.tasks import QueueAddress, TasksSettings
from image_upload.telemetry.calls import SQS, measured, outcome_of

_HEADERS: Final = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.SendMessage"}
# The name of an error in `__type`, without its namespace.
_CODE: Final = re.compile(r"(?:.*#)?([A-Za-z.]{1,64})", re.ASCII)


class SqsQueue:
    """A `Queue`. Requests go to the host of the queue's own URL: AWS's, or outside production that of an emulator."""

    def __init__(self, settings: TasksSettings, address: QueueAddress) -> None:
        self._url = address.url
        self._credentials = CredentialSource(settings)
        url = urlsplit(address.url)
        region = address.region or settings.aws_region
        self._address = Address("", region, url.scheme, canonical_host(url.scheme, url.netloc), "")
        host = frozenset({(url.hostname or "", url.port or (443 if url.scheme == "https" else 80))})
        # An operator names an emulator, at any address; AWS's host may be an interface endpoint in the VPC.
        places = Destinations(host) if address.region is None else Destinations(NONE, host)
        self._client = open_client(places, verify=True)

    async def send(self, message: str) -> None:
        """See `Queue`."""
        body = json.dumps({"QueueUrl": self._url, "MessageBody": message}).encode()
        try:
            with measured(SQS, "SendMessage") as call:
                async with asyncio.timeout(QUEUE_TIMEOUT_S):
                    status, answer = await self._post(body)
                call.outcome = outcome_of(status)
        except (httpx.HTTPError, CredentialsUnavailable, TimeoutError) as error:
            raise unavailable(type(error).__name__) from None
        try:
            document = json.loads(answer)
        except (ValueError, RecursionError):
            document = None
        match document:
            case {"MessageId": str(given)} if status == 200 and given:
                return
            case {"__type": str(code)} if found := _CODE.fullmatch(code):
                raise unavailable(f"SQS answered {status} {found[1]}")
        raise unavailable(f"SQS answered {status}, not understood")

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        signer = Signer(self._address, await self._credentials.current(), service="sqs")
        return await calls.post(self._client, signer, _HEADERS, body, most_bytes=QUEUE_ANSWER_MAX_BYTES)

    async def age_s(self) -> float | None:
        """Return None: of SQS CloudWatch alone knows it, as ApproximateAgeOfOldestMessage."""
        return None

    async def aclose(self) -> None:
        """See `Queue`."""
        await self._client.aclose()
