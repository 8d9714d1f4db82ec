"""Measure the publishing of a picture beside reading, decoding and storing it: `python -m bench.verify`.

Both work on objects of one SeaweedFS on this machine. The naive way is what a team writes first: GetObject, Pillow,
PutObject, DeleteObject, with boto3. Nothing here is a test; docs/performance.md says what the numbers mean.
"""

import asyncio
import io
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import boto3
from botocore.config import Config
from PIL import Image

from image_upload.completion.confirmation import confirm
from image_upload.completion.context import CompletionContext
from image_upload.domain import keys
from image_upload.settings import load
from local.service import local_environ
from local.stores import opened_stores

ROUNDS = 15
WARM_UP = 3
MIB = 1 << 20
SIDES = (3200, 2400)


def picture(*, located: bool) -> bytes:
    """Return a JPEG of noise, of about 5 MB; with `located` its Exif has a place."""
    image = Image.effect_noise(SIDES, 64).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    if located:
        exif.get_ifd(0x8825).update({1: "N", 2: (37.0, 33.0, 59.0), 3: "E", 4: (126.0, 58.0, 41.0)})
    written = io.BytesIO()
    image.save(written, "JPEG", quality=85, exif=exif)
    return written.getvalue()


class Naive:
    """GetObject, Pillow, PutObject, DeleteObject."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._bucket = environ["S3_BUCKET_NAME"]
        self._s3: Any = boto3.client(
            "s3",
            endpoint_url=environ["AWS_S3_ENDPOINT_URL"],
            region_name=environ["AWS_REGION"],
            aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, proxies={}),
        )

    def publish(self, key: str) -> None:
        """Read, decode, store and delete one picture."""
        data = self._s3.get_object(Bucket=self._bucket, Key=keys.INCOMING + key)["Body"].read()
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            kind = Image.MIME[image.format or ""]
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=kind)
        self._s3.delete_object(Bucket=self._bucket, Key=keys.INCOMING + key)


async def measured(
    context: CompletionContext, data: bytes, publish: Callable[[str], Awaitable[Any]]
) -> tuple[list[float], float]:
    """Return milliseconds of each round, and by how many MiB this process grew."""
    spans, grown_from = [], 0
    for number in range(WARM_UP + ROUNDS):
        key = f"profiles/bench/{keys.new_id('bench')}"
        await context.bucket.call(
            "PutObject", "PUT", keys.INCOMING + key, headers={"Content-Type": "image/jpeg"}, body=data
        )
        if number == WARM_UP:
            grown_from = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        await publish(key)
        if number >= WARM_UP:
            spans.append((time.perf_counter() - started) * 1000)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown_from) / 1024
    return spans, grown


async def main(environ: dict[str, str]) -> None:
    """Measure each way, and print its row."""
    context = CompletionContext(load({**environ, "VERIFY": "publish"}))
    naive = Naive(environ)

    async def naively(key: str) -> None:
        await asyncio.to_thread(naive.publish, key)

    async def confirmed(key: str) -> None:
        assert (await confirm(context, key)).stored is not None

    ways = (
        ("this service", picture(located=False), confirmed),
        ("this service, a location to blank", picture(located=True), confirmed),
        ("boto3 and Pillow", picture(located=False), naively),
    )
    found = {}
    try:
        for name, data, publish in ways:
            spans, grown = await measured(context, data, publish)
            found[name] = median(spans)
            row = f"{median(spans):>7.1f} ({min(spans):.1f} to {max(spans):.1f})"
            print(f"{name:<36}{len(data) / 1e6:>5.1f} MB {row:>26} ms {grown:>6.1f} MiB", flush=True)
    finally:
        await context.aclose()
    base = found["boto3 and Pillow"]
    for name in list(found)[:2]:
        print(f"= {name}: {base / found[name]:.2f} times as fast as boto3 and Pillow")


if __name__ == "__main__":
    print(f"{'':<36}{'file':>8} {'median (min to max)':>26}    {'grown':>9}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-verify-") as folder,
        opened_stores("auto", {}, Path(folder)) as stores,
    ):
        asyncio.run(main(local_environ({}, stores.environ)))
