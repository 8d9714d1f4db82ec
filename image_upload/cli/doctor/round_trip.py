"""Store, read and delete one real object, as a client would."""

import base64
import hashlib
import secrets
from collections.abc import Iterator, Mapping

import httpx

from image_upload.cli.doctor import abilities
from image_upload.cli.doctor.bucket import CheckTarget
from image_upload.cli.doctor.report import Finding
from image_upload.cli.doctor.scratch import REMEDIES, Scratch, answer_of
from image_upload.s3.errors import error_code


def checks(check_target: CheckTarget) -> Iterator[Finding]:
    """Store, read and delete an object. Also check what S3 must refuse, and what it must allow a browser."""
    body = secrets.token_bytes(1024)
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(body))}
    scratch = Scratch(check_target)
    key = scratch.key("")
    try:
        stored = scratch.send("PUT", key, headers, body)
        if stored.is_success:
            yield _read_back(scratch, key, body)
            yield _wrong_length(scratch, headers, body)
            yield _browser(check_target, key, headers | _optional_headers(check_target, body), stored)
            yield _unsigned(check_target, key)
            yield from abilities.checks(scratch, key, stored.headers.get("etag", ""))
        else:
            yield _failed("PUT", "s3:PutObject", stored)
    except httpx.HTTPError as error:
        remedy = "check S3_PUBLIC_ENDPOINT_URL: it is where clients send their files"
        yield Finding(
            "round trip", "FAIL", f"no answer from {check_target.public.origin} ({type(error).__name__})", remedy
        )
    finally:
        left = scratch.remove()
    if left is not None:
        yield left


def _optional_headers(check_target: CheckTarget, body: bytes) -> dict[str, str]:
    """Return the headers that a plan may ask a browser for, beyond the type."""
    headers = {"If-None-Match": "*"}
    if check_target.settings.s3_checksums == "sha256":
        headers["x-amz-checksum-sha256"] = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return headers


def _read_back(scratch: Scratch, key: str, body: bytes) -> Finding:
    read = scratch.send("GET", key)
    if not read.is_success:
        return _failed("GET", "s3:GetObject", read)
    if read.content != body:
        seen = f"{len(read.content)} other bytes came back than the {len(body)} that were sent"
        return Finding("round trip", "FAIL", seen, "something on the way to S3 changes bodies; look for proxies")
    return Finding("round trip", "ok", f"{len(body)} bytes stored and read back at {scratch.check_target.public.host}")


def _wrong_length(scratch: Scratch, headers: Mapping[str, str], body: bytes) -> Finding:
    response = scratch.send("PUT", scratch.key("-wrong"), headers, body + b"x")
    if response.is_success:
        remedy = "uploads are not held to what was minted; use a store that checks signatures"
        return Finding("signed length", scratch.check_target.grave, "one byte more than signed was stored", remedy)
    return Finding("signed length", "ok", f"one byte more than signed is refused ({answer_of(response)})")


def _failed(method: str, action: str, response: httpx.Response) -> Finding:
    code = error_code(response.content) or ""
    remedy = REMEDIES.get(code, "look the code up in S3's list of error codes").format(action=action)
    return Finding("round trip", "FAIL", f"{method} was answered {answer_of(response)}", remedy)


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
            return Finding("bucket CORS", "FAIL", f"{what} is answered {answer_of(response)} and {names}", remedy)
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
    return Finding("unsigned read", "ok", f"refused ({answer_of(response)})")
