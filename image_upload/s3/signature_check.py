"""Check whether a presigned URL was signed for exactly this request, before a large file is received.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from image_upload.aws.sigv4 import ALGORITHM, Credentials

_UNSIGNED = "UNSIGNED-PAYLOAD"


def is_signed(url: str, method: str, headers: Mapping[str, str], credentials: Credentials) -> bool | None:
    """Return whether S3 will accept the signature; None if another key pair signed it, whose secret is unknown here.

    `url` is a presigned URL whose query was checked; `headers` are those that will be sent, `Host` among them.
    """
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = dict(pairs)
    access_key_id, _, scope = query["X-Amz-Credential"].partition("/")
    token = query.get("X-Amz-Security-Token")
    if (access_key_id, token) != (credentials.access_key_id, credentials.session_token):
        return None
    sent = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    names = query["X-Amz-SignedHeaders"].split(";")
    if not sent.keys() >= set(names):
        return False
    canonical_query = "&".join(
        f"{name}={value}"
        for name, value in sorted(
            (quote(name, safe=""), quote(value, safe="")) for name, value in pairs if name != "X-Amz-Signature"
        )
    )
    request = "\n".join(
        [
            method,
            quote(unquote(parts.path), safe="/~"),
            canonical_query,
            *(f"{name}:{sent[name]}" for name in names),
            "",
            ";".join(names),
            query.get("X-Amz-Content-Sha256", _UNSIGNED),
        ]
    )
    key = f"AWS4{credentials.secret_access_key}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    text = "\n".join([ALGORITHM, query["X-Amz-Date"], scope, hashlib.sha256(request.encode()).hexdigest()])
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), query["X-Amz-Signature"])
