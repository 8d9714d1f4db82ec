import asyncio
import socket
from collections.abc import Iterator

import httpx
import pytest

from image_upload.s3.connection import AddressRefused, CheckedTransport, Lanes, Resolver, is_public, open_client


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


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fd00:ec2::254", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1",
        "192.0.0.9", "192.88.99.1", "168.63.129.16", "240.0.0.1", "::ffff:168.63.129.16", "64:ff9b::a83f:8110",
        "::10.0.0.1", "::ffff:0:10.0.0.1", "::8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b:1::8.8.8.8", "fec0::1", "3fff::1",
        "100::1", "5f00::1", "4000::1", "2002:808:808::1", "2001:0:808:808::1", "2600::5efe:10.0.0.1",
        "2600::200:5efe:8.8.8.8", "fe80::1%lo",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["52.219.60.1", "2600:1fa0:a000::1", "::ffff:52.219.60.1", "64:ff9b::34db:3c01"])
def test_a_public_address_is_known(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("52.219.60.1", "127.0.0.1"), ("::ffff:127.0.0.1",), ()])
def test_a_name_that_leads_inside_is_never_connected_to(listener: socket.socket, addresses: tuple[str, ...]) -> None:
    port = listener.getsockname()[1]
    client = open_client(frozenset(), verify=True, resolver=answering(*addresses))
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
    client = open_client(frozenset({("endpoint.example", port)}), verify=True, resolver=resolver)
    # A trusted endpoint is left to the system's resolver, which knows no such name.
    with pytest.raises(httpx.ConnectError):
        asyncio.run(put(client, f"http://endpoint.example:{port}/a.jpg"))
    assert asked == []


def test_a_configured_endpoint_may_be_private(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]

    async def exchange() -> bytes:
        client = open_client(frozenset({(host, port)}), verify=True, resolver=answering())
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


def test_the_authorities_are_read_once_for_all_clients_of_a_process() -> None:
    """It takes as long as some hundred requests, and nothing else goes on meanwhile."""
    found = set()
    for _ in range(2):
        lanes = open_client(frozenset(), verify=True)._transport
        assert isinstance(lanes, Lanes)
        found |= {id(lane._pool._ssl_context) for lane in lanes._lanes if isinstance(lane, CheckedTransport)}
    assert len(found) == 1
