"""The HTTP client of the process, which connects only to checked addresses.

It resolves a host name once, checks every address, and connects to a checked one. No second look-up can give
another address between check and use (DNS rebinding). It follows no redirects and ignores proxies of the
environment.
"""

import asyncio
import contextlib
import functools
import importlib.util
import ipaddress
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

import httpcore
import httpx

from image_upload.limits import INTERIM_ANSWERS_MAX

if importlib.util.find_spec("sniffio") is None:
    # httpcore tries to import sniffio at every request and every lock. For a missing module Python searches the whole
    # path each time, which takes a fifth of a small upload's CPU. With None the import fails at once.
    sys.modules["sniffio"] = None  # type: ignore[assignment]  # None is how Python writes "not there"

_POOLS = 8

# Linux alone has it.
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)

# The part of IPv6 that is assigned for the Internet. All other addresses are refused.
# https://www.iana.org/assignments/ipv6-address-space
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# Parts of it without servers: 6to4 (deprecated by RFC 7526) and documentation (RFC 9637). Not every Python knows them.
_IPV6_REFUSED = tuple(map(ipaddress.ip_network, ("2002::/16", "3fff::/20")))
# RFC 6052: an IPv4 address inside an IPv6 one, for networks that reach IPv4 by DNS64.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# RFC 5214: an interface identifier that is an IPv4 address, in any prefix.
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})

# Public by the registry or to Python, but never the target of an upload: protocol assignments (RFC 6890), 6to4 relays
# (RFC 7526), and Azure's platform service for virtual machines.
# https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
_IPV4_REFUSED = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))

# The ranges of a VPC's interface endpoints: RFC 1918, RFC 6598, RFC 4193.
# https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html
_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
# Metadata services inside these ranges. They hand out credentials: EC2's, Google's, Alibaba's.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
# https://docs.cloud.google.com/compute/docs/metadata/querying-metadata
# https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
_METADATA = tuple(map(ipaddress.ip_network, ("fd00:ec2::/32", "fd20:ce::/32", "100.100.100.200/32")))

Hosts = frozenset[tuple[str, int]]
NONE: Hosts = frozenset()


class AddressRefused(httpx.ConnectError):
    """A host name resolves to an address that is not allowed for it."""


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public Internet. An IPv4 address inside an IPv6 one counts as itself.

    https://www.iana.org/assignments/iana-ipv4-special-registry (private, loopback, link-local, shared,
    benchmarking, documentation …) and iana-ipv6-special-registry, as `ipaddress` has them.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast and not any(ip in network for network in _IPV4_REFUSED)
    carried = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip.ipv4_mapped
    if carried is not None:
        return is_public(str(carried))
    if (int(ip) >> 32) & 0xFFFFFFFF in _ISATAP or any(ip in network for network in _IPV6_REFUSED):
        return False
    return ip in _GLOBAL_UNICAST and ip.is_global


def is_private(address: str) -> bool:
    """Return whether an IP address is on a private network and not a metadata service. A mapped address is neither."""
    ip = ipaddress.ip_address(address)
    return (
        any(ip in network for network in _PRIVATE)
        and not any(ip in network for network in _METADATA)
        and not (ip.version == 6 and (int(ip) >> 32) & 0xFFFFFFFF in _ISATAP)
    )


async def resolve(host: str, port: int) -> list[str]:
    """Return all addresses of a host name, in the system's order of preference."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


Resolver = Callable[[str, int], Awaitable[list[str]]]


class Destinations:
    """The addresses that a host may resolve to: public ones.

    `trusted` (host, port) are named by the operator and may have any address. `private` are hosts of AWS, which the
    DNS of a VPC resolves to an interface endpoint. https://docs.aws.amazon.com/AmazonS3/latest/userguide/privatelink-interface-endpoints.html
    """

    def __init__(self, trusted: Hosts, private: Hosts = NONE, resolver: Resolver = resolve) -> None:
        self._trusted = trusted
        self._private = private
        self._resolve = resolver

    async def address(self, host: str, port: int) -> str:
        """Check all addresses of a host and return one to connect to; return a trusted host as it is.

        Raises `AddressRefused`, and `OSError` for a name that cannot be resolved.
        """
        if (host, port) in self._trusted:
            return host
        addresses = await self._resolve(host, port)
        may_be_private = (host, port) in self._private
        if not addresses or not all(is_public(each) or (may_be_private and is_private(each)) for each in addresses):
            raise AddressRefused(f"{host} leads to an address that is not public")
        return addresses[0]


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Opens TCP connections to addresses that `destinations` allow."""

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations
        # The backend that httpcore would choose itself.
        self._inner: httpcore.AsyncNetworkBackend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to one of the host's checked addresses. Raises `AddressRefused` and `httpcore.ConnectError`."""
        try:
            target = await self._destinations.address(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"cannot resolve {host}") from error
        stream = await self._inner.connect_tcp(target, port, timeout, local_address, socket_options)
        connection = stream.get_extra_info("socket")
        return _Stream(stream, None if connection is None else socket.socket(fileno=os.dup(connection.fileno())))

    async def sleep(self, seconds: float) -> None:
        """Sleep, for httpcore's own connection retries. They are off here."""
        await self._inner.sleep(seconds)  # httpcore's own pause


