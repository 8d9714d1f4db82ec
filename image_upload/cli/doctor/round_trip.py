"""Store, read and delete one real object, as a client would."""

import base64
import hashlib
import secrets
from collections.abc import Iterator, Mapping
from typing import Final

import httpx

from image_upload.cli.doctor.bucket import CheckTarget
from image_upload.cli.doctor.report import Finding
from image_upload.s3.errors import error_code

_REMEDIES: Final[Mapping[str, str]] = {
    "AccessDenied": "grant {action} on the folder to these credentials (docs/bucket.md), and kms:GenerateDataKey and "
    "kms:Decrypt where the bucket has a key of KMS",
    "ExpiredToken": "the credentials have ended; sign in again",
    "InvalidToken": "the session token belongs to other credentials; sign in again",
    "InvalidAccessKeyId": "S3 does not know the access key; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY, and that nothing on the way changes headers",
    "RequestTimeTooSkewed": "set this machine's clock (NTP)",
    "AuthorizationQueryParametersError": "set AWS_REGION to the bucket's region",
    "NoSuchBucket": "create the bucket, or correct S3_BUCKET_NAME",
}


def checks(check_target: CheckTarget) -> Iterator[Finding]:
    """Store, read and delete an object. Also check what S3 must refuse, and what it must allow a browser."""
    body = secrets.token_bytes(1024)
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(len(body)),
        "If-None-Match": "*",
    }
    if check_target.settings.s3_checksums == "sha256":
        headers["x-amz-checksum-sha256"] = base64.b64encode(hashlib.sha256(body).digest()).decode()
    folder = check_target.settings.purposes.default.prefix
    key, wrong_key = (f"{folder}doctor-{secrets.token_hex(16)}{tail}" for tail in ("", "-wrong"))
    versions: dict[str, str | None] = {}
    try:
        stored = _send(check_target, key, headers, body, versions)
        if stored.is_success:
            yield _read_back(check_target, key, body)
            yield _wrong_length(check_target, wrong_key, headers, body, versions)
            yield _browser(check_target, key, headers, stored)
            yield _unsigned(check_target, key)
        else:
            yield _failed("PUT", "s3:PutObject", stored)
    except httpx.HTTPError as error:
        remedy = "check S3_PUBLIC_ENDPOINT_URL: it is where clients send their files"
        yield Finding(
            "round trip", "FAIL", f"no answer from {check_target.public.origin} ({type(error).__name__})", remedy
        )
    finally:
        left = _remove(check_target, versions)
    if left is not None:
        yield left


def _send(
    check_target: CheckTarget, key: str, headers: Mapping[str, str], body: bytes, versions: dict[str, str | None]
) -> httpx.Response:
    """PUT as a browser at the origin would. Add the key and version of what may have been stored to `versions`."""
    sent = {**headers, "Content-Length": str(len(body))} | (
        {"Origin": check_target.origin} if check_target.origin else {}
    )
    try:
        response = check_target.web.put(
            check_target.sign(check_target.public, "PUT", key, headers), content=body, headers=sent
        )
    except httpx.ConnectError:
        raise
    except httpx.HTTPError:
        versions[key] = None  # the answer was lost, so the object may exist
        raise
    if response.is_success:
        versions[key] = response.headers.get("x-amz-version-id")
    return response


def _read_back(check_target: CheckTarget, key: str, body: bytes) -> Finding:
    read = check_target.web.get(check_target.sign(check_target.public, "GET", key))
    if not read.is_success:
        return _failed("GET", "s3:GetObject", read)
    if read.content != body:
        seen = f"{len(read.content)} other bytes came back than the {len(body)} that were sent"
        return Finding("round trip", "FAIL", seen, "something on the way to S3 changes bodies; look for proxies")
    return Finding("round trip", "ok", f"{len(body)} bytes stored and read back at {check_target.public.host}")


