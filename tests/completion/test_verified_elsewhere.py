"""Another process verifies, which knows no row: what it published is compared with the row by the one that keeps it."""

import base64
import hashlib
import io
from typing import Any

import pytest
from PIL import Image

from image_upload.completion.confirmation import confirm
from image_upload.completion.context import CompletionContext
from image_upload.database.values import Record
from image_upload.domain import keys
from image_upload.s3 import objects
from local.embedded_s3 import EmbeddedS3
from tests.completion.stores import do, expected_object, put
from tests.database.databases import Place


def photo(*, located: bool = False) -> bytes:
    exif = Image.Exif()
    if located:
        exif.get_ifd(0x8825).update({1: "N", 2: (37.0, 33.0, 59.0), 3: "E", 4: (126.0, 58.0, 41.0)})
    written = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(written, "JPEG", exif=exif)
    return written.getvalue()


def sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


@pytest.mark.parametrize(
    ("content", "promised", "state", "fault"),
    [
        (photo(), {}, "stored", None),
        (photo(), {"size_bytes": 5}, "rejected", "size"),
        (photo(), {"sha256": sha256(b"other")}, "rejected", "checksum"),
        (photo(), {"content_type": "image/png"}, "stored", None),
        (photo(located=True), {"sha256": sha256(photo(located=True))}, "stored", None),
    ],
    ids=["as promised", "another size", "another checksum", "its true type", "its location blanked"],
)
def test_what_was_published_is_compared_with_its_row(
    s3: EmbeddedS3, place: Place, content: bytes, promised: dict[str, Any], state: str, fault: str | None
) -> None:
    key = f"profiles/user-1/{keys.new_id('user-1')}"
    promised = {"size_bytes": len(content), **promised}

    async def verified(context: CompletionContext) -> None:
        await put(context, f"incoming/{key}", content)
        assert (await context.arrivals.settle(key, _promised_nothing, scan_s=1.0)) is not None

    async def kept(context: CompletionContext) -> tuple[Record | None, bool]:
        await context.database.records.insert("post", expected_object(key=key, **promised))
        record = (await confirm(context, key)).record
        return record, await objects.head(context.bucket, key) is not None

    do(s3, place, verified, VERIFY="publish")
    record, is_there = do(s3, place, kept, VERIFY="publish", VERIFIER="function")
    assert record is not None
    assert (record.state, record.fault, is_there) == (state, fault, state == "stored")


async def _promised_nothing(_: object) -> None:
    """Compare an arrival with nothing, as a process without rows does."""
