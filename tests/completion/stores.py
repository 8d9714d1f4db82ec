"""The bucket and the database of a test, without a service in front of them."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from image_upload.completion.context import CompletionContext
from image_upload.database.values import ExpectedObject
from local.embedded_s3 import EmbeddedS3
from tests.conftest import settings_for
from tests.database.databases import Place

Answer = TypeVar("Answer")
CONTENT = b"five!"


def expected_object(**fields: Any) -> ExpectedObject:
    usual = ExpectedObject(
        user_id="user-1",
        key=f"uploads/{secrets.token_hex(16)} 1+1 사진.jpg",
        filename="cat.jpg",
        content_type="image/jpeg",
        size_bytes=len(CONTENT),
        sha256=None,
        ends_at=datetime.now(UTC) + timedelta(minutes=5),
    )
    return usual._replace(**fields)


def do(s3: EmbeddedS3, place: Place, work: Callable[[CompletionContext], Awaitable[Answer]], **environ: str) -> Answer:
    """Work with the bucket and the database, on a loop of its own."""

    async def whole() -> Answer:
        settings = settings_for(s3, DATABASE_URL=place.url, **environ)
        context = CompletionContext(settings)
        try:
            return await work(context)
        finally:
            await context.aclose()

    return asyncio.run(whole())


async def put(context: CompletionContext, key: str, content: bytes = CONTENT, content_type: str = "image/jpeg") -> None:
    await context.bucket.call("PutObject", "PUT", key, headers={"Content-Type": content_type}, body=content)
