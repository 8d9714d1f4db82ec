"""Decide whether an `uploadUrl` is an allowed target, by its text, before any byte is sent.

The rule lists what is allowed and refuses everything else. The address of the host is checked when the connection
is made (`outbound/client.py`).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from image_upload.aws.endpoints import Address, bucket_on_aws, canonical_host
from image_upload.aws.sigv4 import ALGORITHM
from image_upload.domain import keys
from image_upload.errors import UploadTargetRefused, UploadUrlExpired, UploadUrlInvalid, UploadUrlNeedsHeaders
from image_upload.limits import CLOCK_SKEW_MAX_S, FORM_FIELD_MAX_BYTES, PRESIGN_MAX_S

ANY_BUCKET = "*"

# Only characters of RFC 3986: a presigned URL has all others percent-encoded.
_URL = re.compile(r"(https?)://([^/?#]+)(/[^?#]*)\?([^#]+)", re.ASCII)
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+", re.ASCII)
_HOST = re.compile(r"[a-z0-9.-]+(?::\d{1,5})?|\[[0-9a-f:.]+\](?::\d{1,5})?", re.ASCII)

_SIGV4 = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
_CREDENTIAL = re.compile(r"[^/]+/\d{8}/[a-z0-9-]+/s3/aws4_request", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)
# Other X-Amz-* parameters, by how they begin, in lower case: SDKs sign headers into the query. What is left out
# (acl, grant, tagging, copy-source, object-lock, website-redirect, …) changes who may read an object or where its bytes
# come from, and no plan of an upload needs it.
_AMZ_PARAMETERS = tuple(
    f"x-amz-{name}"
    for name in (
        *(known.lower() for known in _SIGV4),
        "security-token",
        "content-sha256",
        "user-agent",
        "sdk-checksum-algorithm",
        "checksum-",
        "meta-",
        "storage-class",
        "server-side-encryption",
    )
)
# Query parameters beside X-Amz-* of a PUT of an object or a part. Any other (acl, tagging, uploads,
# response-…) makes it another operation, or belongs to a GET.
_PUT_PARAMETERS = frozenset({"x-id", "partNumber", "uploadId"})
_PUT_OPERATIONS = frozenset({"PutObject", "UploadPart"})
# Signed headers that the proxy can send: those of every PUT, and If-None-Match, whose only value is `*`.
SUPPLIED_HEADERS = frozenset({"host", "content-type", "content-length", "if-none-match"})

_WHAT_WOULD_DO = "Pass the presignedUrl of POST /uploads unchanged."


class Target(NamedTuple):
    """A checked target of a PUT.

    `url` is where to connect. `host` is the signed Host header: it differs from `url` where clients use another
    endpoint than this service. `bucket` and `key` are what the URL names. `storage_headers` are the signed headers
    whose values follow from this service's settings.
    """

    url: str
    host: str
    bucket: str
    key: str
    signed_headers: frozenset[str]
    storage_headers: Mapping[str, str] = MappingProxyType({})


class TargetRule:
    """The operator's rule: the endpoints of the service's bucket, and those that PROXY_ALLOWED_* add.

    `buckets` are further allowed buckets. The service's own is allowed at its own endpoint only: elsewhere a bucket of
    the same name has another owner. `storage_headers` returns the headers that this service signs for a key; see
    `Bucket.storage_headers`.
    """

    def __init__(
        self,
        inner: Address,
        public: Address,
        *,
        buckets: Iterable[str],
        hosts: Iterable[str],
        storage_headers: Callable[[str], Mapping[str, str]] = lambda _: {},
    ) -> None:
        self._inner = inner
        self._storage_headers = storage_headers
        self._endpoints = {(address.scheme, address.host) for address in (inner, public)}
        own_is_on_aws = bucket_on_aws(inner.host, f"{inner.path_prefix}/") is not None
        self._buckets = frozenset(buckets)
        self._buckets_off_aws = self._buckets | {inner.bucket}
        self._buckets_on_aws = self._buckets_off_aws if own_is_on_aws else self._buckets
        self._hosts = frozenset(host.lower() for host in hosts)

    def check(self, url: str, now: datetime) -> Target:
        """Return the target that a presigned URL names. Raises `UploadUrlInvalid` or one of its kinds."""
        scheme, netloc, path, query = _split(url)
        host = canonical_host(scheme, netloc)
        bucket, key = self._place(scheme, host, path)
        allowed = self._buckets_off_aws if bucket_on_aws(host, path) is None else self._buckets_on_aws
        if not (bucket in allowed or ANY_BUCKET in allowed):
            raise UploadTargetRefused(f"The URL names a bucket that this service does not send to. {_WHAT_WOULD_DO}")
        if not key or keys.NOT_TEXT.search(key) or any(part in (".", "..") for part in key.split("/")):
            raise UploadUrlInvalid(f"The URL names no object in the bucket. {_WHAT_WOULD_DO}")
        known = self._storage_headers(key) if bucket == self._inner.bucket else {}
        signed_headers = _check_signature(query, now, known)
        origin = f"{scheme}://{host}"
        if (scheme, host) in self._endpoints:
            # Clients may use another host (localhost:4566) than this service must use (localstack:4566).
            origin = self._inner.origin
        storage_headers = {name: value for name, value in known.items() if name in signed_headers}
        return Target(f"{origin}{path}?{query}", host, bucket, key, signed_headers, storage_headers)

    def _place(self, scheme: str, host: str, path: str) -> tuple[str, str]:
        """Return bucket and key, if the host is known and the scheme is allowed for it."""
        own = {(scheme, host), (scheme, host.partition(".")[2])} & self._endpoints
        if scheme != "https" and not own:
            raise UploadTargetRefused(f"The URL is not https. {_WHAT_WOULD_DO}")
        on_aws = bucket_on_aws(host, path)
        if on_aws is not None:
            bucket, key = on_aws
        elif (scheme, host) in self._endpoints or host in self._hosts:
            bucket, _, key = path[1:].partition("/")
        else:
            # bucket.endpoint, where the endpoint is ours or listed
            bucket, _, endpoint = host.partition(".")
            key = path[1:]
            if (scheme, endpoint) not in self._endpoints and endpoint not in self._hosts:
                raise UploadTargetRefused(
                    f"The URL's host is not an S3 host that this service sends to. {_WHAT_WOULD_DO}"
                )
        return unquote(bucket), unquote(key)


def _split(url: str) -> tuple[str, str, str, str]:
    """Return scheme, host[:port], path and query of a URL. Refuse spellings that parsers read differently."""
    match = _URL.fullmatch(url) if len(url) <= FORM_FIELD_MAX_BYTES and _URL_CHARACTERS.fullmatch(url) else None
    if match is None:
        raise UploadUrlInvalid(f"uploadUrl is not a presigned URL. {_WHAT_WOULD_DO}")
    scheme, netloc, path, query = match.groups()
    if "@" in netloc:
        raise UploadTargetRefused(f"The URL holds user information in front of its host. {_WHAT_WOULD_DO}")
    if not _HOST.fullmatch(netloc.lower()):
        raise UploadTargetRefused(f"The URL's host is not an S3 host that this service sends to. {_WHAT_WOULD_DO}")
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise UploadUrlInvalid(f"The URL's port is not one. {_WHAT_WOULD_DO}") from None
    return scheme, netloc, path, query


def _check_signature(query: str, now: datetime, known: Iterable[str]) -> frozenset[str]:
    """Return the names of the signed headers, if the query is a valid presigned PUT's. `known` can also be sent."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=64)
    except ValueError:
        raise UploadUrlInvalid(f"The URL's query cannot be read. {_WHAT_WOULD_DO}") from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs) or len({name.lower() for name in parameters}) != len(pairs):
        raise UploadUrlInvalid(f"The URL names a query parameter twice. {_WHAT_WOULD_DO}")
    values = {name: parameters.get(f"X-Amz-{name}", "") for name in _SIGV4}
    if not all(values.values()):
        raise UploadUrlInvalid(f"The URL carries no Signature Version 4. {_WHAT_WOULD_DO}")
    if (
        values["Algorithm"] != ALGORITHM
        or not _CREDENTIAL.fullmatch(values["Credential"])
        or not _SIGNATURE.fullmatch(values["Signature"])
    ):
        raise UploadUrlInvalid(f"The URL's Signature Version 4 is not well formed. {_WHAT_WOULD_DO}")
    _check_time(values["Date"], values["Expires"], now)
    _check_operation(parameters)
    signed_headers = frozenset(values["SignedHeaders"].split(";"))
    missing = sorted(signed_headers - SUPPLIED_HEADERS - set(known))
    if missing:
        raise UploadUrlNeedsHeaders(
            f"The URL signs headers that a form does not carry: {', '.join(missing)}. Send the file to the URL itself, "
            "with these headers, or mint a URL without them.",
            signed_headers=missing,
        )
    return signed_headers


