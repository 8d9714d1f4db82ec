"""AWS Signature Version 4 in the query string: pure functions, no I/O, no SDK.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
A property test holds the URLs equal to botocore's.
"""

import functools
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from image_upload.s3.address import Address

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An AWS key pair; `session_token` and `expires_at` belong to temporary ones."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None


@functools.lru_cache(maxsize=8)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    """The key of one day and region; four of the five HMACs of a signature are in here."""
    key = f"AWS4{secret}".encode()
    for step in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    return key


def presign(
    method: str,
    address: Address,
    key: str,
    credentials: Credentials,
    *,
    now: datetime,
    expires_s: int,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
) -> str:
    """A presigned URL for one request on one key ("" for the bucket itself).

    `headers` must then be sent with exactly these values, or S3 answers SignatureDoesNotMatch;
    so do `query` parameters, which become part of the URL. Values of headers are ASCII.
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    day = stamp[:8]
    scope = f"{day}/{address.region}/s3/aws4_request"
    signed = {name.lower(): " ".join(value.split()) for name, value in (headers or {}).items()}
    signed["host"] = address.host
    names = sorted(signed)
    signed_headers = ";".join(names)
    parameters = {
        **(query or {}),
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(expires_s),
        "X-Amz-SignedHeaders": signed_headers,
    }
    if credentials.session_token is not None:
        parameters["X-Amz-Security-Token"] = credentials.session_token
    encoded = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in parameters.items())
    query_string = "&".join(f"{name}={value}" for name, value in encoded)
    path = f"{address.path_prefix}/{quote(key, safe='/~')}"
    canonical_request = "\n".join(
        [
            method,
            path,
            query_string,
            *(f"{name}:{signed[name]}" for name in names),
            "",
            signed_headers,
            "UNSIGNED-PAYLOAD",
        ]
    )
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}"
    signing_key = _signing_key(credentials.secret_access_key, day, address.region)
    signature = hmac.digest(signing_key, to_sign.encode(), "sha256").hex()
    return f"{address.origin}{path}?{query_string}&X-Amz-Signature={signature}"
