import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import NoReturn

import httpx
import pytest

from image_upload.outbound.client import (
    AddressRefused,
    CheckedTransport,
    Destinations,
    PoolGroup,
    Resolver,
    is_private,
    is_public,
    open_client,
)
from image_upload.outbound.streaming_put import StreamingPutError
from image_upload.s3.bucket import Bucket
from image_upload.settings import load


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def answering(*addresses: str) -> Resolver:
    async def resolver(_: str, __: int) -> list[str]:
        return list(addresses)

    return resolver


async def put(client: httpx.AsyncClient, url: str) -> httpx.Response:
    async with client:
        return await client.put(url, content=b"x")


PUBLIC = (
    "52.219.60.1", "2600:1fa0:a000::1", "::ffff:52.219.60.1", "64:ff9b::34db:3c01", "172.15.255.254", "172.32.0.1",
    "100.63.255.255", "100.128.0.1",
)  # fmt: skip
# Where an interface endpoint of a VPC is.
PRIVATE = (
    "10.0.0.1", "10.255.255.254", "172.16.0.1", "172.31.255.254", "192.168.1.1", "100.64.0.1", "100.127.255.254",
    "fd12:3456:789a::1", "fc00::1", "fd00:ec1::254", "fd00:ec3::254",
)  # fmt: skip
# Where nothing of the Internet and no endpoint of a VPC is, not even under a name of AWS.
NOWHERE = (
    "127.0.0.1", "127.255.255.254", "169.254.169.254", "169.254.170.2", "0.0.0.0", "0.1.2.3", "224.0.0.1",
    "255.255.255.255", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "100.100.100.200",
    "192.0.0.9", "192.0.0.192", "192.88.99.1", "168.63.129.16", "240.0.0.1",
    "::1", "::", "fe80::1", "fe80::1%lo", "fe80::a9fe:a9fe", "fec0::1", "ff02::1", "ff0e::1",
    "fd00:ec2::254", "fd00:ec2::253", "fd00:ec2::23", "fd20:ce::254", "fd00::5efe:10.0.0.1", "fd00::200:5efe:8.8.8.8",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::ffff:192.168.1.1", "::ffff:168.63.129.16",
    "64:ff9b::a9fe:a9fe", "64:ff9b::a83f:8110", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "2002:7f00:1::",
    "2001:db8::1", "::10.0.0.1", "::ffff:0:10.0.0.1", "::8.8.8.8", "::ffff:0:8.8.8.8", "3fff::1", "100::1", "5f00::1",
    "4000::1", "2002:808:808::1", "2001:0:808:808::1", "2600::5efe:10.0.0.1", "2600::200:5efe:8.8.8.8",
)  # fmt: skip
OWN = "photos.s3.eu-west-1.amazonaws.com"


