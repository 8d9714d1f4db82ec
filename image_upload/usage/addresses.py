"""From which address a request comes, for counting. Never from what a client merely says."""

import functools
import ipaddress
from collections.abc import Callable

from starlette.types import Scope

from image_upload.limits import FORWARDED_HOPS_MAX
from image_upload.settings.usage import UsageSettings
from image_upload.settings.values import network

# Where there is none: a Unix socket, a broken event. Such requests share one count.
UNKNOWN = "unknown"

# A host has 2^64 IPv6 addresses, as it is given a /64; a site has 2^16 such networks, as it is given a /48 (RFC 6177).
_IPV6_HOST_BITS = 64
_IPV6_SITE_PREFIX = 48

AddressOf = Callable[[Scope], str]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_of(settings: UsageSettings) -> AddressOf:
    """How to find the address of a request.

    On Lambda it is the `sourceIp` of the Function URL's own context, which Mangum hands on as the peer. Of
    X-Forwarded-For a Function URL passes on only the leftmost address, which anybody can write. Elsewhere it is the
    peer of the connection, or behind TRUSTED_PROXIES the rightmost address that is none of them.
    """
    trusted = [network(text) for text in settings.trusted_proxies]

    def of_peer(scope: Scope) -> str:
        client = scope.get("client")
        return counted(client[0]) if client else UNKNOWN

    def of_forwarded(scope: Scope) -> str:
        client = scope.get("client")
        here = _parsed(client[0]) if client else None
        for hop in _hops(scope):
            # What stands left of an address that is not ours was written by it, and may be invented.
            if here is None or not any(here in each for each in trusted):
                break
            said = _parsed(hop)
            if said is None:
                break
            here = said
        return UNKNOWN if here is None else counted(str(here))

    return of_forwarded if trusted else of_peer


@functools.lru_cache(maxsize=4096)
def counted(text: str) -> str:
    """What is counted as one: an IPv4 address, or the /64 of an IPv6 one."""
    address = _parsed(text)
    if address is None:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((int(address) >> _IPV6_HOST_BITS << _IPV6_HOST_BITS, _IPV6_HOST_BITS)))


def site_of(counted_as: str) -> str | None:
    """The /48 of what `counted` made of an IPv6 address; None for anything else."""
    if ":" not in counted_as:
        return None
    return str(ipaddress.IPv6Network(counted_as).supernet(new_prefix=_IPV6_SITE_PREFIX))


def _hops(scope: Scope) -> list[str]:
    """The addresses of X-Forwarded-For, the nearest first. Several such headers are one list (RFC 9110, 5.3)."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [hop.strip() for hop in reversed(",".join(values).rsplit(",", FORWARDED_HOPS_MAX)[-FORWARDED_HOPS_MAX:])]


def _parsed(text: object) -> _Address | None:
    """An IP address; one of IPv4 that is mapped into IPv6 as what it is."""
    try:
        address = ipaddress.ip_address(str(text))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped
