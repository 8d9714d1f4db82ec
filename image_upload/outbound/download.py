"""GET a URL of the outside as a stream: redirects are checked one by one, and nothing of the client goes along.

Bodies come as the origin has them: an encoded one (gzip) is refused, so a small body cannot become a large one.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final, NamedTuple
from urllib.parse import urljoin

import httpcore
import httpx

from image_upload import __version__
from image_upload.errors import SourceRefused, SourceTimedOut, SourceUnavailable, SourceUrlRefused
from image_upload.limits import (
    CONNECT_TIMEOUT_S,
    CONTENT_LENGTH_MAX_DIGITS,
    SOURCE_HEAD_S,
    SOURCE_IDLE_S,
    SOURCE_MIN_BYTES_PER_S,
    SOURCE_REDIRECTS_MAX,
)
from image_upload.outbound.client import (
    AddressRefused,
    CheckedBackend,
    CheckedTransport,
    Destinations,
    tls_context,
)

# RFC 9110 section 15.4: those that a GET follows.
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HEADERS: Final = {
    "User-Agent": f"image-upload/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    # One download a connection: the next one may be another user's.
    "Connection": "close",
}

# Returns a checked URL. Raises a problem for one that is not allowed.
CheckUrl = Callable[[str], str]


class Download(NamedTuple):
    """An answer with 200. `length_bytes` is None if the origin does not say it. `url` is where redirects have led."""

    url: str
    content_type: str
    length_bytes: int | None
    chunks: AsyncGenerator[memoryview, None]


class Downloader:
    """Opens downloads from where `destinations` allow."""

    def __init__(self, destinations: Destinations) -> None:
        self._transport = CheckedTransport(CheckedBackend(destinations), tls_context(verify=True))

    @asynccontextmanager
    async def opened(self, url: str, check: CheckUrl) -> AsyncIterator[Download]:
        """GET a URL; yield its answer, whose chunks can be read inside the block. Each URL on the way passes `check`.

        Raises what `check` raises, `SourceUrlRefused` for an address that is not public, `SourceRefused`,
        `SourceUnavailable`, `SourceTimedOut`. The origin's words are in none of them.
        """
        url = check(url)
        try:
            async with asyncio.timeout(SOURCE_HEAD_S):
                response, url = await self._answered(url, check)
        except TimeoutError:
            raise SourceTimedOut(
                "The URL's server did not answer within {seconds} s. Try again later.",
                facts={"seconds": f"{SOURCE_HEAD_S:g}"},
            ) from None
        try:
            length_bytes = _length(response)
            async with aclosing(_chunks(response)) as chunks:
                yield Download(url, response.headers.get("content-type", ""), length_bytes, chunks)
        finally:
            await response.aclose()

    async def _answered(self, url: str, check: CheckUrl) -> tuple[httpx.Response, str]:
        for _ in range(SOURCE_REDIRECTS_MAX + 1):
            response = await self._asked(url)
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or location is None:
                try:
                    _check_answer(response)
                except BaseException:
                    await response.aclose()
                    raise
                return response, url
            await response.aclose()
            url = check(_joined(url, location))
        raise SourceRefused(
            "The URL redirects more than {most} times. Send the URL that it leads to.",
            facts={"most": SOURCE_REDIRECTS_MAX},
        )

    async def _asked(self, url: str) -> httpx.Response:
        """Send one GET; return the answer without its body.

        Not by a client of httpx, which would keep an origin's cookies for the next request.
        """
        timeout = {"connect": CONNECT_TIMEOUT_S, "read": SOURCE_IDLE_S, "write": SOURCE_IDLE_S, "pool": SOURCE_HEAD_S}
        request = httpx.Request("GET", url, headers=_HEADERS, extensions={"timeout": timeout})
        try:
            return await self._transport.handle_async_request(request)
        except AddressRefused:
            raise SourceUrlRefused(
                "The URL's host leads to an address that is not public. Send the URL of a public server."
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpcore.ConnectionNotAvailable, UnicodeError) as error:
            raise _problem(error) from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise SourceRefused("The URL redirects to what is no URL. Send the URL that it leads to.") from None


def _problem(error: Exception) -> SourceTimedOut | SourceUnavailable:
    if isinstance(error, httpx.TimeoutException):
        return SourceTimedOut("The URL's server is too slow. Try again later.")
    return SourceUnavailable("The URL's server cannot be reached, or broke off. Compare the URL, or try again later.")


def _check_answer(response: httpx.Response) -> None:
    status = response.status_code
    if status >= 500:
        raise SourceUnavailable(
            "The URL's server answered {status}. Try again later.", facts={"status": status}, upstream_status=status
        )
    if status != 200:
        raise SourceRefused(
            "The URL's server answered {status}, not 200. Open the URL in a browser that is not signed in: it must "
            "show the file.",
            facts={"status": status},
            upstream_status=status,
        )
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        raise SourceRefused(
            "The URL's server sends the file compressed, although it was asked not to. Send the URL of the plain file."
        )


def _length(response: httpx.Response) -> int | None:
    """Return the announced length of the body. HTTP/1.1 with chunks announces none (RFC 9112 section 6.3)."""
    if "transfer-encoding" in response.headers:
        return None
    text = response.headers.get("content-length", "")
    if not (text.isascii() and text.isdigit()):
        return None
    return int(text[:CONTENT_LENGTH_MAX_DIGITS])


async def _chunks(response: httpx.Response) -> AsyncGenerator[memoryview, None]:
    """Yield the body. The time in which the reader does not ask for more does not count against the origin."""
    received, waited_s = 0, 0.0
    stream = response.aiter_raw()
    while True:
        began = time.monotonic()
        try:
            # The transport's own limit is for each read, and an origin may drip what is not the body.
            async with asyncio.timeout(SOURCE_IDLE_S):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _too_slow() from None
        except httpx.HTTPError as error:
            raise _problem(error) from None
        received += len(chunk)
        waited_s += time.monotonic() - began
        if waited_s > SOURCE_IDLE_S and received < waited_s * SOURCE_MIN_BYTES_PER_S:
            raise _too_slow()
        yield memoryview(chunk)


def _too_slow() -> SourceTimedOut:
    return SourceTimedOut("The URL's server is too slow. Try again later.")
