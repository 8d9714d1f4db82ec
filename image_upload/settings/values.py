"""Parse the texts of settings that are more than a number or a word. All functions raise `ValueError`."""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from image_upload.limits import RATE_LIMIT_WINDOW_MAX_S, S3_BUCKET_NAME_MAX_CHARS, S3_BUCKET_NAME_MIN_CHARS

OFF = "off"

_RATE = r"([1-9][0-9]{0,8})/([1-9][0-9]{0,4})? ?(second|minute|hour|day)s?"
_UNIT_S = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


# The request headers of front ends: fetch and axios, Dropzone and jQuery (X-Requested-With, Cache-Control), Uppy, and
# those of tracing: W3C Trace Context, OpenTelemetry, Sentry.
CORS_HEADERS = (
    "Authorization",
    "Content-Type",
    "Accept",
    "Cache-Control",
    "X-Requested-With",
    "X-Request-Id",
    "Idempotency-Key",
    "Uppy-Auth-Token",
    "Uppy-Credentials-Params",
    "X-HTTP-Method-Override",
    "Tus-Resumable",
    "Upload-Length",
    "Upload-Defer-Length",
    "Upload-Offset",
    "Upload-Metadata",
    "Upload-Concat",
    "Upload-Checksum",
    "Upload-Complete",
    "Upload-Draft-Interop-Version",
    "Content-Disposition",
    "Content-Digest",
    "Repr-Digest",
    "Traceparent",
    "Tracestate",
    "Baggage",
    "Sentry-Trace",
)

# RFC 9110 section 5.1
_HEADER_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"


def header_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of headers, or `*` alone."""
    if names != ("*",) and any("*" in name or not re.fullmatch(_HEADER_NAME, name) for name in names):
        raise ValueError("one of them is no name of a header")
    return names


# `a, b` in the environment.
CommaList = tuple[str, ...]


class Rate(NamedTuple):
    """So many requests in so many seconds."""

    requests: int
    window_s: int


def rate(text: str) -> Rate | None:
    """Parse `120/minute` or `10/5 seconds`; return None for `off`."""
    if text == OFF:
        return None
    match = re.fullmatch(_RATE, text)
    if match is None:
        raise ValueError("not of the form number/time")
    window_s = int(match[2] or 1) * _UNIT_S[match[3]]
    if window_s > RATE_LIMIT_WINDOW_MAX_S:
        raise ValueError("longer than a day")
    return Rate(int(match[1]), window_s)


def network(text: str) -> Network:
    """Parse a network such as `10.0.0.0/8`, or one address."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("one of them is no address, and no network such as 10.0.0.0/8") from None


def split_url(text: str) -> SplitResult:
    """Split a URL and check its port, without the standard library's message, which may quote a password."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("not a URL: a character in its host or port is not allowed there, or not encoded") from None
    return parts


def checked_url(text: str, schemes: tuple[str, ...]) -> SplitResult:
    """Split a URL, and check that it has a host and one of these schemes."""
    parts = split_url(text)
    if parts.scheme not in schemes or not parts.hostname or not text.isprintable() or " " in text:
        raise ValueError(f"not a URL of the form {schemes[0]}://host[:port][/path]")
    return parts


# S3's rules for the names of buckets: a pattern that a name must not match → the fault.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET_NAME_RULES = {
    rf".{{0,{S3_BUCKET_NAME_MIN_CHARS - 1}}}|.{{{S3_BUCKET_NAME_MAX_CHARS + 1},}}": "too short or too long",
    r".*[^a-z0-9.-].*": "a character other than lowercase a-z, 0-9, dot and hyphen",
    r"[.-].*|.*[.-]": "it must begin and end with a letter or a digit",
    r".*\.\..*": "two dots side by side",
    r"\d+(\.\d+){3}": "the form of an IP address",
    r"(xn--|sthree-|amzn-s3-demo-).*": "xn--, sthree- and amzn-s3-demo- at the beginning are reserved by S3",
    r".*(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)": "-s3alias, --ol-s3, .mrap, --x-s3 and --table-s3 at the end are "
    "reserved by S3 for what is no general purpose bucket",
}


def bucket_name(text: str) -> str:
    """Check that S3 allows a name for a general purpose bucket; return it."""
    for pattern, wrong in _BUCKET_NAME_RULES.items():
        if re.fullmatch(pattern, text, re.DOTALL):
            raise ValueError(wrong)
    return text


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its text."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