def _check_time(date: str, expires: str, now: datetime) -> None:
    """Check that the URL is valid now: after its date (S3 tolerates 15 minutes) and before its expiry."""
    try:
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        expires_s = int(expires) if expires.isascii() and expires.isdigit() else 0
    except ValueError:
        expires_s = 0
    if not 0 < expires_s <= PRESIGN_MAX_S:
        raise UploadUrlInvalid(f"The URL's date or expiry is not one S3 accepts. {_WHAT_WOULD_DO}")
    # A difference, because a sum could exceed datetime's last year.
    if now - signed_at >= timedelta(seconds=expires_s):
        raise UploadUrlExpired("The URL has expired. Ask POST /uploads for a new one and send the file again.")
    if signed_at - now > timedelta(seconds=CLOCK_SKEW_MAX_S):
        raise UploadUrlInvalid("The URL's date lies in the future. Check the clock of the service that signed it.")


def _check_operation(parameters: dict[str, str]) -> None:
    """Check that the URL is for a PUT of an object, or of one part of a multipart upload."""
    for name in parameters:
        if name.lower().startswith("x-amz-") and not name.lower().startswith(_AMZ_PARAMETERS):
            raise UploadUrlInvalid(f"The URL signs a parameter that an upload does not need. {_WHAT_WOULD_DO}")
    plain = {name for name in parameters if not name.lower().startswith("x-amz-")}
    if (
        plain - _PUT_PARAMETERS
        or ("partNumber" in plain) != ("uploadId" in plain)
        or parameters.get("x-id", "PutObject") not in _PUT_OPERATIONS
    ):
        raise UploadUrlInvalid(f"The URL was signed for something other than a PUT. {_WHAT_WOULD_DO}")
