"""The client address of a request, for counting. A client cannot choose it."""

import functools
import ipaddress
from collections.abc import Callable

from starlette.types import Scope

from image_upload.limits import FORWARDED_HOPS_MAX
from image_upload.settings.usage import UsageSettings
from image_upload.settings.values import network

# For requests without an address (a Unix socket, an invalid event). They share one count.
UNKNOWN = "unknown"

# A host has 2^64 IPv6 addresses, a /64; a site has 2^16 such networks, a /48 (RFC 6177).
_IPV6_HOST_BITS = 64
_IPV6_SITE_PREFIX = 48

AddressOf = Callable[[Scope], str]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_of(settings: UsageSettings) -> AddressOf:
    """Return a function from a request's scope to its client address.

    On Lambda it is `sourceIp` of the Function URL's request context, which Mangum passes on as the peer. There
    X-Forwarded-For is not used: its leftmost address comes from the client. Elsewhere it is the connection's peer, or
    behind TRUSTED_PROXIES the rightmost address of X-Forwarded-For that is not one of them.
    """
    trusted = [network(text) for text in settings.trusted_proxies]

    def of_peer(scope: Scope) -> str:
        client = scope.get("client")
        return counted(client[0]) if client else UNKNOWN

    def of_forwarded(scope: Scope) -> str:
        client = scope.get("client")
        here = _parsed(client[0]) if client else None
        for hop in _hops(scope):
            # An untrusted address wrote everything to its left, which may be forged.
            if here is None or not any(here in each for each in trusted):
                break
            parsed = _parsed(hop)
            if parsed is None:
                break
            here = parsed
        return UNKNOWN if here is None else counted(str(here))

    return of_forwarded if trusted else of_peer


@functools.lru_cache(maxsize=4096)
def counted(text: str) -> str:
    """Return the unit to count: an IPv4 address, or the /64 of an IPv6 address."""
    address = _parsed(text)
    if address is None:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((int(address) >> _IPV6_HOST_BITS << _IPV6_HOST_BITS, _IPV6_HOST_BITS)))


def site_of(counted_as: str) -> str | None:
    """Return the /48 of an IPv6 network that `counted` returned; None for anything else."""
    if ":" not in counted_as:
        return None
    return str(ipaddress.IPv6Network(counted_as).supernet(new_prefix=_IPV6_SITE_PREFIX))


def _hops(scope: Scope) -> list[str]:
    """Return the addresses of X-Forwarded-For, the nearest first. Several such headers are one list (RFC 9110, 5.3)."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [hop.strip() for hop in reversed(",".join(values).rsplit(",", FORWARDED_HOPS_MAX)[-FORWARDED_HOPS_MAX:])]


def _parsed(text: object) -> _Address | None:
    """Return an IP address; for an IPv4-mapped IPv6 address, the IPv4 address."""
    try:
        address = ipaddress.ip_address(str(text))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped
