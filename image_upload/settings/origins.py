"""Origins of front ends: how a browser writes them, and which of them a list of the operator's allows.

https://www.rfc-editor.org/rfc/rfc6454#section-6.2
A list holds origins, `https://*.example.com` for every host below one, or `*` for all.
"""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

ANY = "*"

_HOST = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]"
_ORIGIN = rf"([a-z][a-z0-9+.-]*)://(\*\.)?({_HOST})(?::([1-9][0-9]{{0,4}}))?"
# What a browser leaves out of an origin.
_DEFAULT_PORTS = {"http": "80", "https": "443"}
# Characters of RFC 3986 only: what every browser and every parser reads alike.
_URL = r"(https?://[A-Za-z0-9_.:\[\]-]+)(?:[/?#][A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*)?"


def check(text: str) -> str:
    """Return an entry of a list, as it is.

    Raises `ValueError` that says how it should read, for one that never matches.
    """
    if text == ANY:
        return text
    match = re.fullmatch(_ORIGIN, text)
    if match is None:
        should = _should_read(text)
        raise ValueError(f"{text!r} never matches a browser's origin" + (f"; write {should}" if should else ""))
    scheme, wildcard, host, port = match.groups()
    if port and port == _DEFAULT_PORTS.get(scheme):
        raise ValueError(f"{text!r} never matches a browser's origin; write {text.removesuffix(f':{port}')}")
    if wildcard and "." not in host and host != "localhost":
        raise ValueError(f"{text!r} is too wide; write a domain of yours behind the wildcard: https://*.example.com")
    return text


def _should_read(text: str) -> str | None:
    """Return the origin that was probably meant, None if that cannot be told."""
    if "*" in text.removeprefix("https://*.").removeprefix("http://*."):
        return "https://*.example.com for every host below a domain, or each origin of its own"
    guess = text if "://" in text else f"{'http' if text.startswith('localhost') else 'https'}://{text}"
    try:
        parts = urlsplit(guess.lower())
        host = parts.netloc.rpartition("@")[2].encode("idna").decode()
    except (ValueError, UnicodeError):
        return None
    origin = f"{parts.scheme}://{host.removesuffix(':' + _DEFAULT_PORTS.get(parts.scheme, ''))}"
    return origin if re.fullmatch(_ORIGIN, origin) else None


def exact(allowed: Sequence[str]) -> list[str]:
    """Those of a list without a wildcard for hosts."""
    return [each for each in allowed if each == ANY or "*" not in each]


def pattern(allowed: Sequence[str]) -> str | None:
    """Return a regular expression for those with one: `*` stands for one or more labels. None if there are none."""
    wild = [each for each in allowed if each != ANY and "*" in each]
    return "|".join(re.escape(each).replace(r"\*\.", r"(?:[a-z0-9_-]+\.)+") for each in wild) or None


def matches(origin: str, allowed: Sequence[str]) -> bool:
    """Return whether an origin is named by a list, alone or below a wildcard. `*` names none."""
    wild = pattern(allowed)
    return (origin != ANY and origin in allowed) or (wild is not None and re.fullmatch(wild, origin) is not None)


def of_url(url: str) -> str | None:
    """Return the origin of an http or https URL as a browser writes it, None if a browser might read it otherwise."""
    match = re.fullmatch(_URL, url)
    if match is None:
        return None
    origin = match[1].lower()
    scheme = origin.partition(":")[0]
    origin = origin.removesuffix(f":{_DEFAULT_PORTS[scheme]}")
    return origin if re.fullmatch(_ORIGIN, origin) else None
