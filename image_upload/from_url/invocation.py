"""Let the function go on in another invocation: after its answer Lambda freezes the process.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

import logging
import re
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import httpx

from image_upload.aws.credentials import CredentialSource
from image_upload.aws.endpoints import Address, canonical_host, suffix_of
from image_upload.aws.sigv4 import Signer
from image_upload.errors import JobNotStarted
from image_upload.limits import INVOKE_TIMEOUT_S
from image_upload.outbound.client import Destinations, open_client
from image_upload.settings.from_url import FromUrlSettings

log = logging.getLogger(__name__)

_ARN = re.compile(
    r"arn:[a-z0-9-]+:lambda:[a-z0-9-]{1,32}:\d{12}:function:"
    r"(?P<name>[A-Za-z0-9_-]{1,140})(?::(?P<qualifier>[A-Za-z0-9_$-]{1,128}))?",
    re.ASCII,
)


class Invoker:
    """Invokes the function itself. The `region` is its own; in the ARN of Lambda's runtime emulator is another one."""

    def __init__(self, settings: FromUrlSettings, region: str) -> None:
        self._settings = settings
        self._region = region
        self._credentials = CredentialSource(settings)

    async def invoke(self, function_arn: str, payload: bytes) -> None:
        """Let Lambda invoke a function later, with this JSON. Raises `JobNotStarted`, `CredentialsUnavailable`."""
        match = _ARN.fullmatch(function_arn)
        if match is None:
            raise _not_started("the context names no function", None)
        region = self._region
        endpoint = urlsplit(self._settings.lambda_endpoint_url or f"https://lambda.{region}.{suffix_of(region)}")
        host = canonical_host(endpoint.scheme, endpoint.netloc)
        address = Address("", region, endpoint.scheme, host, "")
        signer = Signer(address, await self._credentials.current(), service="lambda")
        path = f"/2015-03-31/functions/{match['name']}/invocations"
        query = f"Qualifier={quote(match['qualifier'], safe='')}" if match["qualifier"] else ""
        headers = signer.sign_call(
            payload,
            {"Content-Type": "application/json", "X-Amz-Invocation-Type": "Event"},
            now=datetime.now(UTC).replace(microsecond=0),
            path=path,
            query=query,
        )
        # AWS's own host, which a VPC's DNS may resolve to an interface endpoint; or the one that the operator names.
        port = endpoint.port or {"http": 80, "https": 443}[endpoint.scheme]
        destinations = Destinations(frozenset({(endpoint.hostname or "", port)}))
        try:
            async with open_client(destinations, verify=True) as client:
                answer = await client.post(
                    f"{address.origin}{path}{'?' if query else ''}{query}",
                    content=payload,
                    headers=headers,
                    timeout=INVOKE_TIMEOUT_S,
                )
        except httpx.HTTPError as error:
            raise _not_started(type(error).__name__, None) from None
        if answer.status_code != 202:
            code = answer.headers.get("x-amzn-errortype", "").partition(":")[0][:64]
            raise _not_started(f"Lambda answered {answer.status_code} {code}", answer.status_code)


def _not_started(reason: str, status: int | None) -> JobNotStarted:
    log.error("the function cannot invoke itself", extra={"fields": {"reason": reason}})
    return JobNotStarted(
        "The work could not be handed on. Nothing was stored. Try again in a moment.", upstream_status=status
    )