class InterimAnswers:
    """Count the 1xx answers in front of the final one. They have no body. RFC 9110 section 15.2."""

    def __init__(self) -> None:
        self._count = 0
        self._head: bytes | None = b""

    def are_too_many(self, data: bytes) -> bool:
        """Add data; return whether there are now more than `INTERIM_ANSWERS_MAX`."""
        if self._head is None:  # the final answer has begun
            return False
        self._head += data
        while self._head.startswith(b"HTTP/1.1 1") and b"\r\n\r\n" in self._head:
            self._count += 1
            if self._count > INTERIM_ANSWERS_MAX:
                return True
            self._head = self._head.partition(b"\r\n\r\n")[2]
        if len(self._head) > len(b"HTTP/1.1 1") and not self._head.startswith(b"HTTP/1.1 1"):
            self._head = None
        return False


class _Stream(httpcore.AsyncNetworkStream):
    """A connection whose answer can be read after a write failed, and whose bytes are acknowledged at once.

    uvloop closes a reset socket at once. anyio's `get_extra_info` then raises an AttributeError, which no caller takes
    for a lost connection; here it returns None. `duplicate` is a second descriptor of the socket: what the server sent
    before a write failed is read from it, unless it is encrypted.
    """

    def __init__(
        self, inner: httpcore.AsyncNetworkStream, duplicate: socket.socket | None = None, *, encrypted: bool = False
    ) -> None:
        self._inner = inner
        self._duplicate = duplicate
        self._encrypted = encrypted
        self._interim = InterimAnswers()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # httpcore's signature
        try:
            data = await self._inner.read(max_bytes, timeout)
        except httpcore.ReadError:
            data = self._read_duplicate(max_bytes)
            if not data:
                raise
        self._acknowledge()
        if self._interim.are_too_many(data):
            raise httpcore.ReadError("too many interim answers")
        return data

    def _acknowledge(self) -> None:
        """Send the delayed acknowledgement now. Linux resets the option by itself.

        Ceph's gateway, as it is installed, sends the head and the body of an answer by two writes under Nagle's
        algorithm, so the body waits 40 ms for it: a listing took 47 ms, and takes 10.
        https://man7.org/linux/man-pages/man7/tcp.7.html (TCP_QUICKACK)
        """
        if self._duplicate is not None and _QUICK_ACK is not None:
            with contextlib.suppress(OSError):  # the connection has ended
                self._duplicate.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)

    def _read_duplicate(self, max_bytes: int) -> bytes:
        if self._duplicate is None or self._encrypted:
            return b""
        try:
            return self._duplicate.recv(max_bytes)
        except OSError:
            return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # the same
        self._interim = InterimAnswers()
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        self._release()
        await self._inner.aclose()

    def __del__(self) -> None:
        self._release()

    def _release(self) -> None:
        if self._duplicate is not None:
            self._duplicate.close()
            self._duplicate = None

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # the same
    ) -> httpcore.AsyncNetworkStream:
        secure = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        duplicate, self._duplicate = self._duplicate, None
        return _Stream(secure, duplicate, encrypted=True)

    def get_extra_info(self, info: str) -> Any:
        try:
            return self._inner.get_extra_info(info)
        except (AttributeError, OSError):
            return None


class CheckedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over a pool that uses `CheckedBackend`.

    httpcore takes a backend as a documented argument, but httpx 0.28 does not pass one on. So the pool is
    replaced. A test fails if a new httpx stores its pool elsewhere.
    """

    def __init__(self, backend: CheckedBackend, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=1000,
            max_keepalive_connections=20,
            # S3 closes idle connections after about 5 s, and Lambda may freeze the process for minutes.
            keepalive_expiry=4.0,
            http1=True,
            network_backend=backend,
        )


class PoolGroup(httpx.AsyncBaseTransport):
    """Several connection pools; each request goes to the least busy one.

    httpcore looks at every connection of a pool whenever a request begins or ends. With one pool for many simultaneous
    requests that takes a third of their CPU.
    """

    def __init__(self, pools: Sequence[httpx.AsyncBaseTransport]) -> None:
        self._pools = pools
        self._busy = [0] * len(pools)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request by the least busy pool. It counts as busy until the answer is read or closed."""
        pool = min(range(len(self._pools)), key=self._busy.__getitem__)
        self._busy[pool] += 1
        try:
            response = await self._pools[pool].handle_async_request(request)
        except BaseException:
            self._busy[pool] -= 1
            raise
        response.stream = _CountedStream(response, self._busy, pool)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools:
            await pool.aclose()


class _CountedStream(httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response, busy: list[int], pool: int) -> None:
        self._stream = response.stream
        self._busy, self._pool = busy, pool
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._stream, httpx.AsyncByteStream)  # it comes from an async transport
        async for chunk in self._stream:
            yield chunk

    async def aclose(self) -> None:
        assert isinstance(self._stream, httpx.AsyncByteStream)  # the same
        if not self._is_closed:
            self._is_closed = True
            self._busy[self._pool] -= 1
        await self._stream.aclose()


@functools.cache
def tls_context(*, verify: bool) -> ssl.SSLContext:
    """Return the TLS context of all clients: certifi's authorities, or those of SSL_CERT_FILE.

    It is made once, because reading the authorities blocks the event loop for 20 to 40 ms.
    """
    return httpx.create_ssl_context(verify=verify, trust_env=True)


def open_client(destinations: Destinations, *, verify: bool) -> httpx.AsyncClient:
    """Return an HTTP client that connects only where `destinations` allow."""
    backend, context = CheckedBackend(destinations), tls_context(verify=verify)
    return httpx.AsyncClient(
        transport=PoolGroup([CheckedTransport(backend, context) for _ in range(_POOLS)]),
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(10.0, read=60.0, write=60.0),
        # Objects are compared byte for byte, so no compression on the way.
        headers={"Accept-Encoding": "identity"},
    )
