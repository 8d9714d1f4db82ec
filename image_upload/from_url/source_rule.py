"""Decide by its text whether a URL may be fetched. Its address is checked when the connection is made.

`outbound/client.py` resolves the host, checks every address, and connects to a checked one.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import httpx

from image_upload.domain import keys
from image_upload.errors import InvalidFilename, SourceUrlInvalid, SourceUrlRefused
from image_upload.limits import SOURCE_URL_MAX_CHARS

# The fragment is for browsers, and is never sent (RFC 9110 section 7.1).
_URL = re.compile(r"(https?)://([^/?#\\]+)([/?][^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL)
# RFC 3986. People paste other letters too; these are encoded, as browsers do it.
_RESERVED: Final = "-._~:/?[]@!$&'()*+,;=%"
_CHARACTERS = re.compile(rf"[A-Za-z0-9{re.escape(_RESERVED)}]*", re.ASCII)
_HOST = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_PORTS: Final = {"http": 80, "https": 443}


class SourceRule:
    """The rule: https on its own port, and no user information; outside production http too.

    `private_hosts` are (host, port) of the operator's own servers; these may have any port and any address.
    """

    def __init__(self, private_hosts: Iterable[tuple[str, int]], *, production: bool) -> None:
        self._private_hosts = frozenset(private_hosts)
        self._production = production

    def check(self, url: str) -> str:
        """Return the URL as it is sent. Raises `SourceUrlInvalid`, `SourceUrlRefused`."""
        match = _URL.fullmatch(url) if len(url) <= SOURCE_URL_MAX_CHARS else None
        if match is None or keys.NOT_TEXT.search(url) or any(each.isspace() for each in url):
            raise SourceUrlInvalid("This is no URL of the form https://host/path. Copy the address of the file itself.")
        scheme, netloc, rest = match[1].lower(), match[2].lower(), quote(match[3] or "/", safe=_RESERVED)
        if "@" in netloc:
            raise SourceUrlRefused("The URL holds a user name or a password. Send one that needs none.")
        if not _HOST.fullmatch(netloc) or not _CHARACTERS.fullmatch(rest):
            raise SourceUrlInvalid("The URL's host or path has characters that no URL has. Send it percent-encoded.")
        sent = f"{scheme}://{netloc}{rest if rest.startswith('/') else '/' + rest}"
        host, port = _place(sent)
        if (host, port) not in self._private_hosts and port != _PORTS[scheme]:
            raise SourceUrlRefused("The URL names a port of its own. Send one without a port.")
        if scheme != "https" and self._production:
            raise SourceUrlRefused("The URL is not https. Send one that is.")
        return sent


def _place(url: str) -> tuple[str, int]:
    """Return host and port of a URL, as the HTTP client reads them."""
    try:
        parts = httpx.URL(url)
        return parts.raw_host.decode(), parts.port or _PORTS[parts.scheme]
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise SourceUrlInvalid("The URL's host or port is none. Copy the address of the file again.") from None


def filename_in(url: str) -> str | None:
    """Return the file name at the end of a URL's path; None if there is none that can be used."""
    name = unquote(urlsplit(url).path.rpartition("/")[2], errors="replace")
    try:
        return keys.check_filename(name) if keys.extension(name) else None
    except InvalidFilename:
        return None