def _wrong_length(
    check_target: CheckTarget, key: str, headers: Mapping[str, str], body: bytes, versions: dict[str, str | None]
) -> Finding:
    response = _send(check_target, key, headers, body + b"x", versions)
    if response.is_success:
        remedy = "uploads are not held to what was minted; use a store that checks signatures"
        return Finding("signed length", check_target.grave, "one byte more than signed was stored", remedy)
    return Finding("signed length", "ok", f"one byte more than signed is refused ({_answer(response)})")


def _failed(method: str, action: str, response: httpx.Response) -> Finding:
    code = error_code(response.content) or ""
    remedy = _REMEDIES.get(code, "look the code up in S3's list of error codes").format(action=action)
    return Finding("round trip", "FAIL", f"{method} was answered {_answer(response)}", remedy)


def _answer(response: httpx.Response) -> str:
    return f"{response.status_code} {error_code(response.content) or ''}".rstrip()


def _browser(check_target: CheckTarget, key: str, headers: Mapping[str, str], stored: httpx.Response) -> Finding:
    """Check the preflight that a browser would send first, and that it may read the ETag of the answer."""
    if check_target.origin is None:
        return Finding("bucket CORS", "skip", "no front end is named", "name yours: --origin https://app.example.com")
    preflight_headers = {
        "Origin": check_target.origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": ",".join(
            sorted(name.lower() for name in headers if name != "Content-Length")
        ),
    }
    preflight = check_target.web.options(
        check_target.sign(check_target.public, "PUT", key, headers), headers=preflight_headers
    )
    remedy = f"python -m image_upload bucket-rules --origins {check_target.origin} --apply"
    for response, what in ((preflight, "the preflight"), (stored, "the PUT")):
        allowed = allowed_origins(response)
        if allowed not in ([check_target.origin], ["*"]) or not response.is_success:
            names = f"allows {' and '.join(allowed)}" if allowed else "allows no origin"
            return Finding("bucket CORS", "FAIL", f"{what} is answered {_answer(response)} and {names}", remedy)
    exposed = {name.strip().lower() for name in stored.headers.get("access-control-expose-headers", "").split(",")}
    if "etag" not in exposed:
        return Finding("bucket CORS", "FAIL", "a browser may send, but not read the ETag", remedy)
    return Finding("bucket CORS", "ok", f"{check_target.origin} may send and read the ETag")


def allowed_origins(response: httpx.Response) -> list[str]:
    """Return all origins that an answer allows. A browser accepts exactly one."""
    values = response.headers.get_list("access-control-allow-origin")
    return [origin.strip() for value in values for origin in value.split(",")]


def _unsigned(check_target: CheckTarget, key: str) -> Finding:
    response = check_target.web.get(f"{check_target.public.origin}{check_target.public.path_prefix}/{key}")
    if response.is_success:
        remedy = "every file is public; python -m image_upload bucket-rules --apply"
        return Finding(
            "unsigned read", check_target.grave, "the object was given to a request without a signature", remedy
        )
    return Finding("unsigned read", "ok", f"refused ({_answer(response)})")


def _remove(check_target: CheckTarget, versions: Mapping[str, str | None]) -> Finding | None:
    """Delete what was stored. Return a finding if something stays."""
    kept = 0
    try:
        for key, version in versions.items():
            if version is not None and version != "null":
                gone = check_target.web.delete(check_target.sign(check_target.public, "DELETE", key, versionId=version))
                if gone.is_success:
                    continue
                kept += 1
            gone = check_target.web.delete(check_target.sign(check_target.public, "DELETE", key))
            if not gone.is_success:
                remedy = _REMEDIES.get(error_code(gone.content) or "", "").format(action="s3:DeleteObject")
                return Finding("clean-up", "FAIL", f"{key} stays: DELETE was answered {_answer(gone)}", remedy)
    except httpx.HTTPError as error:
        return Finding(
            "clean-up", "FAIL", f"an object in {check_target.settings.s3_bucket_name} may stay", type(error).__name__
        )
    if kept:
        return Finding("clean-up", "ok", f"removed; old versions that stay until the life times end them: {kept}")
    return None
