"""Where a running service is, and the token that it is asked with: what commands that are its clients are told."""

import argparse
import re
from typing import Final
from urllib.parse import urlsplit

# RFC 6750 section 2.1. An HTTP client would refuse other characters with an error that repeats the token.
BEARER_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


def base_url(text: str) -> str:
    """Return a service's base URL without its last slash. Raises `argparse.ArgumentTypeError`."""
    try:
        parts = urlsplit(text)
        is_base = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        is_base = False
    if not is_base or "@" in parts.netloc or parts.query or parts.fragment:
        # Not repeated: it may hold a password.
        raise argparse.ArgumentTypeError("no base URL. Expected: one such as https://uploads.example.com")
    return text.rstrip("/")
