"""Call an AWS service that speaks JSON, signed without an SDK.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import httpx

from image_upload.aws.sigv4 import Signer


async def post(
    client: httpx.AsyncClient, signer: Signer, headers: Mapping[str, str], body: bytes, *, most_bytes: int
) -> tuple[int, bytes]:
    """POST a signed call to the signer's host; return status and body of the answer.

    The body is empty if it has more than `most_bytes`. Raises `httpx.HTTPError`.
    """
    signed = signer.sign_call(body, headers, now=datetime.now(UTC).replace(microsecond=0))
    answer = bytearray()
    async with client.stream("POST", f"{signer.address.origin}/", content=body, headers=signed) as response:
        async for chunk in response.aiter_raw():
            answer += chunk
            if len(answer) > most_bytes:
                return response.status_code, b""
    return response.status_code, bytes(answer)