@pytest.mark.parametrize("address", [*PRIVATE, *NOWHERE])
def test_an_address_that_is_not_public_is_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_known(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("52.219.60.1", "127.0.0.1"), ("::ffff:127.0.0.1",), ()])
def test_a_name_that_leads_inside_is_never_connected_to(listener: socket.socket, addresses: tuple[str, ...]) -> None:
    port = listener.getsockname()[1]
    client = open_client(Destinations(frozenset(), resolver=answering(*addresses)), verify=True)
    with pytest.raises(AddressRefused):
        asyncio.run(put(client, f"http://photos.s3.amazonaws.com:{port}/a.jpg"))
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_the_connection_goes_to_the_address_that_was_checked(listener: socket.socket) -> None:
    """A second look-up would be answered with another address; there is none."""
    asked: list[str] = []

    async def resolver(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    port = listener.getsockname()[1]
    client = open_client(Destinations(frozenset({("endpoint.example", port)}), resolver=resolver), verify=True)
    # A trusted endpoint is left to the system's resolver, which knows no such name.
    with pytest.raises(httpx.ConnectError):
        asyncio.run(put(client, f"http://endpoint.example:{port}/a.jpg"))
    assert asked == []


def test_a_configured_endpoint_may_be_private(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]

    async def exchange() -> bytes:
        client = open_client(Destinations(frozenset({(host, port)}), resolver=answering()), verify=True)
        loop = asyncio.get_running_loop()
        request = asyncio.create_task(put(client, f"http://{host}:{port}/a.jpg"))
        connection, _ = await loop.sock_accept(listener)
        connection.setblocking(False)
        with connection:
            received = await loop.sock_recv(connection, 65536)
            await loop.sock_sendall(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            assert (await request).status_code == 200
        return received

    assert asyncio.run(exchange()).startswith(b"PUT /a.jpg HTTP/1.1\r\n")


ACK_DELAYED_S = 0.04  # Linux's TCP_DELACK_MIN
ASKED_TIMES = 12


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux alone delays acknowledgements for 40 ms")
def test_an_answer_in_two_writes_is_not_held_back_by_a_delayed_acknowledgement(listener: socket.socket) -> None:
    """Ceph's gateway writes head and body so, under Nagle's algorithm. Linux delays those of the later answers."""
    host, port = listener.getsockname()[:2]

    async def answer() -> None:
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(listener)
        connection.setblocking(False)
        with connection:
            while await loop.sock_recv(connection, 65536):
                for piece in (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"a", b"b"):
                    await loop.sock_sendall(connection, piece)

    async def fastest() -> float:
        loop = asyncio.get_running_loop()
        answers = asyncio.create_task(answer())
        async with open_client(Destinations(frozenset({(host, port)}), resolver=answering()), verify=True) as client:
            took = []
            for _ in range(ASKED_TIMES):
                began = loop.time()
                assert (await client.get(f"http://{host}:{port}/")).content == b"ab"
                took.append(loop.time() - began)
        await answers
        return min(took[ASKED_TIMES // 2 :])

    assert asyncio.run(fastest()) < ACK_DELAYED_S / 2


@pytest.mark.parametrize(("addresses", "private"), [(PRIVATE, True), (PUBLIC, False), (NOWHERE, False)])
def test_a_private_address_is_known(addresses: tuple[str, ...], private: bool) -> None:
    assert [address for address in addresses if is_private(address) is not private] == []


def own_bucket(**environ: str) -> Bucket:
    given = {"ENVIRONMENT": "test", "S3_BUCKET_NAME": "photos", "AWS_REGION": "eu-west-1"}
    return Bucket(load(given | environ).storage)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a connection is tried to; all are refused, because none is on this machine."""
    addresses: list[str] = []

    async def create_connection(_: object, __: object, host: str, *___: object, **____: object) -> NoReturn:
        addresses.append(host)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", create_connection)
    return addresses


@pytest.fixture
def resolve_to(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the system's resolver answer every name with these addresses."""

    def resolve_to(*addresses: str) -> None:
        def getaddrinfo(_: str, port: int, *__: object, **___: object) -> list[object]:
            return [(socket.AF_UNSPEC, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return resolve_to


async def by_client(bucket: Bucket, url: str) -> None:
    try:
        await bucket.client.put(url, content=b"x")
    finally:
        await bucket.aclose()


async def by_streaming_put(bucket: Bucket, url: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"

    await bucket.streaming_put.put(url, {"Host": "x"}, 1, body())


Send = Callable[[Bucket, str], Coroutine[None, None, None]]
WAYS = pytest.mark.parametrize("send", [by_client, by_streaming_put])


@WAYS
@pytest.mark.parametrize("address", PRIVATE)
def test_an_interface_endpoint_serves_the_services_own_bucket(
    resolve_to: Callable[..., None], tried: list[str], send: Send, address: str
) -> None:
    resolve_to(address, "52.219.60.1")
    with pytest.raises((httpx.ConnectError, StreamingPutError)):
        asyncio.run(send(own_bucket(), f"https://{OWN}/a.jpg"))
    assert tried == [address]


@WAYS
@pytest.mark.parametrize(
    "addresses", [*((each,) for each in NOWHERE), ("10.0.0.1", "127.0.0.1"), ("52.219.60.1", "fd00:ec2::254")]
)
def test_the_services_own_bucket_is_nowhere_else(
    resolve_to: Callable[..., None], tried: list[str], send: Send, addresses: tuple[str, ...]
) -> None:
    resolve_to(*addresses)
    with pytest.raises(AddressRefused):
        asyncio.run(send(own_bucket(), f"https://{OWN}/a.jpg"))
    assert tried == []


@WAYS
@pytest.mark.parametrize(
    "origin",
    [
        "https://other.s3.eu-west-1.amazonaws.com", "https://photos.s3.us-east-1.amazonaws.com",
        "https://photos.s3.dualstack.eu-west-1.amazonaws.com", "https://photos.s3-accelerate.amazonaws.com",
        "https://s3.eu-west-1.amazonaws.com", "https://storage.example.com", f"https://{OWN}:8443", f"http://{OWN}",
    ],
)  # fmt: skip
def test_no_other_host_is_reached_on_a_private_network(
    resolve_to: Callable[..., None], tried: list[str], send: Send, origin: str
) -> None:
    resolve_to("10.0.0.1")
    with pytest.raises(AddressRefused):
        asyncio.run(send(own_bucket(), f"{origin}/a.jpg"))
    assert tried == []


def test_a_dotted_buckets_own_host_is_that_of_its_region(resolve_to: Callable[..., None], tried: list[str]) -> None:
    resolve_to("10.0.0.1")
    bucket = own_bucket(S3_BUCKET_NAME="photos.example.com")
    with pytest.raises(httpx.ConnectError):
        asyncio.run(by_client(bucket, "https://s3.eu-west-1.amazonaws.com/photos.example.com/a.jpg"))
    assert tried == ["10.0.0.1"]


def test_a_public_endpoint_that_is_named_leaves_the_inner_one_as_strict(
    resolve_to: Callable[..., None], tried: list[str]
) -> None:
    resolve_to("127.0.0.1")
    bucket = own_bucket(S3_PUBLIC_ENDPOINT_URL="https://files.example.com")
    with pytest.raises(AddressRefused):
        asyncio.run(by_client(bucket, f"https://{OWN}/a.jpg"))
    assert tried == []


def test_the_authorities_are_read_once_for_all_clients_of_a_process() -> None:
    """It takes as long as some hundred requests, and nothing else goes on meanwhile."""
    found = set()
    for _ in range(2):
        pools = open_client(Destinations(frozenset()), verify=True)._transport
        assert isinstance(pools, PoolGroup)
        found |= {id(lane._pool._ssl_context) for lane in pools._pools if isinstance(lane, CheckedTransport)}
    assert len(found) == 1
