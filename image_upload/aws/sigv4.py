"""AWS Signature Version 4 in the query string, in POST policies and in headers: no I/O, no SDK.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

Property tests compare the URLs with botocore's, byte for byte. For speed, the day's key is derived and hashed
once, what all URLs share is encoded once, and the parts of one upload share the hash of all in front of their number.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote

from image_upload.aws.endpoints import Address

ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = "UNSIGNED-PAYLOAD"
# The hash of an empty payload, which every service but S3 wants signed.
_EMPTY = hashlib.sha256().hexdigest()


class Credentials(NamedTuple):
    """An AWS key pair; `session_token` and `expires_at` belong to temporary ones."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        """Return a text without the secrets, for tracebacks and log lines."""
        return f"Credentials({self.access_key_id!r}, …)"


class _Mac(NamedTuple):
    """HMAC-SHA-256 by one key, which is hashed once and not for each text: RFC 2104, sections 2 and 4."""

    inner: "hashlib._Hash"
    outer: "hashlib._Hash"

    @classmethod
    def by(cls, key: bytes) -> "_Mac":
        """Return that of a key of at most 64 bytes."""
        block = key.ljust(64, b"\0")
        return cls(*(hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C)))

    def begun(self, text: str) -> "_Mac":
        """Return that of what follows this text."""
        inner = self.inner.copy()
        inner.update(text.encode())
        return self._replace(inner=inner)

    def hex(self, text: str) -> str:
        """Return the code of a text."""
        inner, outer = self.inner.copy(), self.outer.copy()
        inner.update(text.encode())
        outer.update(inner.digest())
        return outer.hexdigest()


class _Moment(NamedTuple):
    """The values that all signatures of one second share. `request_mac` takes the hash of a canonical request."""

    stamp: str
    scope: str
    mac: _Mac
    request_mac: _Mac
    credential: str


class Signer:
    """Signs for one bucket's address with one set of credentials; for another AWS service where one is named."""

    def __init__(self, address: Address, credentials: Credentials, *, service: str = "s3") -> None:
        self.address = address
        self.credentials = credentials
        self._service = service
        self._payload = _UNSIGNED if service == "s3" else _EMPTY
        token = credentials.session_token
        self._token = f"&X-Amz-Security-Token={_encode(token)}" if token is not None else ""
        self._day_mac: tuple[str, _Mac] | None = None
        self._moment: tuple[datetime | None, _Moment | None] = (None, None)

    def presign(
        self,
        method: str,
        key: str,
        *,
        now: datetime,
        expires_s: int,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> str:
        """Return a presigned URL for one request on one key ("" for the bucket itself).

        `headers` must then be sent with exactly these values, or S3 answers SignatureDoesNotMatch;
        `query` becomes part of the URL. Values of headers are ASCII. `now` is in whole seconds.
        """
        moment = self._at(now)
        names, canonical_headers = self._headers(headers)
        own = [(_encode(name), _encode(value)) for name, value in query.items()] if query else []
        path = f"{self.address.path_prefix}/{quote(key, safe='/~')}"
        start, signed = self._auth(moment, expires_s), f"&X-Amz-SignedHeaders={names.replace(';', '%3B')}"
        canonical_query = _in_order(f"{start}{self._token}{signed}", own)
        signature = _sign(
            moment, f"{method}\n{path}\n{canonical_query}\n{canonical_headers}\n{names}\n{self._payload}".encode()
        )
        # In botocore's order, for the comparison with its URLs; S3 sorts the query itself.
        front = "".join(f"{name}={value}&" for name, value in own)
        return f"{self.address.origin}{path}?{front}{start}{signed}{self._token}&X-Amz-Signature={signature}"

    def presign_parts(
        self, key: str, upload_id: str, parts: Iterable[tuple[int, int | None]], *, now: datetime, expires_s: int
    ) -> tuple[str, str, Iterator[str]]:
        """Return the URLs for the parts of a multipart upload, as what they share and one signature each.

        `parts` are (number, length in bytes). A length is signed, and S3 refuses any other.
        The result is a head, a tail and the signatures: `f"{head}{number}{tail}{signature}"` is the URL of a part.
        """
        moment = self._at(now)
        path = f"{self.address.path_prefix}/{quote(key, safe='/~')}"
        upload = f"&uploadId={_encode(upload_id)}"
        parts = list(parts)
        sized = bool(parts) and parts[0][1] is not None
        names = "content-length;host" if sized else "host"
        start, signed = self._auth(moment, expires_s), f"&X-Amz-SignedHeaders={names.replace(';', '%3B')}"
        before_number = hashlib.sha256(f"PUT\n{path}\n{start}{self._token}{signed}&partNumber=".encode())
        after_length = f"\nhost:{self.address.host}\n\n{names}\n{_UNSIGNED}"

        def signatures() -> Iterator[str]:
            for number, length in parts:
                request = before_number.copy()
                sent = f"{number}{upload}\ncontent-length:{length}" if sized else f"{number}{upload}"
                request.update(f"{sent}{after_length}".encode())
                yield moment.request_mac.hex(request.hexdigest())

        head = f"{self.address.origin}{path}?partNumber="
        return head, f"{upload}&{start}{signed}{self._token}&X-Amz-Signature=", signatures()

    def sign_policy(
        self, key: str, conditions: Iterable[object], fields: Mapping[str, str], *, now: datetime, expires_s: int
    ) -> dict[str, str]:
        """Return the form fields of a presigned POST: `fields`, the key, the policy and its signature.

        `conditions` are added to those that fix `fields` and the key. Send the file last, as `file`.
        """
        moment = self._at(now)
        auth = {
            "x-amz-algorithm": ALGORITHM,
            "x-amz-credential": f"{self.credentials.access_key_id}/{moment.scope}",
            "x-amz-date": moment.stamp,
        }
        if self.credentials.session_token is not None:
            auth["x-amz-security-token"] = self.credentials.session_token
        pinned = {**fields, "key": key, **auth}
        expiration = (now.astimezone(UTC) + timedelta(seconds=expires_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
        all_conditions = [
            *conditions,
            {"bucket": self.address.bucket},
            *({name: value} for name, value in pinned.items()),
        ]
        document = json.dumps({"expiration": expiration, "conditions": all_conditions})
        policy = base64.b64encode(document.encode()).decode()
        return {**pinned, "policy": policy, "x-amz-signature": moment.mac.hex(policy)}

    def sign_call(
        self, body: bytes, headers: Mapping[str, str], *, now: datetime, path: str = "/", query: str = ""
    ) -> dict[str, str]:
        """Sign a POST, as JSON services such as Systems Manager take it to `/`; return all headers for it.

        `path` has no character that is percent-encoded, and `query` at most one parameter, encoded. Host and
        Content-Length are left to the HTTP client. `now` is in whole seconds.
        """
        moment = self._at(now)
        sent = {**headers, "X-Amz-Date": moment.stamp}
        if self.credentials.session_token is not None:
            sent["X-Amz-Security-Token"] = self.credentials.session_token
        names, canonical_headers = self._headers(sent)
        payload = hashlib.sha256(body).hexdigest()
        signature = _sign(moment, f"POST\n{path}\n{query}\n{canonical_headers}\n{names}\n{payload}".encode())
        credential = f"{self.credentials.access_key_id}/{moment.scope}"
        sent["Authorization"] = f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
        return sent

    def _at(self, now: datetime) -> _Moment:
        """Return date, scope and key of a second. Four of a signature's five HMACs are computed once a day."""
        then, moment = self._moment
        if moment is None or then != now:
            stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
            day, region = stamp[:8], self.address.region
            if self._day_mac is None or self._day_mac[0] != day:
                key = f"AWS4{self.credentials.secret_access_key}".encode()
                for step in (day, region, self._service, "aws4_request"):
                    key = hmac.digest(key, step.encode(), "sha256")
                self._day_mac = (day, _Mac.by(key))
            mac, scope = self._day_mac[1], f"{day}/{region}/{self._service}/aws4_request"
            credential = _encode(f"{self.credentials.access_key_id}/{scope}")
            moment = _Moment(stamp, scope, mac, mac.begun(f"{ALGORITHM}\n{stamp}\n{scope}\n"), credential)
            self._moment = (now, moment)
        return moment

    def _auth(self, moment: _Moment, expires_s: int) -> str:
        return (
            f"X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={moment.credential}"
            f"&X-Amz-Date={moment.stamp}&X-Amz-Expires={expires_s}"
        )

    def _headers(self, headers: Mapping[str, str] | None) -> tuple[str, str]:
        """Return the names that are signed, joined by semicolons, and the canonical header lines."""
        if not headers:
            return "host", f"host:{self.address.host}\n"
        signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
        signed["host"] = self.address.host
        names = sorted(signed)
        return ";".join(names), "".join([f"{name}:{signed[name]}\n" for name in names])


def _encode(text: str) -> str:
    """Encode a text as SigV4 does: everything but A-Z a-z 0-9 - . _ ~."""
    return quote(text, safe="")


def _in_order(auth: str, own: list[tuple[str, str]]) -> str:
    """Return the canonical query: all parameters sorted by name. `auth` is sorted already."""
    if not own:
        return auth
    pairs = [f"{name}={value}" for name, value in sorted(own)]
    if pairs[0] > "X-Amz-~":
        return "&".join([auth, *pairs])
    every = [tuple(pair.split("=", 1)) for pair in [*auth.split("&"), *pairs]]
    return "&".join(f"{name}={value}" for name, value in sorted(every))


def _sign(moment: _Moment, canonical_request: bytes) -> str:
    return moment.request_mac.hex(hashlib.sha256(canonical_request).hexdigest())
