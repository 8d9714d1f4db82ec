"""What S3 says of objects, and how bytes get there."""

import asyncio
import base64
import hashlib
import io
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest

from image_upload.limits import MIB, S3_PARTS_MAX, UPLOAD_PART_BYTES
from image_upload.outbound.budget import ByteBudget
from image_upload.s3 import multipart, objects, transfer
from image_upload.s3.bucket import Bucket
from image_upload.s3.part_reader import ChunkSource, FileSource, PartReader, Source
from local.embedded_s3 import EmbeddedS3
from tests.conftest import settings_for

T = TypeVar("T")


def within(s3: EmbeddedS3, work: Callable[[Bucket], Awaitable[T]], **environ: str) -> T:
    async def run() -> T:
        bucket = Bucket(settings_for(s3, **environ).storage)
        try:
            return await work(bucket)
        finally:
            await bucket.aclose()

    return asyncio.run(run())


def client_of(s3: EmbeddedS3) -> Any:
    environ = s3.environ
    return boto3.client(
        "s3",
        endpoint_url=s3.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
    )


def test_a_head_names_the_version_where_there_are_versions(s3: EmbeddedS3) -> None:
    client, name = client_of(s3), f"versions-{secrets.token_hex(6)}"
    client.create_bucket(Bucket=name)
    client.put_object(Bucket=name, Key="before", Body=b"1", ContentType="image/png")
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    version = client.put_object(Bucket=name, Key="since", Body=b"12")["VersionId"]

    async def work(bucket: Bucket) -> tuple[Any, ...]:
        return await objects.head(bucket, "before"), await objects.head(bucket, "since")

    before, since = within(s3, work, S3_BUCKET_NAME=name)
    assert (before.key, before.size_bytes, before.content_type) == ("before", 1, "image/png")
    assert (before.version_id, since.version_id) == (None, version)


def test_the_sha256_of_an_object_is_computed_where_the_store_keeps_none(s3: EmbeddedS3) -> None:
    content = secrets.token_bytes(1000)
    client_of(s3).put_object(Bucket=s3.environ["S3_BUCKET_NAME"], Key="plain", Body=content)

    async def work(bucket: Bucket) -> str:
        found = await objects.head(bucket, "plain", checksums=True)
        assert found is not None
        assert found.whole_sha256 is None
        return await objects.sha256_of(bucket, found)

    assert base64.b64decode(within(s3, work)) == hashlib.sha256(content).digest()


@pytest.mark.parametrize(
    ("size", "least", "length"),
    [
        (1, 8 * MIB, 8 * MIB),
        (S3_PARTS_MAX * 8 * MIB, 8 * MIB, 8 * MIB),
        (S3_PARTS_MAX * 8 * MIB + 1, 8 * MIB, 9 * MIB),
        (S3_PARTS_MAX * 8 * MIB + 1, 16 * MIB, 16 * MIB),
    ],
)
def test_ten_thousand_parts_of_whole_mebibytes_carry_a_file(size: int, least: int, length: int) -> None:
    assert multipart.part_length(size, least) == length


async def _chunks(content: bytes, length: int) -> AsyncIterator[memoryview]:
    for start in range(0, len(content), length):
        yield memoryview(content)[start : start + length]


@pytest.mark.parametrize("kind", ["chunks", "file"])
def test_a_source_is_cut_into_parts_within_the_budget(tmp_path: Path, kind: str) -> None:
    content = secrets.token_bytes(2500)
    file = tmp_path / "file"
    file.write_bytes(content)

    async def work(source: Source) -> list[bytes]:
        budget = ByteBudget(1000)
        reader, parts = PartReader(source, 1000, budget), []
        while (part := await reader.next()) is not None:
            assert not budget.take_now(1)
            parts.append(bytes(part.data))
            part.free()
        assert budget.take_now(1000), "all is given back"
        return parts

    with io.FileIO(file) as opened:
        source = ChunkSource(_chunks(content, 300)) if kind == "chunks" else FileSource(opened, len(content))
        parts = asyncio.run(work(source))
    assert [len(part) for part in parts] == [1000, 1000, 500]
    assert b"".join(parts) == content


def test_a_file_that_became_shorter_ends_where_it_ends(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1000)

    async def work(source: Source) -> list[int]:
        reader, lengths = PartReader(source, 1000, ByteBudget(1000)), []
        while (part := await reader.next()) is not None:
            lengths.append(len(part.data))
            part.free()
        return lengths

    with io.FileIO(file) as opened:
        assert asyncio.run(work(FileSource(opened, 2500))) == [1000]


def test_an_upload_is_gone_on_with_and_sends_only_what_is_missing(
    s3: EmbeddedS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, content = f"resumed/{secrets.token_hex(8)}", secrets.token_bytes(2 * UPLOAD_PART_BYTES + 1)
    asked: Counter[str] = Counter()
    call = Bucket.call

    async def counting(self: Bucket, operation: str, *arguments: Any, **named: Any) -> Any:
        asked[operation] += 1
        return await call(self, operation, *arguments, **named)

    monkeypatch.setattr(Bucket, "call", counting)

    def reader(bucket: Bucket, content: bytes) -> PartReader:
        return PartReader(ChunkSource(_chunks(content, MIB)), UPLOAD_PART_BYTES, bucket.buffers)

    async def work(bucket: Bucket) -> Any:
        upload_id = await multipart.create(bucket, key, {}, with_sha256=True)
        await transfer.send_parts(bucket, key, upload_id, reader(bucket, content[:UPLOAD_PART_BYTES]))
        there = {part.number: part for part in await multipart.list_parts(bucket, key, upload_id)}
        done: list[int] = []
        parts = await transfer.send_parts(
            bucket, key, upload_id, reader(bucket, content), there=there, must_confirm=True, progress=done.append
        )
        assert sorted(done) == [1, UPLOAD_PART_BYTES, UPLOAD_PART_BYTES]
        await multipart.complete(bucket, key, upload_id, parts, {"If-None-Match": "*"})
        return await objects.head(bucket, key, checksums=True)

    found = within(s3, work)
    assert asked["UploadPart"] == 3
    assert (found.size_bytes, found.in_parts, found.whole_sha256) == (len(content), True, None)
    stored = client_of(s3).get_object(Bucket=s3.environ["S3_BUCKET_NAME"], Key=key)["Body"].read()
    assert stored == content
